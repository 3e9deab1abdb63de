/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/wake.h"

#include <errno.h>
#include <limits.h>

#include "base/trace.h"
#include "wait/futex.h"
#include "wait/notifier.h"

int shmr_wake(shmring_t *q, int event, int n)
{
    int error = errno; /* a signal handler may be running */

    if (q->lost)
        return shmr_handle_check_memory(q);
    if (q->read_only || (q->quiet && event == SHMR_WRITABLE))
        return 0;
    if (q->geometry.type->wake_all)
        n = INT_MAX;
    uint32_t who = shmr_waitword_notify(q->waitword[event]);

    if (who)
        SHMR_TRACE(wake, q, shmr_event_bit(event), n);
    if (who & SHMR_WAITWORD_ASLEEP)
        shmr_futex_wake(&q->waitword[event]->word, SHMR_FUTEX_SHARED, n);
    if (who & SHMR_WAITWORD_POLLED)
        shmr_notifier_write(q, event);
    errno = error;
    return 0;
}
