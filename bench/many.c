/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "many.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "ticks.h"
#include "transports/shmring_ends.h"

enum {
    LOOKS = 64, /* without success, before a process looks at the clock and may yield */
    CHUNK = 32, /* messages between two looks at the clock */
    NUMBER_BITS = 48
};

/* How one member follows the time, and what it had done when. */
struct watch {
    uint64_t warm, end;
    enum { WARMING, COUNTING, OVER } phase;
    uint64_t counted; /* messages before COUNTING; when OVER, messages during it */
    bool yield;
};

static void look_at_clock(struct watch *w, uint64_t messages)
{
    const uint64_t now = ticks_now();
    if (w->phase == WARMING && now >= w->warm) {
        w->phase = COUNTING;
        w->counted = messages;
    }
    if (w->phase == COUNTING && now >= w->end) {
        w->phase = OVER;
        w->counted = messages - w->counted;
    }
}

/* One more look was in vain. */
static inline void wait_a_little(struct watch *w, unsigned looks, uint64_t messages)
{
    if (looks % LOOKS != 0)
        return;
    look_at_clock(w, messages);
    if (w->yield || w->phase == OVER)
        sched_yield();
}

/* A sum that shows a message that was lost and another one that came twice. */
static inline void tally_add(struct tally *t, uint64_t number)
{
    const uint64_t mixed = (number + 1) * PAYLOAD_STEP;
    t->messages++;
    t->checksum += mixed ^ mixed >> 29;
}

/* Send until time is up. */
static int produce(struct link *l, struct watch *w, struct tally *sent)
{
    const uint64_t name = (uint64_t)l->member << NUMBER_BITS;
    shmring_t *q = shmring_out(l);
    while (w->phase != OVER) {
        const uint64_t number = sent->messages;
        int r;
        payload_fill(l->buffer, l->size, name | number);
        for (unsigned looks = 1;
             (r = shmring_send(q, l->buffer, l->size)) == -EAGAIN && w->phase != OVER; looks++)
            wait_a_little(w, looks, number);
        if (r == -EAGAIN)
            break;
        if (r != 0)
            return shmring_ends_fail(l, "shmring_send", r);
        tally_add(sent, number);
        if (sent->messages % CHUNK == 0)
            look_at_clock(w, sent->messages);
    }
    return 0;
}

/* The message in l->buffer: whole, and after all its producer's earlier ones? */
static inline int check(struct link *l, long length, uint64_t next[CREW_MAX], struct tally *got)
{
    uint64_t word;
    if (length != (long)l->size)
        return link_fail(l, "a message came with %ld bytes, not %zu", length, l->size);
    memcpy(&word, l->buffer, sizeof word);
    const uint64_t producer = word >> NUMBER_BITS;
    const uint64_t number = word & ((UINT64_C(1) << NUMBER_BITS) - 1);
    if (producer >= (uint64_t)l->crew.producers)
        return link_fail(l, "a message came that nobody sent (its first word is %#llx)",
                         (unsigned long long)word);
    if (!link_check(l, l->buffer, word))
        return -1;
    if (number < next[producer])
        return link_fail(l, "message %llu of producer %llu came after its message %llu",
                         (unsigned long long)number, (unsigned long long)producer,
                         (unsigned long long)next[producer] - 1);
    next[producer] = number + 1;
    tally_add(&got[producer], number);
    return 0;
}

/* Receive until all producers have stopped and the queue stays empty. */
static int consume(struct link *l, struct shared *s, struct watch *w, struct tally *got)
{
    shmring_t *q = shmring_in(l);
    uint64_t messages = 0, next[CREW_MAX] = {0};
    unsigned looks = 0, empty_at_end = 0;
    while (empty_at_end < LOOKS) {
        /* Looked up before the queue: what came before the last producer's stop is seen. */
        const bool stopped =
            w->phase == OVER && atomic_load_explicit(&s->sending, memory_order_acquire) == 0;
        const ssize_t r = shmring_recv(q, l->buffer, l->size);
        if (r == -EAGAIN) {
            empty_at_end += stopped;
            wait_a_little(w, ++looks, messages);
            continue;
        }
        if (r < 0)
            return shmring_ends_fail(l, "shmring_recv", r);
        if (check(l, r, next, got) != 0)
            return -1;
        looks = empty_at_end = 0;
        if (++messages % CHUNK == 0)
            look_at_clock(w, messages);
    }
    return 0;
}

int many_run(struct link *l, struct shared *s, const struct plan *plan)
{
    const uint64_t begin = atomic_load_explicit(&s->begin, memory_order_relaxed);
    const uint64_t warm = begin + ticks_from_seconds(plan->seconds * WARM_UP);
    struct watch w = {
        .warm = warm, .end = warm + ticks_from_seconds(plan->seconds), .yield = plan->yield};
    struct member *me = &s->member[l->member];
    struct tally tally[CREW_MAX] = {0}; /* its own: no line is shared while time counts */
    int result;
    if (l->member < l->crew.producers) {
        result = produce(l, &w, &tally[l->member]);
        atomic_fetch_sub_explicit(&s->sending, 1, memory_order_release);
    } else {
        result = consume(l, s, &w, tally);
    }
    me->counted = w.counted;
    memcpy(me->tally, tally, sizeof tally);
    s->seconds = plan->seconds;
    return result;
}

void many_verify(const struct shared *s, struct crew crew, struct fate *fate)
{
    for (int p = 0; p < crew.producers; p++) {
        const struct tally sent = s->member[p].tally[p];
        struct tally got = {0};
        for (int c = crew.producers; c < crew.producers + crew.consumers; c++) {
            got.messages += s->member[c].tally[p].messages;
            got.checksum += s->member[c].tally[p].checksum;
        }
        if (got.messages == sent.messages && got.checksum == sent.checksum)
            continue;
        fate->state = FAILED;
        snprintf(fate->error, sizeof fate->error,
                 "producer %d sent %llu messages, %llu of them arrived%s", p,
                 (unsigned long long)sent.messages, (unsigned long long)got.messages,
                 got.messages == sent.messages ? ", and not the same" : "");
        return;
    }
}
