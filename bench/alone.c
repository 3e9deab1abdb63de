/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "alone.h"

#include "ticks.h"
#include "transports/shmring_ends.h"

enum { TIMES = 1000 }; /* between two looks at the clock */

/* TIMES messages, each sent and received. Returns 0 or -1. */
static int pass_messages(struct link *l, uint64_t *seq)
{
    shmring_t *q = shmring_out(l);
    unsigned char *received = l->buffer + l->size;
    for (uint64_t end = *seq + TIMES; *seq != end; ++*seq) {
        payload_fill(l->buffer, l->size, *seq);
        int sent = shmring_send(q, l->buffer, l->size);
        if (sent != 0)
            return shmring_ends_fail(l, "shmring_send", sent);
        ssize_t n = shmring_recv(q, received, l->size);
        if (n < 0)
            return shmring_ends_fail(l, "shmring_recv", n);
        if (n != (ssize_t)l->size)
            return link_bad_length(l, *seq, n);
        if (!link_check(l, received, *seq))
            return -1;
    }
    return 0;
}

/* TIMES locked operations on a line of one's own, each after the other. */
static void exchange(_Atomic uint64_t *word)
{
    uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
    for (int i = 0; i < TIMES; i++)
        if (atomic_compare_exchange_strong(word, &value, value + 1))
            value++;
}

/* By turns, so that what slows one down slows the other down too; the medians are kept, which an
 * interruption does not change. */
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
    s->pair_ns = ticks_to_ns(histogram_quantile(&pairs, 0.5)) / TIMES;
    s->exchange_ns = ticks_to_ns(histogram_quantile(&exchanges, 0.5)) / TIMES;
    return 0;
}
