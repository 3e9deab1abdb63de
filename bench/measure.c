/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "measure.h"

#include "alone.h"
#include "broadcast.h"
#include "clock.h"
#include "many.h"
#include "ticks.h"

enum { CHUNK_MAX = 1 << 16 }; /* messages */

/*
 * Throughput. A sends in chunks of some 50 us and reads the clock between them, never inside.
 * Before A sends one chunk it grants the next. So B knows how many messages it may wait for without
 * hanging in a blocking call, and neither side waits for a grant. B decides when it has counted for
 * long enough. If A did, and A had not run for most of the time, only the messages that were in the
 * ring would count.
 */
static int send_for_a_while(struct link *l, struct shared *s, double seconds)
{
    const uint64_t chunk_ticks = ticks_from_seconds(50e-6);
    const uint64_t start = ticks_now();
    const uint64_t warm = start + ticks_from_seconds(seconds * WARM_UP);
    uint64_t sent = 0, granted = 16, chunk = 16;
    bool counting = false;
    atomic_store_explicit(&s->granted, granted, memory_order_release);
    for (uint64_t now = start;;) {
        bool last = counting && atomic_load_explicit(&s->stop, memory_order_acquire) != 0;
        uint64_t part = granted - sent;
        if (!counting && now >= warm) {
            atomic_store_explicit(&s->counted_from, granted, memory_order_release);
            counting = true;
        }
        if (last) {
            atomic_store_explicit(&s->total, granted, memory_order_release);
        } else {
            granted += chunk;
            atomic_store_explicit(&s->granted, granted, memory_order_release);
        }
        if (l->transport->send(l, sent, (long)part) < 0)
            return -1;
        sent += part;
        if (last)
            return 0;
        uint64_t before = now;
        now = ticks_now();
        if (now - before < chunk_ticks / 2 && chunk < CHUNK_MAX)
            chunk *= 2;
        else if (now - before > chunk_ticks * 2 && chunk > 1)
            chunk /= 2;
    }
}

static int receive_all(struct link *l, struct shared *s, double seconds)
{
    const uint64_t enough = ticks_from_seconds(seconds);
    uint64_t got = 0, until, lost_before = 0;
    uint64_t first = 0, latest = 0; /* times: counting began, the latest message came */
    bool counting = false;
    for (;;) {
        uint64_t granted = atomic_load_explicit(&s->granted, memory_order_acquire);
        uint64_t total = atomic_load_explicit(&s->total, memory_order_acquire);
        uint64_t counted_from = atomic_load_explicit(&s->counted_from, memory_order_acquire);
        if (!counting && got >= counted_from) {
            counting = true;
            s->messages = got;
            lost_before = l->lost;
            first = latest;
        }
        if (got >= total)
            break;
        until = counting || granted < counted_from ? granted : counted_from;
        if (got >= until)
            continue;
        long n = l->transport->recv(l, got, (long)(until - got));
        if (n < 0)
            return -1;
        if (n == 0 && total != UINT64_MAX) { /* silence after the end: the rest is lost */
            l->lost += total - got;
            got = total;
        } else if (n > 0) {
            got += (uint64_t)n;
            latest = ticks_now();
            if (counting && latest - first >= enough)
                atomic_store_explicit(&s->stop, 1, memory_order_release);
        }
    }
    s->lost = l->lost - lost_before;
    s->messages = got - s->messages - s->lost;
    s->seconds = ticks_to_seconds(latest - first);
    return 0;
}

/* Receive message seq, however long it takes. Returns 0 or -1. */
static inline int receive_one(struct link *l, uint64_t seq)
{
    long n;
    while ((n = l->transport->recv(l, seq, 1)) == 0)
        ;
    return n > 0 ? 0 : -1;
}

/* One message there and one back. Returns 0 or -1. */
static inline int ping(struct link *l, uint64_t seq)
{
    return l->transport->send(l, seq, 1) > 0 ? receive_one(l, seq) : -1;
}

static int ping_for_a_while(struct link *l, struct shared *s, double seconds)
{
    const uint64_t warm = ticks_now() + ticks_from_seconds(seconds * WARM_UP);
    const uint64_t end = warm + ticks_from_seconds(seconds);
    uint64_t seq = 0, before, after = 0;
    while (after < warm) {
        if (ping(l, seq++) != 0)
            return -1;
        after = ticks_now();
    }
    histogram_reset(&s->histogram);
    for (bool last = false; !last;) {
        last = after >= end;
        if (last)
            atomic_store_explicit(&s->stop, 1, memory_order_release);
        before = ticks_now();
        if (ping(l, seq++) != 0)
            return -1;
        after = ticks_now();
        histogram_record(&s->histogram, after - before);
    }
    return 0;
}

static int pong(struct link *l, struct shared *s)
{
    for (uint64_t seq = 0;; seq++) {
        if (receive_one(l, seq) != 0)
            return -1;
        bool last = atomic_load_explicit(&s->stop, memory_order_acquire) != 0;
        if (l->transport->send(l, seq, 1) < 0)
            return -1;
        if (last)
            return 0;
    }
}

/*
 * One way, at a rate. Message k is due at due + k / rate. Its latency counts from then, also when
 * the sender is late, so the time that a message waits for the sender is included.
 */
static int send_at_rate(struct link *l, struct shared *s, const struct plan *plan)
{
    const uint64_t interval = ticks_from_seconds(1 / plan->rate);
    const uint64_t warm = (uint64_t)(plan->seconds * WARM_UP * plan->rate);
    const uint64_t total = warm + 1 + (uint64_t)(plan->seconds * plan->rate);
    const uint64_t due = ticks_now() + ticks_from_seconds(0.001);
    atomic_store_explicit(&s->counted_from, warm, memory_order_relaxed);
    atomic_store_explicit(&s->total, total, memory_order_relaxed);
    atomic_store_explicit(&s->due, due, memory_order_release);
    for (uint64_t seq = 0; seq < total; seq++) {
        while (ticks_now() < due + seq * interval)
            ;
        if (l->transport->send(l, seq, 1) < 0)
            return -1;
    }
    return 0;
}

static int receive_at_rate(struct link *l, struct shared *s, const struct plan *plan)
{
    const uint64_t interval = ticks_from_seconds(1 / plan->rate);
    uint64_t due;
    while ((due = atomic_load_explicit(&s->due, memory_order_acquire)) == 0)
        ;
    const uint64_t total = atomic_load_explicit(&s->total, memory_order_relaxed);
    const uint64_t warm = atomic_load_explicit(&s->counted_from, memory_order_relaxed);
    uint64_t seq = 0;
    histogram_reset(&s->histogram);
    while (seq < total) {
        long n = l->transport->recv(l, seq, 1);
        uint64_t now = ticks_now();
        if (n < 0)
            return -1;
        if (n == 0 && now > due + total * interval) /* no message came in time after the end */
            break;
        if (n == 0)
            continue;
        seq += (uint64_t)n;
        uint64_t then = due + (seq - 1) * interval;
        if (seq > warm)
            histogram_record(&s->histogram, now > then ? now - then : 0);
    }
    s->lost = l->lost + (total - seq);
    return 0;
}

static int run(struct link *l, struct shared *s, const struct plan *plan)
{
    const bool a = l->member == 0;
    switch (plan->mode) {
    case THROUGHPUT:
    case CAPACITY:
        return a ? send_for_a_while(l, s, plan->seconds) : receive_all(l, s, plan->seconds);
    case LATENCY:
        return a ? ping_for_a_while(l, s, plan->seconds) : pong(l, s);
    case MANY:
    case PARTICIPANTS:
    case STOPPED:
        return many_run(l, s, plan);
    case ALONE:
        return a ? alone_run(l, s, plan) : 0;
    case BROADCAST:
    case BROADCAST_LATENCY:
    case BROADCAST_SLOW:
    case BROADCAST_ASLEEP:
        return broadcast_run(l, s, plan);
    default:
        return a ? send_at_rate(l, s, plan) : receive_at_rate(l, s, plan);
    }
}

/* The first two members probe at the same time, on a line that they have reset; the others
 * sleep. */
static double meet_and_probe(struct link *l, struct shared *s)
{
    double ns = 0;
    if (l->member == 0)
        atomic_store(&s->line, 0);
    pthread_barrier_wait(&s->barrier);
    if (l->member < 2)
        ns = probe(s, l->side);
    if (l->member == 0)
        atomic_store(&s->begin, ticks_now());
    pthread_barrier_wait(&s->barrier);
    return ns;
}

int measure(struct link *l, struct shared *s, const struct plan *plan)
{
    const clockid_t own =
        l->transport->flags & IN_ONE_PROCESS ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID;
    double before = meet_and_probe(l, s);
    if (l->member == 0) /* used until there is a probe after the measurement */
        s->probe_ns[0] = s->probe_ns[1] = before;
    double from = clock_seconds(CLOCK_MONOTONIC), used = clock_seconds(own);
    if (run(l, s, plan) != 0)
        return -1;
    s->cpu_seconds[l->member] = clock_seconds(own) - used;
    s->run_seconds[l->member] = clock_seconds(CLOCK_MONOTONIC) - from;
    /* In mode STOPPED a member may be dead: no second probe. */
    double after = plan->mode == STOPPED ? before : meet_and_probe(l, s);
    if (l->member == 0)
        s->probe_ns[1] = after;
    return 0;
}
