/* SPDX-License-Identifier: MIT */
/*
 * MPMC: blocks tagged with their owner, and a ring that publishes them.
 *
 * Payloads stand in blocks. Each block has a descriptor, which alone says whose the block is and
 * what is in it:
 *
 *     FREE                          no participant owns it
 *     OWN  owner                    a producer fills it
 *     RDY  owner, position          a message, in the queue once the entry of position names it
 *     OWN  owner, M, position       a message that a consumer has taken
 *     OWN  owner, M, R, count       a message that a recoverer has taken, and its deliveries so far
 *                                   (0: they stand in the block already)
 *     RDY  owner, M, R, position    a message that a recoverer publishes again
 *
 * Every claim is one compare-and-swap that writes the claimer's row number: so each block that a
 * dead participant owned names it. The ring has N entries {cycle, block}; position p belongs to
 * entry p mod N in cycle p / N + 1. An entry of the cycle before means that p is not published yet.
 * There is no shared head or tail: each producer walks a cursor of its own past the positions that
 * are published, and each consumer past those that are taken. Neither leaves a hole behind its
 * cursor, so messages are FIFO by commit. The shared hints only shorten the way of a participant
 * that is new, or was idle.
 *
 * Why a producer never overwrites the entry of a message that no consumer has taken: there are N
 * blocks. If the message of p - N were not taken, then none of the N messages from p - N to p - 1
 * would be: they would have all N blocks, and the producer would own none to publish.
 *
 * Entry i stands in block i, beside its descriptor and payload: so a short message that is
 * published by the entry of its own block moves one cache line.
 *
 * Orderings. Each label stands at the place in the code that it names.
 *
 * mpmc:R1 -> mpmc:A1
 *     If a participant (A1) reads an entry that a producer published (R1), then it reads the
 *     contents and the descriptor of the block that the entry names.
 * mpmc:R2 -> mpmc:A2
 *     If a producer's claim (A2) reads FREE from the release of a block (R2), then its stores
 *     come after the last read of the message that was there.
 * mpmc:R3 -> mpmc:A3
 *     If a recoverer (A3) reads a descriptor that a dead consumer or recoverer stored (R3),
 *     then it reads the block's contents as the dead one saw them.
 * mpmc:R4 -> mpmc:A4
 *     If a consumer (A4) reads a length that a producer stored (R4), then it reads a
 *     descriptor at least as new as that producer's claim, and sees that the message it was
 *     about to take is gone.
 * mpmc:R5 -> mpmc:A5
 *     If a participant (A5) reads a hint that another participant left (R5), then it reads
 *     the entries before that position, as by A1.
 * mpmc:R2 -> mpmc:F1
 *     If an observer that copies a message (dump.c) reads bytes of a later message in that
 *     block, then after its fence (F1) it reads another descriptor than before.
 *
 * Lock-free: a participant that stops anywhere holds up no other one. Each loop has a budget, so a
 * hostile peer that scribbles over the memory cannot make a call spin. No system call, no libc but
 * memcpy.
 *
 * Source: ring queues such as R. Nikolaev, "A Scalable, Portable, and Memory-Efficient Lock-Free
 * FIFO Queue", DISC 2019. Their claims are anonymous tickets, which a dead participant strands;
 * here the owner's row number in each claim lets a recoverer find it.
 */
#ifndef SHMR_MPMC_H
#define SHMR_MPMC_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmring/shmring.h>

#include "base/cpu.h"
#include "mpmc/layout.h"
#include "mpmc/tuning.h"

/* ---- The two words -------------------------------------------------------------------------- */

/* Descriptor: position or count in bits 0-47 (the count: OWN with R), owner's row in 48-59, M in
 * 60, R in 61, state in 62-63. */
#define SHMR_POSITION_BITS 48
#define SHMR_POSITION_MASK ((UINT64_C(1) << SHMR_POSITION_BITS) - 1)
#define SHMR_OWNER_MASK    UINT64_C(0xfff)
#define SHMR_M             (UINT64_C(1) << 60)
#define SHMR_R             (UINT64_C(1) << 61)
#define SHMR_FREE          UINT64_C(0)
#define SHMR_OWN           (UINT64_C(1) << 62)
#define SHMR_RDY           (UINT64_C(2) << 62)
#define SHMR_STATE_MASK    (UINT64_C(3) << 62)

static inline uint64_t shmr_descriptor(uint64_t state, uint32_t owner, uint64_t position)
{
    return state | (uint64_t)owner << SHMR_POSITION_BITS | (position & SHMR_POSITION_MASK);
}

static inline uint32_t shmr_owner(uint64_t descriptor)
{
    return (uint32_t)(descriptor >> SHMR_POSITION_BITS & SHMR_OWNER_MASK);
}

/* Is it the descriptor of the message of that position, not taken yet? */
static inline bool shmr_is_ready(uint64_t descriptor, uint64_t position)
{
    return (descriptor & SHMR_STATE_MASK) == SHMR_RDY &&
           ((descriptor ^ position) & SHMR_POSITION_MASK) == 0;
}

/* Entry: block in bits 0-23, cycle in 24-63. Both wrap; cycles are compared by their difference. */
#define SHMR_BLOCK_BITS 24
#define SHMR_BLOCK_MASK ((UINT64_C(1) << SHMR_BLOCK_BITS) - 1)

struct shmr_mpmc {
    uint8_t *blocks;
    /* For each block: the position at which its message was first published, if it was delivered
     * before. */
    _Atomic uint64_t *origins;
    uint64_t mask;   /* number of entries, and of blocks, minus 1 */
    uint32_t shift;  /* log2 of the entries */
    uint32_t stride; /* bytes from block to block */
    uint32_t max_message;
    uint32_t me;
    uint64_t tail; /* position from which the search for a free entry begins */
    uint64_t head; /* position from which the search for a message begins */
    struct shmr_mpmc_page *tail_page;
    struct shmr_mpmc_page *head_page;
    uint64_t scan; /* where the search for a free block goes on, behind those nearby */
    struct shmr_side sending, receiving;
};

/* Upper limit on the steps of a cursor in one call: more than a lap, because other participants go
 * on meanwhile. */
static inline uint64_t shmr_mpmc_budget(const struct shmr_mpmc *q)
{
    return 2 * (q->mask + 1) + 1024;
}

static inline struct shmr_block *shmr_mpmc_block(const struct shmr_mpmc *q, uint64_t index)
{
    return (struct shmr_block *)(void *)(q->blocks + (index & q->mask) * q->stride);
}

static inline uint64_t shmr_mpmc_entry(const struct shmr_mpmc *q, uint64_t position, uint64_t block)
{
    return ((position >> q->shift) + 1) << SHMR_BLOCK_BITS | block;
}

/* A block that this participant owns. If it was taken with a message, `length` is the length of
 * that message. */
struct shmr_mine {
    struct shmr_block *block; /* NULL: none, and index says why */
    int32_t index;            /* or -errno */
    uint32_t length;
};

static inline struct shmr_mine shmr_mine_none(int why)
{
    return (struct shmr_mine){.index = why};
}

/* How many laps the entry is ahead of that position: -1 not published yet; 0 published; more: a
 * later position is published there, so the message of that position was taken. */
static inline int64_t shmr_mpmc_laps(const struct shmr_mpmc *q, uint64_t entry, uint64_t position)
{
    uint64_t ahead = (entry >> SHMR_BLOCK_BITS) - ((position >> q->shift) + 1);

    return (int64_t)(ahead << SHMR_BLOCK_BITS) >> SHMR_BLOCK_BITS;
}

static inline uint64_t shmr_mpmc_poll(const struct shmr_mpmc *q, uint64_t position)
{
    /* mpmc:A1, pairs with mpmc:R1 in shmr_mpmc_try_publish */
    return atomic_load_explicit(&shmr_mpmc_block(q, position)->entry, memory_order_acquire);
}

/* Was the message of a position taken? Then all before it were, too: see the top. */
static inline bool shmr_mpmc_is_taken(const struct shmr_mpmc *q, uint64_t position)
{
    uint64_t entry = shmr_mpmc_poll(q, position);
    const struct shmr_block *block = shmr_mpmc_block(q, entry & SHMR_BLOCK_MASK);

    return shmr_mpmc_laps(q, entry, position) != 0 ||
           !shmr_is_ready(atomic_load_explicit(&block->descriptor, memory_order_relaxed), position);
}

/*
 * Sample the high-water mark: how many messages wait? This is done every SHMR_MPMC_SAMPLE_LEAST
 * positions or every 1/16 of the queue, whichever is more, and when the queue is full.
 */
__attribute__((noinline, unused)) static void shmr_mpmc_sample(const struct shmr_mpmc *q)
{
    uint64_t hint = atomic_load_explicit(&q->head_page->hint, memory_order_relaxed);
    uint64_t from = q->tail - hint <= q->mask + 1 ? hint : q->tail - q->mask - 1, to = q->tail;
    uint64_t mark = atomic_load_explicit(&q->tail_page->high_water, memory_order_relaxed);

    while (from != to) { /* the first message that waits lies between the two */
        uint64_t middle = from + (to - from) / 2;
        if (shmr_mpmc_is_taken(q, middle))
            from = middle + 1;
        else
            to = middle;
    }
    /* A failure means that another participant has stored its mark. Each stores one at most that is
     * higher, so the loop ends. */
    while (q->tail - from > mark && !atomic_compare_exchange_strong_explicit(
                                        &q->tail_page->high_water, &mark, q->tail - from,
                                        memory_order_relaxed, memory_order_relaxed))
        ;
}

static inline void shmr_mpmc_sample_at(const struct shmr_mpmc *q, uint64_t position)
{
    uint64_t every = (q->mask + 1) / 16;

    if (SHMR_MPMC_SAMPLE_LEAST != 0 &&
        position % (every > SHMR_MPMC_SAMPLE_LEAST ? every : SHMR_MPMC_SAMPLE_LEAST) == 0)
        shmr_mpmc_sample(q);
}

/*
 * Take a hint if it is ahead of my cursor; no hint is ahead of the queue's own position. The
 * acquire shows me the entries before the hint. Without it I could send a message behind one whose
 * entry a consumer does not read yet, and that consumer would miss mine though my send has
 * returned.
 */
static inline uint64_t shmr_mpmc_take_hint(const _Atomic uint64_t *hint, uint64_t cursor)
{
    uint64_t seen =
        atomic_load_explicit(hint, memory_order_acquire); /* mpmc:A5, pairs with mpmc:R5 */

    return (int64_t)(seen - cursor) > 0 ? seen : cursor;
}

static inline bool shmr_mpmc_leave_hint(_Atomic uint64_t *hint, uint64_t position)
{
    if (__builtin_expect(position % SHMR_MPMC_HINT_EVERY != 0, 1))
        return false;
    atomic_store_explicit(hint, position, memory_order_release); /* mpmc:R5, pairs with mpmc:A5 */
    return true;
}

/* ---- Sending -------------------------------------------------------------------------------- */

/*
 * Walk my cursor to the first position that is not published, in *steps steps at most, from which
 * those made are subtracted. *entry: the entry there. False: no steps are left.
 */
static inline bool shmr_mpmc_walk(struct shmr_mpmc *q, uint64_t *entry, uint64_t *steps)
{
    while (*steps > 0) {
        --*steps;
        *entry = shmr_mpmc_poll(q, q->tail);
        int64_t laps = shmr_mpmc_laps(q, *entry, q->tail);
        if (laps < 0)
            return true;
        /* Published, and so is everything before it. */
        q->tail += ((uint64_t)laps << q->shift) + 1;
        if (*steps % SHMR_MPMC_NEARBY == 0)
            q->tail = shmr_mpmc_take_hint(&q->tail_page->hint, q->tail);
    }
    return false;
}

static inline bool shmr_mpmc_find_tail(struct shmr_mpmc *q, uint64_t *entry)
{
    uint64_t steps = shmr_mpmc_budget(q);

    return shmr_mpmc_walk(q, entry, &steps);
}

static inline bool shmr_mpmc_is_free(const struct shmr_block *block)
{
    uint64_t d = atomic_load_explicit(&block->descriptor, memory_order_relaxed);

    return (d & SHMR_STATE_MASK) == SHMR_FREE;
}

static inline bool shmr_mpmc_try_own(const struct shmr_mpmc *q, struct shmr_block *block)
{
    uint64_t free = atomic_load_explicit(&block->descriptor, memory_order_relaxed);

    if ((free & SHMR_STATE_MASK) != SHMR_FREE)
        return false;
    /* mpmc:A2, pairs with mpmc:R2 in shmr_mpmc_free: the last message's consumer is done. */
    if (__builtin_expect(atomic_compare_exchange_strong_explicit(
                             &block->descriptor, &free, shmr_descriptor(SHMR_OWN, q->me, 0),
                             memory_order_acquire, memory_order_relaxed),
                         1))
        return true;
    shmr_mpmc_back_off(&q->sending);
    return false;
}

/* Does every block have a message that waits? If so, the message of a lap ago waits. If not, some
 * blocks are merely held. */
static inline bool shmr_mpmc_is_full(const struct shmr_mpmc *q, uint64_t entry)
{
    const struct shmr_block *oldest = shmr_mpmc_block(q, entry & SHMR_BLOCK_MASK);

    return entry >> SHMR_BLOCK_BITS != 0 &&
           shmr_is_ready(atomic_load_explicit(&oldest->descriptor, memory_order_relaxed),
                         q->tail - q->mask - 1);
}

/* The block at my cursor is not free, or my cursor is behind: walk on, and search. */
__attribute__((noinline)) static struct shmr_mine shmr_mpmc_own_elsewhere(struct shmr_mpmc *q)
{
    uint64_t entry;

    if (!shmr_mpmc_find_tail(q, &entry))
        return shmr_mine_none(-EAGAIN);
    for (int i = 0; i < SHMR_MPMC_SEARCH; i++) {
        uint64_t index = (i < SHMR_MPMC_NEARBY ? q->tail + (uint64_t)i : q->scan++) & q->mask;
        struct shmr_block *block = shmr_mpmc_block(q, index);
        if (shmr_mpmc_try_own(q, block))
            return (struct shmr_mine){.block = block, .index = (int32_t)index};
        if (i == 0 && shmr_mpmc_is_full(q, entry))
            break;
    }
    return shmr_mine_none(-EAGAIN);
}

/* Claim a free block: the one at the tail's own index, else one of the next 7, else one of 64 from
 * `scan` on. */
static inline struct shmr_mine shmr_mpmc_own(struct shmr_mpmc *q)
{
    uint64_t index = q->tail & q->mask;
    struct shmr_block *block = shmr_mpmc_block(q, index);

    if (__builtin_expect(shmr_mpmc_laps(q, shmr_mpmc_poll(q, q->tail), q->tail) < 0, 1) &&
        __builtin_expect(shmr_mpmc_try_own(q, block), 1))
        return (struct shmr_mine){.block = block, .index = (int32_t)index};
    return shmr_mpmc_own_elsewhere(q);
}

/* Publish a block of mine at my cursor, where that entry said: not published yet. False: another
 * participant was faster. */
static inline bool shmr_mpmc_try_publish(struct shmr_mpmc *q, struct shmr_mine mine, uint64_t again,
                                         struct shmr_block *place, uint64_t entry)
{
    uint64_t tail = q->tail;

    /* This means nothing yet: no entry of that position names this block before mpmc:R1. */
    atomic_store_explicit(&mine.block->descriptor, shmr_descriptor(SHMR_RDY | again, q->me, tail),
                          memory_order_relaxed);
    /* mpmc:R1: contents and descriptor before it; pairs with mpmc:A1 in shmr_mpmc_poll. */
    if (!atomic_compare_exchange_strong_explicit(&place->entry, &entry,
                                                 shmr_mpmc_entry(q, tail, (uint32_t)mine.index),
                                                 memory_order_release, memory_order_relaxed))
        return false;
    q->tail = tail + 1;
    if (shmr_mpmc_leave_hint(&q->tail_page->hint, q->tail))
        shmr_mpmc_sample_at(q, q->tail);
    return true;
}

/* As shmr_mpmc_publish(), in *steps steps of my cursor at most; those made are subtracted. */
static inline int shmr_mpmc_publish_within(struct shmr_mpmc *q, struct shmr_mine mine,
                                           uint64_t again, uint64_t *steps)
{
    uint64_t entry;

    while (shmr_mpmc_walk(q, &entry, steps))
        if (shmr_mpmc_try_publish(q, mine, again, shmr_mpmc_block(q, q->tail), entry))
            return 0;
    return -EAGAIN;
}

__attribute__((noinline)) static int shmr_mpmc_publish_later(struct shmr_mpmc *q,
                                                             struct shmr_mine mine, uint64_t again)
{
    uint64_t steps = shmr_mpmc_budget(q);

    return shmr_mpmc_publish_within(q, mine, again, &steps);
}

/*
 * Publish a block of mine at the end of the queue. again: SHMR_M | SHMR_R for a message that was
 * delivered before, else 0. Returns 0, or -EAGAIN when the budget is used up: then the block is
 * still mine, and its descriptor says RDY, which means nothing without an entry (see
 * shmr_mpmc_keep()).
 */
static inline int shmr_mpmc_publish(struct shmr_mpmc *q, struct shmr_mine mine, uint64_t again)
{
    struct shmr_block *place = shmr_mpmc_block(q, q->tail);
    uint64_t entry = shmr_mpmc_poll(q, q->tail);

    if (__builtin_expect(shmr_mpmc_laps(q, entry, q->tail) < 0, 1) &&
        __builtin_expect(shmr_mpmc_try_publish(q, mine, again, place, entry), 1))
        return 0;
    return shmr_mpmc_publish_later(q, mine, again);
}

/* The block was not published: it is mine as before. */
static inline void shmr_mpmc_keep(const struct shmr_mpmc *q, struct shmr_block *block)
{
    atomic_store_explicit(&block->descriptor, shmr_descriptor(SHMR_OWN, q->me, 0),
                          memory_order_relaxed);
}

/* mpmc:R2: after the last access to the contents; pairs with mpmc:A2 in shmr_mpmc_try_own. */
static inline void shmr_mpmc_free(struct shmr_block *block)
{
    atomic_store_explicit(&block->descriptor, SHMR_FREE, memory_order_release);
}

/* How often the message in a block was taken before. */
static inline uint32_t shmr_mpmc_deliveries(const struct shmr_block *block)
{
    return atomic_load_explicit(&block->deliveries, memory_order_relaxed);
}

/* Describe the message in a block of mine. */
static inline void shmr_mpmc_fill(struct shmr_block *block, uint32_t len)
{
    atomic_store_explicit(&block->deliveries, 0, memory_order_relaxed);
    /* mpmc:R4, pairs with mpmc:A4 in shmr_mpmc_check_length. */
    atomic_store_explicit(&block->length, len, memory_order_release);
}

/* ---- Receiving ------------------------------------------------------------------------------ */

/* May I take the message whose descriptor was read as `ready`? 0: yes; 1: another participant has
 * taken it; or -EMSGSIZE, -EBADMSG. */
static inline int shmr_mpmc_check_length(struct shmr_mpmc *q, const struct shmr_block *block,
                                         uint64_t ready, size_t size, uint32_t *len)
{
    /* mpmc:A4, pairs with mpmc:R4 in shmr_mpmc_fill: if this is a later message's length, the load
     * of the descriptor below shows that, too. */
    *len = atomic_load_explicit(&block->length, memory_order_acquire);
    if (__builtin_expect(*len <= size && *len <= q->max_message, 1))
        return 0;
    if (atomic_load_explicit(&block->descriptor, memory_order_relaxed) != ready)
        return 1; /* taken meanwhile, and this was another message's length */
    if (*len <= q->max_message)
        return -EMSGSIZE;
    q->receiving.damage = "corrupt: the next block's length is longer than max_message";
    return -EBADMSG;
}

/*
 * Try to take the message at my cursor, which is published in that block: 0 taken, 1 another
 * participant has taken it, or -EMSGSIZE, -EBADMSG, and it stays.
 */
static inline int shmr_mpmc_try_take(struct shmr_mpmc *q, struct shmr_block *block, size_t size,
                                     uint32_t *len)
{
    uint64_t ready = atomic_load_explicit(&block->descriptor, memory_order_relaxed);

    if (__builtin_expect(!shmr_is_ready(ready, q->head), 0))
        return 1;
    int r = shmr_mpmc_check_length(q, block, ready, size, len);
    if (__builtin_expect(r != 0, 0))
        return r;
    /* mpmc:R3, pairs with mpmc:A3 in shmr_mpmc_recover_block. */
    if (__builtin_expect(atomic_compare_exchange_strong_explicit(
                             &block->descriptor, &ready,
                             shmr_descriptor(SHMR_OWN | SHMR_M, q->me, q->head),
                             memory_order_acq_rel, memory_order_relaxed),
                         1))
        return 0;
    shmr_mpmc_back_off(&q->receiving);
    return 1;
}

/*
 * Take the next message; or -EAGAIN, -EMSGSIZE if it is longer than size (then it stays), or
 * -EBADMSG for a corrupt entry or length.
 */
static inline struct shmr_mine shmr_mpmc_take(struct shmr_mpmc *q, size_t size)
{
    uint64_t steps = shmr_mpmc_budget(q);
    uint32_t len;

    for (uint64_t i = 0; i < steps; i++) {
        struct shmr_block *block = shmr_mpmc_block(q, q->head);
        uint64_t entry = shmr_mpmc_poll(q, q->head), index = entry & SHMR_BLOCK_MASK;
        int64_t laps = shmr_mpmc_laps(q, entry, q->head);
        if (laps < 0)
            return shmr_mine_none(-EAGAIN);
        if (__builtin_expect(laps > 0, 0)) {
            /* The message one lap before this entry's was taken, and so were all before it. */
            q->head += ((uint64_t)(laps - 1) << q->shift) + 1;
            continue;
        }
        /* Mostly the entry names its own block: the processor predicts that and need not wait. */
        if (__builtin_expect(index != (q->head & q->mask), 0)) {
            if (index > q->mask) {
                q->receiving.damage = "corrupt: the next entry names no block";
                return shmr_mine_none(-EBADMSG);
            }
            block = shmr_mpmc_block(q, index);
        }

        int r = shmr_mpmc_try_take(q, block, size, &len);
        if (r < 0)
            return shmr_mine_none(r);
        q->head++; /* taken, by me or by another participant, alive or dead */
        if (__builtin_expect(r == 0, 1)) {
            shmr_mpmc_leave_hint(&q->head_page->hint, q->head);
            return (struct shmr_mine){.block = block, .index = (int32_t)index, .length = len};
        }
        if (i % SHMR_MPMC_NEARBY == SHMR_MPMC_NEARBY - 1)
            q->head = shmr_mpmc_take_hint(&q->head_page->hint, q->head);
    }
    return shmr_mine_none(-EAGAIN);
}

#endif
