/* SPDX-License-Identifier: MIT */
/* From the timeouts that callers give to points in time. */
#ifndef SHMR_DEADLINE_H
#define SHMR_DEADLINE_H

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"

/* The time when a relative timeout ends; NULL: never. Returns 0, or -EINVAL with the detail set. */
static inline int shmr_deadline(const struct timespec *timeout, int64_t *deadline)
{
    *deadline = SHMR_FOR_EVER;
    if (!timeout)
        return 0;

    const int64_t seconds = timeout->tv_sec; /* tv_sec has 32 bits on some machines */
    if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= SHMR_SECOND)
        return shmr_fail_fast(EINVAL, "the timeout is negative or has more than 999,999,999 ns", 0,
                              0);
    if (timeout->tv_sec == 0 && timeout->tv_nsec == 0)
        *deadline = SHMR_AT_ONCE;
    else if (seconds < INT64_MAX / SHMR_SECOND / 2)
        *deadline = shmr_now() + seconds * SHMR_SECOND + timeout->tv_nsec;
    return 0;
}

#endif
