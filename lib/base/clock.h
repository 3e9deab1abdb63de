/* SPDX-License-Identifier: MIT */
/* The clock for waits: CLOCK_MONOTONIC, in nanoseconds. */
#ifndef SHMR_CLOCK_H
#define SHMR_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SHMR_SECOND   INT64_C(1000000000)
#define SHMR_FOR_EVER INT64_MAX
#define SHMR_AT_ONCE  INT64_C(0) /* always in the past */

static inline int64_t shmr_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SHMR_SECOND + now.tv_nsec;
}

/* The same to within a few milliseconds: the time of the kernel's last tick, which is cheaper
 * because it reads no hardware clock. */
static inline uint64_t shmr_coarse_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
