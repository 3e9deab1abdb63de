/* SPDX-License-Identifier: MIT */
/*
 * The lower limit: one word on one cache line, which two processes write and await in turn. It is
 * timed as the transports' round trips are, so the cost of the clock is in both.
 */
#include <config.h>

#include "measure.h"
#include "ticks.h"

static const uint64_t LAST = UINT64_MAX;
static const double SECONDS = 0.003;

static void answer(struct shared *s)
{
    for (uint64_t expected = 1;; expected += 2) {
        uint64_t now;
        while ((now = atomic_load_explicit(&s->line, memory_order_acquire)) != expected)
            if (now == LAST)
                return;
        atomic_store_explicit(&s->line, expected + 1, memory_order_release);
    }
}

double probe(struct shared *s, enum side side)
{
    static struct histogram trips; /* too large for a stack */
    if (side == SIDE_B) {
        answer(s);
        return 0;
    }
    histogram_reset(&trips);
    const uint64_t end = ticks_now() + ticks_from_seconds(SECONDS);
    uint64_t before, after;
    for (uint64_t value = 1;; value += 2) {
        before = ticks_now();
        atomic_store_explicit(&s->line, value, memory_order_release);
        while (atomic_load_explicit(&s->line, memory_order_acquire) != value + 1)
            ;
        after = ticks_now();
        histogram_record(&trips, after - before);
        if (after >= end)
            break;
    }
    atomic_store_explicit(&s->line, LAST, memory_order_release);
    return ticks_to_ns(histogram_quantile(&trips, 0.5));
}
