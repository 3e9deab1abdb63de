/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "broadcast.h"

#include <string.h>
#include <sys/mman.h>

#include "watch.h"

/* When each consumer had each message, as ticks after it was due, plus 1; 0: it never had it. Of
 * many messages every step-th counts. */
enum { ARRIVALS_MAX = 1 << 15 };
static struct arrivals {
    uint64_t step, messages;
    uint64_t after[CONSUMERS_MAX][ARRIVALS_MAX];
} * arrivals;

static uint64_t messages_in(double rate, double seconds)
{
    return (uint64_t)(rate * seconds);
}

int broadcast_prepare(const struct plan *plan, struct crew crew)
{
    if (plan->mode != BROADCAST_LATENCY)
        return 0;
    if (!arrivals) {
        void *p =
            mmap(NULL, sizeof *arrivals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return -1;
        arrivals = p;
    }
    const uint64_t messages = messages_in(plan->rate, plan->seconds) + 1;
    arrivals->step = (messages + ARRIVALS_MAX - 1) / ARRIVALS_MAX;
    arrivals->messages = messages / arrivals->step;
    for (int i = 0; i < crew.consumers; i++)
        memset(arrivals->after[i], 0, arrivals->messages * sizeof arrivals->after[i][0]);
    return 0;
}

void broadcast_arrivals(struct crew crew, struct histogram *first, struct histogram *last)
{
    histogram_reset(first);
    histogram_reset(last);
    for (uint64_t k = 0; k < arrivals->messages; k++) {
        uint64_t low = UINT64_MAX, high = 0;
        for (int i = 0; i < crew.consumers; i++) {
            const uint64_t after = arrivals->after[i][k];
            low = after != 0 && after < low ? after : low;
            high = after > high ? after : high;
        }
        if (high == 0)
            continue;
        histogram_record(first, low - 1);
        histogram_record(last, high - 1);
    }
}

/* The times of one measurement. */
struct schedule {
    uint64_t due;      /* the first message, ticks */
    uint64_t interval; /* ticks between two messages; 0: as fast as it can */
    uint64_t warm;     /* messages before those that count */
    uint64_t total;    /* messages in all; UINT64_MAX: until the time is over */
};

static struct schedule schedule_of(const struct shared *s, const struct plan *plan)
{
    struct schedule t = {.due = atomic_load_explicit(&s->begin, memory_order_relaxed) +
                                ticks_from_seconds(0.001),
                         .total = UINT64_MAX};
    if (plan->mode == BROADCAST_LATENCY || plan->mode == BROADCAST_SLOW)
        t.interval = ticks_from_seconds(1 / plan->rate);
    if (plan->mode == BROADCAST_LATENCY) {
        t.warm = messages_in(plan->rate, plan->seconds * WARM_UP);
        t.total = t.warm + messages_in(plan->rate, plan->seconds) + 1;
    }
    return t;
}

/* Send one message to all. A message is begun only if it is also finished, so that all consumers
 * get the same ones. */
static inline int send_one(struct link *l, struct watch *w, uint64_t number)
{
    payload_fill(l->buffer, l->size, number);
    for (unsigned polls = 1;; polls++) {
        const long n = l->transport->try_send(l, l->buffer, 1);
        if (n != 0)
            return n < 0 ? -1 : 0;
        watch_wait_a_little(w, polls, number);
    }
}

static int produce(struct link *l, struct shared *s, struct watch *w, const struct schedule *t)
{
    const bool timed = t->total == UINT64_MAX;
    uint64_t sent = 0;
    while (timed ? w->phase != OVER : sent < t->total) {
        if (t->interval > 0)
            while (ticks_now() < t->due + sent * t->interval)
                ;
        if (send_one(l, w, sent) != 0)
            return -1;
        sent++;
        if (sent % WATCH_CHUNK == 0 || t->interval > 0)
            watch_read_clock(w, sent);
    }
    atomic_store_explicit(&s->total, sent, memory_order_release);
    return 0;
}

/* One consumer: what it has got. */
struct consumption {
    uint64_t next;             /* number of the next message, if it misses none */
    uint64_t received, missed; /* messages */
    uint64_t missed_before;    /* the measured time */
};

static void note_arrival(const struct link *l, const struct schedule *t, uint64_t number)
{
    const uint64_t k = number - t->warm;
    if (number < t->warm || k % arrivals->step != 0 || k / arrivals->step >= arrivals->messages)
        return;
    const uint64_t now = ticks_now(), due = t->due + number * t->interval;
    arrivals->after[l->subscriber][k / arrivals->step] = 1 + (now > due ? now - due : 0);
}

/* Check that the message is whole and comes after the one before. Its number says how many were
 * missed between the two. */
static inline int check(struct link *l, struct consumption *c)
{
    uint64_t number;
    memcpy(&number, l->buffer, sizeof number);
    if (!link_check(l, l->buffer, number))
        return -1;
    if (number < c->next)
        return link_fail(l, "message %llu came after message %llu", (unsigned long long)number,
                         (unsigned long long)c->next - 1);
    if (number > c->next && !(l->transport->flags & IS_LOSSY))
        return link_fail(l, "message %llu came, and %llu did not", (unsigned long long)number,
                         (unsigned long long)c->next);
    c->missed += number - c->next;
    c->received++;
    c->next = number + 1;
    return 0;
}

/* At the end: has the consumer got or missed as many messages as were sent, and does the transport
 * say the same? */
static int verify(struct link *l, const struct consumption *c, uint64_t total)
{
    uint64_t counted = c->missed;
    if (l->transport->missed && l->transport->missed(l, &counted) != 0)
        return -1;
    if (c->received + c->missed != total || counted != c->missed)
        return link_fail(l, "of %llu messages came %llu, %llu are missing; the transport says %llu",
                         (unsigned long long)total, (unsigned long long)c->received,
                         (unsigned long long)c->missed, (unsigned long long)counted);
    return 0;
}

static void read_clock(struct watch *w, struct consumption *c, struct member *me)
{
    const bool was_warming = w->phase == WARMING, was_over = w->phase == OVER;
    watch_read_clock(w, c->received);
    if (was_warming && w->phase != WARMING)
        c->missed_before = c->missed;
    if (!was_over && w->phase == OVER)
        me->missed = c->missed - c->missed_before;
}

/* No message came. Returns whether the rest of them never will: a lossy transport was silent. */
static bool is_silent(const struct link *l, uint64_t total, uint64_t *since)
{
    if (!(l->transport->flags & IS_LOSSY) || total == UINT64_MAX)
        return false;
    const uint64_t now = ticks_now();
    if (*since == 0)
        *since = now;
    return now - *since > ticks_from_seconds((double)LOSSY_TIMEOUT_MS / 1e3);
}

static int consume(struct link *l, struct shared *s, struct watch *w, const struct schedule *t,
                   uint64_t pace)
{
    struct member *me = &s->member[l->member];
    struct consumption c = {0};
    uint64_t total = UINT64_MAX, silent_since = 0;
    unsigned polls = 0;
    while (c.next != total) {
        const long n = l->transport->try_recv(l, l->buffer, 1);
        if (n < 0)
            return -1;
        if (n == 0) {
            total = atomic_load_explicit(&s->total, memory_order_acquire);
            if (is_silent(l, total, &silent_since)) {
                c.missed += total - c.next;
                c.next = total;
            }
            if (++polls % WATCH_POLLS == 0 || w->block)
                read_clock(w, &c, me);
            if (polls % WATCH_POLLS == 0 && (w->yield || w->phase == OVER))
                sched_yield();
            continue;
        }
        polls = 0;
        silent_since = 0;
        if (check(l, &c) != 0)
            return -1;
        if (t->total != UINT64_MAX)
            note_arrival(l, t, c.next - 1);
        if (c.received % WATCH_CHUNK == 0 || pace > 0)
            read_clock(w, &c, me);
        while (pace > 0 && w->phase != OVER && ticks_now() < t->due + c.received * pace)
            ;
    }
    while (w->phase != OVER && t->total == UINT64_MAX)
        read_clock(w, &c, me);
    return verify(l, &c, total);
}

int broadcast_run(struct link *l, struct shared *s, const struct plan *plan)
{
    const struct schedule t = schedule_of(s, plan);
    const uint64_t warm = t.due + ticks_from_seconds(plan->seconds * WARM_UP);
    struct watch w = {
        .warm = warm,
        .end = warm + ticks_from_seconds(plan->seconds),
        .counted = &s->member[l->member].counted,
        .yield = plan->yield,
        .block = l->block,
    };
    if (l->member == 0)
        s->seconds = plan->seconds;
    if (l->member < l->crew.producers)
        return produce(l, s, &w, &t);
    if (l->subscriber < 0 || l->subscriber >= l->crew.consumers) /* asleep, or only for the probe */
        return 0;
    return consume(l, s, &w, &t,
                   plan->mode == BROADCAST_SLOW ? ticks_from_seconds(1 / plan->speed) : 0);
}
