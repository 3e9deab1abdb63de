/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "many.h"

#include <stdio.h>
#include <string.h>

#include "watch.h"

enum { NUMBER_BITS = 48 };

/* The sum of the numbers shows a lost message even if another one came twice. It is stored at once,
 * because --mode stopped reads it while the member works. */
static inline void tally_add(struct tally *t, uint64_t number)
{
    const uint64_t mixed = (number + 1) * PAYLOAD_STEP;
    t->checksum += mixed ^ mixed >> 29;
    __atomic_store_n(&t->messages, t->messages + 1, __ATOMIC_RELAXED);
}

/* Send until the time is over. */
static int produce(struct link *l, struct watch *w, struct tally *sent)
{
    const uint64_t name = (uint64_t)l->member << NUMBER_BITS;
    const long batch = l->batch;
    while (w->phase != OVER) {
        unsigned polls = 1;
        for (long i = 0; i < batch; i++)
            payload_fill(l->buffer + (size_t)i * l->size, l->size,
                         name | (sent->messages + (uint64_t)i));
        for (long done = 0; done < batch && w->phase != OVER;) {
            const long n =
                l->transport->try_send(l, l->buffer + (size_t)done * l->size, batch - done);
            if (n < 0)
                return -1;
            if (n == 0)
                watch_wait_a_little(w, polls++, sent->messages);
            done += n;
            for (long i = 0; i < n; i++) {
                tally_add(sent, sent->messages);
                if (sent->messages % WATCH_CHUNK == 0)
                    watch_read_clock(w, sent->messages);
            }
        }
    }
    return 0;
}

/* Check that the message is whole, and, if messages are in order, that it is later than the last
 * one of its producer. */
static inline int check(struct link *l, const unsigned char *message, bool unordered,
                        uint64_t next[CREW_MAX], struct tally *got)
{
    uint64_t word;
    memcpy(&word, message, sizeof word);
    const uint64_t producer = word >> NUMBER_BITS;
    const uint64_t number = word & ((UINT64_C(1) << NUMBER_BITS) - 1);
    if (producer >= (uint64_t)l->crew.producers)
        return link_fail(l, "a message came that no producer sent (its first word is %#llx)",
                         (unsigned long long)word);
    if (!link_check(l, message, word))
        return -1;
    if (number < next[producer] && !unordered)
        return link_fail(l, "message %llu of producer %llu came after its message %llu",
                         (unsigned long long)number, (unsigned long long)producer,
                         (unsigned long long)next[producer] - 1);
    next[producer] = number + 1;
    tally_add(&got[producer], number);
    return 0;
}

/* Receive until all producers have stopped and the queue stays empty. */
static int consume(struct link *l, struct shared *s, struct watch *w, bool unordered,
                   struct tally *got)
{
    uint64_t messages = 0, next[CREW_MAX] = {0};
    unsigned polls = 0, empty_at_end = 0;
    while (empty_at_end < WATCH_POLLS) {
        l->block = w->block && w->phase != OVER; /* in phase OVER no process wakes a sleeper */
        /* Read before the queue is polled, so that all messages sent before the last producer's
         * stop are found. */
        const bool stopped =
            w->phase == OVER && atomic_load_explicit(&s->sending, memory_order_acquire) == 0;
        const long n = l->transport->try_recv(l, l->buffer, l->batch);
        if (n < 0)
            return -1;
        if (n == 0) {
            empty_at_end += stopped;
            watch_wait_a_little(w, ++polls, messages);
            continue;
        }
        for (long i = 0; i < n; i++) {
            if (check(l, l->buffer + (size_t)i * l->size, unordered, next, got) != 0)
                return -1;
            if (++messages % WATCH_CHUNK == 0)
                watch_read_clock(w, messages);
        }
        polls = empty_at_end = 0;
        /* Yield here, not in the middle of a call: with some queues the others wait until an
         * interrupted call is over. */
        if (w->phase == OVER)
            sched_yield();
    }
    return 0;
}

int many_run(struct link *l, struct shared *s, const struct plan *plan)
{
    const uint64_t begin = atomic_load_explicit(&s->begin, memory_order_relaxed);
    const uint64_t warm = begin + ticks_from_seconds(plan->seconds * WARM_UP);
    struct member *me = &s->member[l->member];
    struct watch w = {
        .warm = warm,
        .end = warm + ticks_from_seconds(plan->seconds),
        .counted = &me->counted,
        .yield = plan->yield,
        .block = l->block,
        .stop = plan->mode == STOPPED ? &s->stop : NULL,
    };
    /* messages may be out of order, and one that a dead member held may come twice */
    const bool unordered = l->transport->flags & (IS_UNORDERED | IS_INEXACT) ||
                           (plan->mode == STOPPED && harm_is_death(plan->harm));
    int result = 0;
    if (l->member == 0)
        s->seconds = plan->seconds;
    if (l->member < l->crew.producers) {
        result = produce(l, &w, &me->tally[l->member]);
        atomic_fetch_sub_explicit(&s->sending, 1, memory_order_release);
    } else if (l->member < l->crew.producers + l->crew.consumers) {
        result = consume(l, s, &w, unordered, me->tally);
    }
    return result;
}

void many_verify(struct shared *s, struct crew crew, uint64_t unsure, struct fate *fate)
{
    for (int p = 0; p < crew.producers; p++) {
        const struct tally sent = s->member[p].tally[p];
        struct tally got = {0};
        for (int c = crew.producers; c < crew.producers + crew.consumers; c++) {
            got.messages += s->member[c].tally[p].messages;
            got.checksum += s->member[c].tally[p].checksum;
        }
        s->messages += got.messages;
        s->lost += got.messages < sent.messages ? sent.messages - got.messages : 0;
        if (got.messages == sent.messages && got.checksum == sent.checksum)
            continue;
        if (got.messages + unsure >= sent.messages && got.messages <= sent.messages + unsure &&
            unsure > 0)
            continue;
        fate->state = FAILED;
        snprintf(fate->error, sizeof fate->error,
                 "producer %d sent %llu messages, %llu of them arrived%s", p,
                 (unsigned long long)sent.messages, (unsigned long long)got.messages,
                 got.messages == sent.messages ? ", and not the same" : "");
        return;
    }
}
