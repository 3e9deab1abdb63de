/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: attaching. A successor goes on where the last producer left off, or died; a consumer
 * finds where it starts, and becomes reliable. And what observers see. As in ring.h: no system
 * call, bounded.
 */
#ifndef SHMR_BROADCAST_TAKEOVER_H
#define SHMR_BROADCAST_TAKEOVER_H

#include "broadcast/ring.h"

/* Attempts of a reliable consumer to find the tail: the producer can lap it only until it has seen
 * the consumer. */
#define SHMR_BROADCAST_JOIN_TRIES 64

/* ---- The producer ---------------------------------------------------------------------------- */

/* Has the chunk of the position a mark for a record before the position, in this lap? */
static inline bool shmr_broadcast_is_marked(const struct shmr_broadcast_ring *ring,
                                            uint64_t position)
{
    const uint64_t start = position & ~(shmr_broadcast_chunk(ring) - 1);
    const uint64_t chunk = (position & ring->mask) / shmr_broadcast_chunk(ring);
    const uint64_t mark =
        atomic_load_explicit(&ring->page->mark[chunk].position, memory_order_relaxed);

    return (int64_t)(mark - start) >= 0 && (int64_t)(position - mark) > 0;
}

/* Walk as shmr_broadcast_walk(), and note the first records of chunks, and the last key message,
 * its number plus one. False: they are not what a producer leaves. */
static inline bool shmr_broadcast_walk_last(struct shmr_broadcast_producer *p,
                                            struct shmr_broadcast_starts *starts,
                                            struct shmr_broadcast_at *key)
{
    const uint64_t start = p->position, chunk = shmr_broadcast_chunk(&p->ring);

    for (;;) {
        const uint32_t header = shmr_broadcast_poll(&p->ring, p->position);
        const uint32_t len = shmr_broadcast_length(header);
        if (header == 0)
            return true;
        if (len > p->ring.max_message) {
            p->side.damage =
                "the header of one of the producer's last records is longer than max_message";
            return false;
        }
        shmr_broadcast_note_start(starts, chunk, p->position, p->messages);
        if (header & SHMR_BROADCAST_KEY) {
            key->position = p->position;
            key->number = p->messages + 1;
        }
        p->position += shmring_record_size(len);
        p->bytes += len;
        p->messages++;
        if (p->position - start > shmr_broadcast_walk_most(&p->ring)) {
            p->side.damage = "the producer's last records are longer than a quarter of the ring";
            return false;
        }
    }
}

/* Does the horizon fit the tail: was it moved for a record there, and no further than for the
 * longest one? */
static inline bool shmr_broadcast_horizon_is_sane(const struct shmr_broadcast_producer *p)
{
    const uint64_t chunk = shmr_broadcast_chunk(&p->ring);
    const uint64_t ahead = p->horizon - p->position;

    if (p->horizon % chunk != 0 ||
        ahead > shmr_broadcast_capacity(&p->ring) / SHMR_BROADCAST_MOST_FRACTION + chunk +
                    SHMR_BROADCAST_SPARE)
        return false;
    return ahead >= SHMR_BROADCAST_SPARE || p->messages == 0;
}

/*
 * Become the producer, where the last one left off. That one may have died after it published and
 * before it stored its progress: walk over the records that it published since, to the terminator.
 * It may have died between its stores of a mark: store those of these records again, and the last
 * key message among them. And it may have died after it stored the horizon and before W1: so store
 * it again and fence, before the first other store.
 */
static inline int shmr_broadcast_resume_producer(struct shmr_broadcast_producer *p)
{
    const struct shmr_broadcast_page *page = p->ring.page;
    const struct shmr_progress *last = shmr_progress_whole(page->progress);
    struct shmr_broadcast_starts starts = {.count = 0};
    struct shmr_broadcast_at key = {0};

    p->position = atomic_load_explicit(&last->position, memory_order_relaxed);
    p->bytes = atomic_load_explicit(&last->bytes, memory_order_relaxed);
    p->messages = atomic_load_explicit(&last->messages, memory_order_relaxed);
    p->turn = last == &page->progress[0];
    p->key_turn = shmr_broadcast_key_whole(page) == &page->key[0];
    p->high_water = atomic_load_explicit(&page->high_water, memory_order_relaxed);
    p->full_events = atomic_load_explicit(&page->full_events, memory_order_relaxed);
    p->horizon = shmr_broadcast_horizon(&p->ring);
    p->side.damage = "the producer's position is not a multiple of 8";
    if (p->position % 8 != 0)
        return -EBADMSG;

    const uint64_t chunk = shmr_broadcast_chunk(&p->ring), noted = p->position;
    starts.next = p->position & ~(chunk - 1);
    if (shmr_broadcast_is_marked(&p->ring, p->position))
        starts.next += chunk;
    if (!shmr_broadcast_walk_last(p, &starts, &key))
        return -EBADMSG;
    p->side.damage = "the horizon does not fit the producer's position";
    if (!shmr_broadcast_horizon_is_sane(p))
        return -EBADMSG;

    shmr_broadcast_move_horizon(p, p->horizon); /* cast:W1 */
    p->next_progress = p->position + shmr_broadcast_progress_step(&p->ring);
    p->quick_most = p->ring.max_message < SHMR_COPY_SHORT ? p->ring.max_message : SHMR_COPY_SHORT;
    shmr_stream_start(&p->side.stream, p->messages, p->position);
    p->side.misses = 1; /* full_events does not count a full queue before the first message */
    shmr_broadcast_scan(p);
    if (key.number != 0)
        shmr_broadcast_store_key(p, key.position, key.number - 1);
    shmr_broadcast_note(p, &starts);
    if (p->position != noted)
        shmr_broadcast_store_progress(p);
    shmr_broadcast_renew_quick(p);
    return 0;
}

/* ---- A consumer ------------------------------------------------------------------------------ */

/* A whole record of a row whose owner may be at work. False: the numbers may be of two moments. */
static inline bool shmr_broadcast_read_record(const struct shmr_broadcast_row *row,
                                              struct shmr_broadcast_consumer *c)
{
    for (int i = 0; i < SHMR_BROADCAST_TRIES; i++) {
        const struct shmr_broadcast_record *record = row->record;
        /* cast:A4, pairs with cast:R4 in shmr_broadcast_store_record */
        const uint64_t a = atomic_load_explicit(&record[0].steps, memory_order_acquire);
        const uint64_t b = atomic_load_explicit(&record[1].steps, memory_order_acquire);
        const int whole = (int64_t)(b - a) > 0;
        /* cast:A5, pairs with cast:R5 in shmr_broadcast_store_record */
        c->bytes = atomic_load_explicit(&record[whole].bytes, memory_order_acquire);
        c->missed = atomic_load_explicit(&record[whole].missed, memory_order_acquire);
        c->steps = whole ? b : a;
        c->turn = !whole;
        if (atomic_load_explicit(&record[0].steps, memory_order_relaxed) == a &&
            atomic_load_explicit(&record[1].steps, memory_order_relaxed) == b)
            return true;
    }
    return false;
}

/* Where a consumer starts: flags are those of shmring_open(). 0, -EAGAIN, -EBADMSG. */
static inline int shmr_broadcast_find_start(const struct shmr_broadcast_ring *ring, unsigned flags,
                                            struct shmr_broadcast_at *at)
{
    int r = -ENOENT;

    if (flags & SHMRING_FROM_KEY)
        r = shmr_broadcast_find_key(ring, at);
    if (r == -ENOENT && flags & SHMRING_FROM_OLDEST)
        r = shmr_broadcast_find_oldest(ring, 0, at);
    return r == -ENOENT ? shmr_broadcast_find_tail(ring, at) : r;
}

static inline void shmr_broadcast_go_to(struct shmr_broadcast_consumer *c,
                                        const struct shmr_broadcast_at *at)
{
    c->position = at->position;
    c->number = at->number;
    c->horizon = at->horizon;
}

/*
 * Say that the consumer is to be reliable. A producer that scans the rows from now on waits for it.
 * One that has scanned them before may go on to a capacity behind the tail that it had then
 * (cast:J2). So the consumer finds the tail once more: from there on it misses nothing
 * (`promised`). If it starts before that, it may be lapped until it has come there.
 */
static inline int shmr_broadcast_ask_for_reliable(struct shmr_broadcast_consumer *c, unsigned flags,
                                                  uint64_t reliable, struct shmr_broadcast_at *at)
{
    const uint64_t start = at->position;
    struct shmr_broadcast_at tail;
    int r = -EAGAIN;

    atomic_store_explicit(&c->row->position, start, memory_order_release);
    atomic_store_explicit(&c->row->reliable, reliable, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* cast:J1 */
    for (int i = 0; r == -EAGAIN && i < SHMR_BROADCAST_JOIN_TRIES; i++)
        r = shmr_broadcast_find_tail(&c->ring, &tail);
    if (r < 0) {
        at->damage = tail.damage;
        return r;
    }
    if (!(flags & (SHMRING_FROM_OLDEST | SHMRING_FROM_KEY)) ||
        !shmr_broadcast_is_before(&c->ring, start, tail.horizon))
        *at = tail;
    atomic_store_explicit(&c->row->position, at->position, memory_order_release);
    c->promised = (struct shmr_broadcast_promise){tail.position, tail.number};
    return 0;
}

/*
 * Find where the consumer starts, and say so in c->row. reliable: what the row says while its owner
 * is reliable, or 0. 0, -EAGAIN or -EBADMSG; -EAGAIN only if the producer laps each attempt. Then
 * the caller attaches the row, and calls shmr_broadcast_join().
 */
static inline int shmr_broadcast_start_consumer(struct shmr_broadcast_consumer *c, unsigned flags,
                                                uint64_t reliable)
{
    struct shmr_broadcast_at at = {0};
    int r = -EAGAIN;

    /* No other participant writes there, as the caller has locked the row. */
    (void)shmr_broadcast_read_record(c->row, c);
    c->empty_events = atomic_load_explicit(&c->row->empty_events, memory_order_relaxed);
    atomic_store_explicit(&c->row->reliable, 0, memory_order_relaxed);
    for (int i = 0; r == -EAGAIN && i < SHMR_BROADCAST_JOIN_TRIES; i++) {
        r = shmr_broadcast_find_start(&c->ring, flags, &at);
        if (r == 0 && reliable)
            r = shmr_broadcast_ask_for_reliable(c, flags, reliable, &at);
    }
    c->side.damage = at.damage;
    if (r < 0)
        return r;
    shmr_broadcast_go_to(c, &at);
    c->base = c->number - c->steps;
    atomic_store_explicit(&c->row->base, c->base, memory_order_relaxed);
    shmr_stream_start(&c->side.stream, c->number, c->position);
    c->lead = 0;
    c->side.misses = 1; /* empty_events does not count an empty queue before the first message */
    return 0;
}

/*
 * The last step of a consumer that is to be reliable. If its process stopped for long since it
 * found its start, then the producer has struck the row off: -EAGAIN, begin again. From now on the
 * producer strikes off only what it reads from here on: the position first.
 */
static inline int shmr_broadcast_join(struct shmr_broadcast_consumer *c, uint64_t reliable)
{
    uint64_t asked = reliable;

    if (!atomic_compare_exchange_strong_explicit(&c->row->reliable, &asked,
                                                 reliable | SHMR_BROADCAST_JOINED,
                                                 memory_order_release, memory_order_relaxed))
        return -EAGAIN;
    c->reliable = true;
    return 0;
}

/* The producer does not wait for this consumer any more. */
static inline void shmr_broadcast_stop_consumer(struct shmr_broadcast_row *row)
{
    atomic_store_explicit(&row->reliable, 0, memory_order_relaxed);
}

/* Go to the tail. Returns how many messages that passes over, or -EAGAIN, -EINPROGRESS, -EBADMSG.
 */
static inline int64_t shmr_broadcast_skip(struct shmr_broadcast_consumer *c)
{
    struct shmr_broadcast_at at;

    if (c->held != 0)
        return -EINPROGRESS;
    const int r = shmr_broadcast_find_tail(&c->ring, &at);
    if (r < 0) {
        c->side.damage = at.damage;
        return r;
    }
    const uint64_t skipped = at.number - c->number;
    c->side.damage = "corrupt: the producer's messages do not fit this consumer's";
    if ((int64_t)(at.position - c->position) < 0 ||
        skipped > (at.position - c->position) / shmring_record_size(0) ||
        (int64_t)(at.horizon - c->horizon) < 0)
        return -EBADMSG;
    shmr_broadcast_go_to(c, &at);
    shmr_broadcast_store_position(c);
    c->base += skipped;
    atomic_store_explicit(&c->row->base, c->base, memory_order_relaxed);
    return (int64_t)skipped;
}

/* ---- Observing ------------------------------------------------------------------------------- */

/* What a row says of its consumer. */
struct shmr_broadcast_view {
    uint64_t received, bytes, missed;
    uint64_t number; /* of its next message, without those held */
    uint64_t position;
    bool reliable;
};

static inline void shmr_broadcast_observe_row(const struct shmr_broadcast_row *row,
                                              struct shmr_broadcast_view *v)
{
    struct shmr_broadcast_consumer c;

    (void)shmr_broadcast_read_record(row, &c);
    v->bytes = c.bytes;
    v->missed = c.missed;
    v->received = c.steps - c.missed;
    v->number = atomic_load_explicit(&row->base, memory_order_relaxed) + c.steps;
    v->reliable = atomic_load_explicit(&row->reliable, memory_order_acquire) != 0;
    v->position = atomic_load_explicit(&row->position, memory_order_relaxed); /* cast:A3 */
}

#endif
