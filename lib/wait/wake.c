/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/wake.h"

#include <errno.h>

#include "base/trace.h"
#include "wait/futex.h"
#include "wait/notifier.h"

int shmr_ring(shmring_t *q, int event, int n)
{
    int error = errno; /* a signal handler may be running */

    if (q->lost)
        return shmr_handle_check_memory(q);
    uint32_t who = shmr_bell_ring(q->bell[event]);

    if (who)
        SHMR_TRACE(wake, q, shmr_event_bit(event), n);
    if (who & SHMR_BELL_ASLEEP)
        shmr_futex_wake(&q->bell[event]->word, SHMR_FUTEX_SHARED, n);
    if (who & SHMR_BELL_POLLED)
        shmr_doorbell_ring(q, event);
    errno = error;
    return 0;
}
