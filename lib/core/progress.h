/* SPDX-License-Identifier: MIT */
/*
 * Progress records: what a side of a byte ring stores about itself. spsc/ring.h and
 * broadcast/ring.h describe the orderings: spsc:R3, spsc:R4 and cast:R4 with spsc:A3, spsc:A4 and
 * cast:A4; spsc:R5 and cast:R5 with spsc:A5 and cast:A5.
 */
#ifndef SHMR_PROGRESS_H
#define SHMR_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h"

/*
 * How far one side has come. A side has two of these and writes them in turn, `position` last:
 * the record with the greater position is whole, and the other one may be half-written. So a
 * participant that is killed between any two stores leaves one position with its counters, and all
 * successors and observers read the same ones.
 */
struct shmr_progress {
    _Atomic uint64_t messages; /* so far */
    _Atomic uint64_t bytes;    /* payload so far */
    _Atomic uint64_t
        position; /* producer: end of the last published record; consumer: of the last released */
    uint64_t zero;
};

SHMR_AT(shmr_progress, bytes, 8);
SHMR_AT(shmr_progress, position, 16);
static_assert(sizeof(struct shmr_progress) == 32, "shmr_progress");

/* The whole one of two progress records: the one with the greater position. */
static inline const struct shmr_progress *
shmr_progress_whole(const struct shmr_progress progress[2])
{
    /* spsc:A3, spsc:A4, cast:A4: pairs with spsc:R3, spsc:R4, cast:R4 in shmr_progress_store */
    uint64_t a = atomic_load_explicit(&progress[0].position, memory_order_acquire);
    uint64_t b = atomic_load_explicit(&progress[1].position, memory_order_acquire);

    return &progress[(int64_t)(b - a) > 0];
}

static inline void shmr_progress_store(struct shmr_progress progress[2], uint32_t *turn,
                                       uint64_t position, uint64_t bytes, uint64_t messages)
{
    struct shmr_progress *mine = &progress[*turn];

    *turn ^= 1;
    /* spsc:R5, cast:R5: a reader that reads one of these counters then reads that the other record
     * is the whole one by now; pairs with spsc:A5, cast:A5 in shmr_progress_read. */
    atomic_store_explicit(&mine->messages, messages, memory_order_release);
    atomic_store_explicit(&mine->bytes, bytes, memory_order_release);
    /* spsc:R3, spsc:R4, cast:R4: after the last access to the payload. This makes the record whole;
     * pairs with spsc:A3, spsc:A4, cast:A4. */
    atomic_store_explicit(&mine->position, position, memory_order_release);
}

/* What a progress record says. */
struct shmr_progress_copy {
    uint64_t position, bytes, messages;
};

/*
 * Read a whole record of a side that may be at work. Its writer may write the record again during
 * the read. False after SHMR_PROGRESS_TRIES such reads: the numbers may be of two moments.
 */
#define SHMR_PROGRESS_TRIES 8
static inline bool shmr_progress_read(const struct shmr_progress progress[2],
                                      struct shmr_progress_copy *copy)
{
    for (int i = 0; i < SHMR_PROGRESS_TRIES; i++) {
        const struct shmr_progress *whole = shmr_progress_whole(progress);
        /* spsc:A3, spsc:A4, cast:A4 */
        copy->position = atomic_load_explicit(&whole->position, memory_order_acquire);
        /* spsc:A5, cast:A5: pairs with spsc:R5, cast:R5 in shmr_progress_store */
        copy->messages = atomic_load_explicit(&whole->messages, memory_order_acquire);
        copy->bytes = atomic_load_explicit(&whole->bytes, memory_order_acquire);
        /* The writer writes this record again only after it has made the other one whole. */
        if (shmr_progress_whole(progress) == whole &&
            atomic_load_explicit(&whole->position, memory_order_relaxed) == copy->position)
            return true;
    }
    return false;
}

#endif
