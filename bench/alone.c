/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "alone.h"

#include "ticks.h"

enum { TIMES = 1000 }; /* operations between two clock reads */

/* Report a result that a queue which is neither full nor empty must not give. Returns -1. */
static int refused(struct link *l, const char *what, long result)
{
    return result < 0 ? -1 : link_fail(l, "%s, with no other process", what);
}

/* TIMES messages, each sent and received. Returns 0 or -1. */
static int pass_messages(struct link *l, uint64_t *seq)
{
    unsigned char *received = l->buffer + l->size;
    for (uint64_t end = *seq + TIMES; *seq != end; ++*seq) {
        payload_fill(l->buffer, l->size, *seq);
        const long sent = l->transport->try_send(l, l->buffer, 1);
        if (sent != 1)
            return refused(l, "no room for a message", sent);
        const long got = l->transport->try_recv(l, received, 1);
        if (got != 1)
            return refused(l, "no message", got);
        if (!link_check(l, received, *seq))
            return -1;
    }
    return 0;
}

/* TIMES locked operations, one after the other, on a line that no other process uses. */
static void exchange(_Atomic uint64_t *word)
{
    uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
    for (int i = 0; i < TIMES; i++)
        if (atomic_compare_exchange_strong(word, &value, value + 1))
            value++;
}

/* Messages and exchanges take turns, so that a disturbance slows both down. The medians are kept,
 * which an interruption does not change. */
int alone_run(struct link *l, struct shared *s, const struct plan *plan)
{
    static struct histogram pairs, exchanges; /* too large for a stack */
    static _Alignas(128) _Atomic uint64_t word;
    const uint64_t warm = ticks_now() + ticks_from_seconds(plan->seconds * WARM_UP);
    const uint64_t end = warm + ticks_from_seconds(plan->seconds);
    uint64_t seq = 0, now = 0;
    histogram_reset(&pairs);
    histogram_reset(&exchanges);
    while (now < end || pairs.samples == 0) {
        const uint64_t start = ticks_now();
        if (pass_messages(l, &seq) != 0)
            return -1;
        const uint64_t middle = ticks_now();
        exchange(&word);
        now = ticks_now();
        if (start >= warm) {
            histogram_record(&pairs, middle - start);
            histogram_record(&exchanges, now - middle);
        }
    }
    s->messages = pairs.samples * TIMES;
    s->pair_ns = ticks_to_ns(histogram_quantile(&pairs, 0.5)) / (double)TIMES;
    s->exchange_ns = ticks_to_ns(histogram_quantile(&exchanges, 0.5)) / (double)TIMES;
    return 0;
}
