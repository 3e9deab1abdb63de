/* SPDX-License-Identifier: MIT */
/* The kernel's clocks, for times that are not taken around every round trip (those use ticks.h). */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline double clock_seconds(clockid_t clock)
{
    return (double)clock_ns(clock) * 1e-9;
}

static inline void pause_for(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

#endif
