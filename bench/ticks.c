/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "ticks.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "clock.h"

bool ticks_are_tsc;
double ticks_per_second = 1e9;

/* Has the processor rdtscp, and a counter whose rate does not change? */
static bool tsc_is_constant(void)
{
#ifdef __x86_64__
    unsigned a, b, c, d;
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(d & 1u << 27))
        return false;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
#else
    return false;
#endif
}

void ticks_init(void)
{
    ticks_are_tsc = tsc_is_constant();
    if (!ticks_are_tsc)
        return;
    double from = clock_seconds(CLOCK_MONOTONIC);
    uint64_t first = ticks_now();
    pause_for(20 * 1000 * 1000);
    double to = clock_seconds(CLOCK_MONOTONIC);
    ticks_per_second = (double)(ticks_now() - first) / (to - from);
}

double ticks_cost_ns(void)
{
    enum { CALLS = 100000 };
    uint64_t first = ticks_now(), last = first;
    for (int i = 0; i < CALLS; i++)
        last = ticks_now();
    return ticks_to_ns(last - first) / (double)CALLS;
}
