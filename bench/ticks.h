/* SPDX-License-Identifier: MIT */
/*
 * A clock that is cheap enough to read around every round trip: the processor's time-stamp counter
 * where it runs at a constant rate, the same on all cores; elsewhere CLOCK_MONOTONIC through the
 * vDSO.
 */
#ifndef BENCH_TICKS_H
#define BENCH_TICKS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

extern bool ticks_are_tsc;
extern double ticks_per_second;

/* Choose the clock and measure its rate: takes 20 ms. Call it before the others. */
void ticks_init(void);

/* Nanoseconds that one call to ticks_now() takes. */
double ticks_cost_ns(void);

/* The time is read after all earlier loads of this thread are done. */
static inline uint64_t ticks_now(void)
{
#ifdef __x86_64__
    if (ticks_are_tsc) {
        unsigned cpu;
        return __rdtscp(&cpu);
    }
#endif
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t ticks_from_seconds(double seconds)
{
    return (uint64_t)(seconds * ticks_per_second);
}

static inline double ticks_to_seconds(uint64_t ticks)
{
    return (double)ticks / ticks_per_second;
}

static inline double ticks_to_ns(uint64_t ticks)
{
    return ticks_to_seconds(ticks) * 1e9;
}

#endif
