/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: finding a place in a ring that the producer may be going round: the tail, the oldest
 * message that is whole, and the last key message. Consumers that attach or were lapped, successors
 * of a producer and observers use these. The orderings are described in ring.h. No system call,
 * bounded.
 */
#ifndef SHMR_BROADCAST_PLACES_H
#define SHMR_BROADCAST_PLACES_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "broadcast/state.h"

/* The producer stores its progress when it has gone on by a chunk, or by this, if that is less. */
#ifndef SHMR_BROADCAST_PROGRESS_BYTES /* the models have less */
#define SHMR_BROADCAST_PROGRESS_BYTES (UINT64_C(64) << 10)
#endif

/* Attempts to find a place or to read a pair of words, if the producer laps or rewrites it. */
#define SHMR_BROADCAST_TRIES 8

/* A place: message `number` starts at `position`, and `bytes` of payload were sent before it. */
struct shmr_broadcast_at {
    uint64_t position, number, bytes;
    uint64_t horizon;   /* as read when the place was found whole */
    uint64_t key;       /* the position of the last key message on the way there, */
    uint64_t key_count; /* and its number plus 1; 0: there was none */
    const char *damage; /* after -EBADMSG */
};

static inline _Atomic uint32_t *shmr_broadcast_header(const struct shmr_broadcast_ring *ring,
                                                      uint64_t position)
{
    return (_Atomic uint32_t *)(void *)(ring->data + (position & ring->mask) + 4);
}

static inline uint32_t shmr_broadcast_poll(const struct shmr_broadcast_ring *ring,
                                           uint64_t position)
{
    /* cast:A1, pairs with cast:R1 in shmr_broadcast_publish: the payload is there when its header
     * is. */
    return atomic_load_explicit(shmr_broadcast_header(ring, position), memory_order_acquire);
}

/* The length that a header says; UINT32_MAX: the header is 0, the terminator. */
static inline uint32_t shmr_broadcast_length(uint32_t header)
{
    return (header & ~SHMR_BROADCAST_KEY) - 1;
}

static inline uint64_t shmr_broadcast_horizon(const struct shmr_broadcast_ring *ring)
{
    return atomic_load_explicit(&ring->page->horizon, memory_order_relaxed);
}

/* With that horizon the producer has not begun to write over the byte at the position. */
static inline bool shmr_broadcast_is_before(const struct shmr_broadcast_ring *ring,
                                            uint64_t position, uint64_t horizon)
{
    return (int64_t)(position + shmr_broadcast_capacity(ring) - horizon) >= 0;
}

static inline uint64_t shmr_broadcast_progress_step(const struct shmr_broadcast_ring *ring)
{
    const uint64_t chunk = shmr_broadcast_chunk(ring);

    return chunk < SHMR_BROADCAST_PROGRESS_BYTES ? chunk : SHMR_BROADCAST_PROGRESS_BYTES;
}

/* Bytes from the position of the progress record to the tail, at most. */
static inline uint64_t shmr_broadcast_walk_most(const struct shmr_broadcast_ring *ring)
{
    return shmr_broadcast_progress_step(ring) +
           shmr_broadcast_capacity(ring) / SHMR_BROADCAST_MOST_FRACTION;
}

/* Does the position lie in that chunk of the ring? */
static inline bool shmr_broadcast_in_chunk(const struct shmr_broadcast_ring *ring,
                                           uint64_t position, uint64_t chunk)
{
    return (position & ring->mask) / shmr_broadcast_chunk(ring) == chunk;
}

/* ---- The tail -------------------------------------------------------------------------------- */

/*
 * Walk from a place over the records that were published since, to the terminator. A producer at
 * work may publish more meanwhile: the walk ends in any case behind what was published when the
 * place was read. False: a header there is not a producer's.
 */
static inline bool shmr_broadcast_walk(const struct shmr_broadcast_ring *ring,
                                       struct shmr_broadcast_at *at)
{
    const uint64_t start = at->position;

    while (at->position - start < shmr_broadcast_walk_most(ring)) {
        const uint32_t header = shmr_broadcast_poll(ring, at->position);
        const uint32_t len = shmr_broadcast_length(header);
        if (header == 0)
            return true;
        if (len > ring->max_message)
            return false;
        if (header & SHMR_BROADCAST_KEY) {
            at->key = at->position;
            at->key_count = at->number + 1;
        }
        at->position += shmring_record_size(len);
        at->bytes += len;
        at->number++;
    }
    return true;
}

/* Check the horizon at which a place was found whole. */
static inline bool shmr_broadcast_horizon_fits(const struct shmr_broadcast_ring *ring,
                                               struct shmr_broadcast_at *at)
{
    at->damage = "corrupt: the horizon is not at the end of a chunk";
    if (at->horizon % shmr_broadcast_chunk(ring) != 0)
        return false;
    at->damage = "corrupt: the horizon is behind messages";
    return at->number == 0 || (int64_t)(at->horizon - at->position) >= SHMR_BROADCAST_SPARE;
}

static inline void shmr_broadcast_start_at(struct shmr_broadcast_at *at,
                                           const struct shmr_progress_copy *progress)
{
    *at = (struct shmr_broadcast_at){
        .position = progress->position, .number = progress->messages, .bytes = progress->bytes};
}

/*
 * A producer stores its progress before it moves the horizon a ring further than that. So if a
 * reader of that horizon then still finds the progress at `position`, no producer wrote the two.
 */
static inline bool shmr_broadcast_has_stayed(const struct shmr_broadcast_ring *ring,
                                             uint64_t position)
{
    /* cast:C1: if the horizon was read from R7, then this reads the progress stored before it. */
    atomic_thread_fence(memory_order_acquire);
    const struct shmr_progress *whole = shmr_progress_whole(ring->page->progress);

    return atomic_load_explicit(&whole->position, memory_order_relaxed) == position;
}

/*
 * The end of what was published, with the counters there. Returns 0; -EAGAIN: the producer lapped
 * each walk, and *at is an earlier place; -EBADMSG.
 */
static inline int shmr_broadcast_find_tail(const struct shmr_broadcast_ring *ring,
                                           struct shmr_broadcast_at *at)
{
    struct shmr_progress_copy start = {0};

    for (int i = 0; i < SHMR_BROADCAST_TRIES; i++) {
        if (!shmr_progress_read(ring->page->progress, &start)) /* cast:A4 */
            continue;
        shmr_broadcast_start_at(at, &start);
        at->damage = "corrupt: the producer's position is not a multiple of 8";
        if (start.position % 8 != 0)
            return -EBADMSG;
        const bool good = shmr_broadcast_walk(ring, at);
        atomic_thread_fence(memory_order_acquire); /* cast:C1 */
        at->horizon = shmr_broadcast_horizon(ring);
        /* The horizon never falls: so all headers of the walk were whole. */
        if (shmr_broadcast_is_before(ring, start.position, at->horizon)) {
            if (!good)
                at->damage = "corrupt: one of the last records' headers is longer than max_message";
            return good && shmr_broadcast_horizon_fits(ring, at) ? 0 : -EBADMSG;
        }
        at->damage = "corrupt: the horizon is a ring ahead of the producer's position";
        if (shmr_broadcast_has_stayed(ring, start.position))
            return -EBADMSG;
    }
    shmr_broadcast_start_at(at, &start);
    at->horizon = shmr_broadcast_horizon(ring);
    return -EAGAIN;
}

/* ---- The oldest message ---------------------------------------------------------------------- */

/*
 * Read the marks. With that horizon, *at is the oldest place that a mark names and that is whole,
 * and `lead` bytes ahead of where the producer overwrites next; or, if no place is so far ahead,
 * the newest. False: no mark names a place that is whole.
 */
static inline bool shmr_broadcast_read_marks(const struct shmr_broadcast_ring *ring,
                                             uint64_t horizon, uint64_t lead,
                                             struct shmr_broadcast_at *at)
{
    const uint64_t start = horizon - shmr_broadcast_capacity(ring);
    uint64_t best = 0;
    bool found = false;

    *at = (struct shmr_broadcast_at){0};
    for (uint64_t chunk = 0; chunk < SHMR_BROADCAST_CHUNKS; chunk++) {
        const struct shmr_broadcast_place *mark = &ring->page->mark[chunk];
        /* cast:A2, pairs with cast:R2 in shmr_broadcast_store_mark */
        const uint64_t position = atomic_load_explicit(&mark->position, memory_order_acquire);
        const uint64_t number = atomic_load_explicit(&mark->number, memory_order_relaxed);
        const uint64_t ahead = position - start;
        if (position % 8 != 0 || !shmr_broadcast_in_chunk(ring, position, chunk) ||
            !shmr_broadcast_is_before(ring, position, horizon))
            continue;
        if (found && (best < lead ? ahead < best : ahead < lead || ahead > best))
            continue;
        at->position = position;
        at->number = number;
        best = ahead;
        found = true;
    }
    return found;
}

/*
 * The oldest message that a mark names and that is whole. lead: that many bytes ahead of where the
 * producer overwrites next, or else the newest. Returns 0, -EAGAIN (the producer went on too far
 * during each attempt) or -EBADMSG.
 */
static inline int shmr_broadcast_find_oldest(const struct shmr_broadcast_ring *ring, uint64_t lead,
                                             struct shmr_broadcast_at *at)
{
    for (int i = 0; i < SHMR_BROADCAST_TRIES; i++) {
        /* cast:A7, pairs with cast:R7 in shmr_broadcast_move_horizon: the marks before it are
         * there. */
        const uint64_t horizon = atomic_load_explicit(&ring->page->horizon, memory_order_acquire);
        const bool found = shmr_broadcast_read_marks(ring, horizon, lead, at);
        /* If the number is one that was stored for a later position (cast:R2), then this horizon
         * is past the place. */
        atomic_thread_fence(memory_order_acquire); /* cast:C1 */
        at->horizon = shmr_broadcast_horizon(ring);
        if (!found && at->horizon == horizon) {
            at->damage = "corrupt: no mark names a message that is whole";
            return -EBADMSG;
        }
        if (found && shmr_broadcast_is_before(ring, at->position, at->horizon)) {
            at->damage = "corrupt: the horizon is not at the end of a chunk";
            if (at->horizon % shmr_broadcast_chunk(ring) != 0)
                return -EBADMSG;
            at->damage = "corrupt: a mark is not behind the horizon";
            return at->number == 0 || (int64_t)(at->horizon - at->position) > 0 ? 0 : -EBADMSG;
        }
    }
    return -EAGAIN;
}

/* ---- The last key message -------------------------------------------------------------------- */

static inline const struct shmr_broadcast_place *
shmr_broadcast_key_whole(const struct shmr_broadcast_page *page)
{
    /* cast:A6, pairs with cast:R6 in shmr_broadcast_store_key */
    uint64_t a = atomic_load_explicit(&page->key[0].number, memory_order_acquire);
    uint64_t b = atomic_load_explicit(&page->key[1].number, memory_order_acquire);

    return &page->key[(int64_t)(b - a) > 0];
}

/* The last key message whose place the producer has stored. Returns 0; -ENOENT: there was none, it
 * is not whole any more, or the producer sends one after the other just now; -EBADMSG. */
static inline int shmr_broadcast_find_stored_key(const struct shmr_broadcast_ring *ring,
                                                 struct shmr_broadcast_at *at)
{
    for (int i = 0; i < SHMR_BROADCAST_TRIES; i++) {
        const struct shmr_broadcast_place *whole = shmr_broadcast_key_whole(ring->page);
        const uint64_t number = atomic_load_explicit(&whole->number, memory_order_acquire);
        *at = (struct shmr_broadcast_at){0};
        /* cast:A5, pairs with cast:R5 in shmr_broadcast_store_key */
        at->position = atomic_load_explicit(&whole->position, memory_order_acquire);
        at->number = number - 1;
        if (shmr_broadcast_key_whole(ring->page) != whole ||
            atomic_load_explicit(&whole->number, memory_order_relaxed) != number)
            continue;
        if (number == 0)
            return -ENOENT;
        at->damage = "corrupt: the last key message is not where a message can be";
        if (at->position % 8 != 0)
            return -EBADMSG;
        const uint32_t header = shmr_broadcast_poll(ring, at->position);
        atomic_thread_fence(memory_order_acquire); /* cast:C1 */
        at->horizon = shmr_broadcast_horizon(ring);
        if (!shmr_broadcast_is_before(ring, at->position, at->horizon))
            return -ENOENT;
        return header & SHMR_BROADCAST_KEY && shmr_broadcast_length(header) <= ring->max_message &&
                       at->horizon % shmr_broadcast_chunk(ring) == 0 &&
                       (int64_t)(at->horizon - at->position) > 0
                   ? 0
                   : -EBADMSG;
    }
    return -ENOENT;
}

/*
 * The last key message that was published. The producer stores its place after that, and its
 * progress later. If it has not stored the place yet, then the walk from the last progress to the
 * tail meets the message. Else, if cast:A4 reads that progress from cast:R4, then cast:A6 reads the
 * key of cast:R6 before it. Returns as shmr_broadcast_find_stored_key().
 */
static inline int shmr_broadcast_find_key(const struct shmr_broadcast_ring *ring,
                                          struct shmr_broadcast_at *at)
{
    struct shmr_broadcast_at tail;
    const bool met = shmr_broadcast_find_tail(ring, &tail) == 0 && tail.key_count != 0;
    const int r = shmr_broadcast_find_stored_key(ring, at);

    if (!met || r == -EBADMSG || (r == 0 && (int64_t)(tail.key_count - 1 - at->number) <= 0))
        return r;
    *at = (struct shmr_broadcast_at){
        .position = tail.key, .number = tail.key_count - 1, .horizon = tail.horizon};
    return 0;
}

#endif
