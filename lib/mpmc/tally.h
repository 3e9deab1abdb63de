/* SPDX-License-Identifier: MIT */
/*
 * Tallies: how many messages an mpmc participant has sent, or received, exact wherever it is
 * killed.
 *
 * A count cannot be stored together with the step that it counts. So the participant first stores
 * which block the step is about, then stores the counts, and then makes the step:
 *
 *     pending = count, block     mpmc:T1
 *     twice, messages            mpmc:T2   after mpmc:T1
 *     the step                   mpmc:R1 or mpmc:R2 of blocks.h, after mpmc:T2
 *     pending = 0                mpmc:T3   after the step
 *
 * While a step is pending, its block says whether the step was made: see shmr_mpmc_is_unsent() and
 * shmr_mpmc_is_held() in recovery.h. If it was made, mpmc:T2 was made before. If it was not, the
 * reader takes off again what mpmc:T2 has already stored: each message changes the last bit of both
 * words, so these bits tell which words have been stored. For a dead participant the block goes on
 * saying so: only a recoverer changes the block, and it settles the tally before.
 *
 * The stores are releases, so that the compiler, too, keeps them in this order.
 */
#ifndef SHMR_TALLY_H
#define SHMR_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h"

/* A pending word: block in bits 0-23, F in 25, the number of messages in 26-63. */
#define SHMR_PENDING_BLOCK ((UINT64_C(1) << 24) - 1)
#define SHMR_PENDING       (UINT64_C(1) << 25) /* F: a step is pending */
#define SHMR_PENDING_COUNT 26

#define SHMR_TALLY_TRIES 8

/* `twice` is twice the bytes plus the messages, so that its last bit is that of the messages. */
struct shmr_count {
    uint64_t messages, twice;
};

static inline uint64_t shmr_count_bytes(struct shmr_count count)
{
    return (count.twice - count.messages) / 2;
}

static inline void shmr_tally_store(struct shmr_tally *t, struct shmr_count count)
{
    atomic_store_explicit(&t->twice, count.twice, memory_order_release);
    atomic_store_explicit(&t->messages, count.messages, memory_order_release);
}

/* Before a step: `count` has the numbers as they are after it, `block` is the step's block. */
static inline void shmr_tally_begin(struct shmr_tally *t, struct shmr_count count, uint32_t block)
{
    atomic_store_explicit(&t->pending, /* mpmc:T1 */
                          count.messages << SHMR_PENDING_COUNT | SHMR_PENDING | block,
                          memory_order_release);
    shmr_tally_store(t, count); /* mpmc:T2 */
}

static inline void shmr_tally_end(struct shmr_tally *t)
{
    atomic_store_explicit(&t->pending, 0, memory_order_release); /* mpmc:T3 */
}

static inline uint64_t shmr_tally_pending(const struct shmr_tally *t)
{
    return atomic_load_explicit(&t->pending, memory_order_acquire);
}

/* The numbers stored. Their owner may be at work: after SHMR_TALLY_TRIES reads that it disturbed,
 * they may be of two moments. */
static inline struct shmr_count shmr_tally_stored(const struct shmr_tally *t)
{
    struct shmr_count count;

    for (int i = 0; i < SHMR_TALLY_TRIES; i++) {
        count.messages = atomic_load_explicit(&t->messages, memory_order_acquire);
        count.twice = atomic_load_explicit(&t->twice, memory_order_acquire);
        if (atomic_load_explicit(&t->messages, memory_order_relaxed) == count.messages)
            break;
    }
    return count;
}

/* The pending step was not made: return the counts without its message, which has `len` bytes. */
static inline struct shmr_count shmr_count_without(struct shmr_count stored, uint64_t pending,
                                                   uint32_t len)
{
    const uint64_t count = pending >> SHMR_PENDING_COUNT;

    if (((stored.messages ^ count) & 1) == 0)
        stored.messages--;
    if (((stored.twice ^ count) & 1) == 0)
        stored.twice -= 2 * (uint64_t)len + 1;
    return stored;
}

#endif
