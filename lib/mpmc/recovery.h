/* SPDX-License-Identifier: MIT */
/*
 * MPMC: recovery. A recoverer first settles the counters of a dead participant, whose blocks tell
 * whether its last step was made (tally.h). Then it publishes again, drops or frees what the dead
 * one owned. An observer works out what a recoverer would find. As in blocks.h: no system call,
 * bounded.
 */
#ifndef SHMR_MPMC_RECOVERY_H
#define SHMR_MPMC_RECOVERY_H

#include "kind.h"
#include "mpmc/blocks.h"
#include "mpmc/tally.h"

/* A recovery may make this many times the steps of one call. */
#define SHMR_MPMC_RECOVERY 8

/* Does the ring name a block whose descriptor says RDY? */
static inline bool shmr_mpmc_is_published(const struct shmr_mpmc *q, uint64_t index, uint64_t ready)
{
    uint64_t position = ready & SHMR_POSITION_MASK;
    uint64_t entry = shmr_mpmc_poll(q, position);
    /* The entry's cycle and the descriptor's position lack upper bits: compare those that both
     * have. */
    uint64_t known = SHMR_POSITION_MASK >> q->shift & UINT64_MAX >> SHMR_BLOCK_BITS;
    uint64_t differ = ((entry >> SHMR_BLOCK_BITS) - 1) ^ position >> q->shift;

    return (entry & SHMR_BLOCK_MASK) == index && (differ & known) == 0;
}

static inline struct shmr_block *shmr_mpmc_pending(const struct shmr_mpmc *q, uint64_t pending,
                                                   uint64_t *descriptor)
{
    struct shmr_block *block = shmr_mpmc_block(q, pending & SHMR_PENDING_BLOCK);

    /* Acquire: with what its owner stored before. A dead owner has stored all of it. */
    *descriptor = atomic_load_explicit(&block->descriptor, memory_order_acquire);
    return block;
}

static inline bool shmr_mpmc_is_held(uint64_t descriptor, uint32_t row)
{
    return shmr_descriptor(SHMR_OWN | SHMR_M, row, descriptor) == descriptor;
}

/* A row's tally of messages sent names a block, whose descriptor is d. Is the block still the
 * sender's? Then its message was not published. */
static inline bool shmr_mpmc_is_unsent(const struct shmr_mpmc *q, uint32_t row, uint64_t pending,
                                       uint64_t d)
{
    return shmr_descriptor(SHMR_OWN, row, d) == d ||
           (shmr_descriptor(SHMR_RDY, row, d) == d &&
            !shmr_mpmc_is_published(q, pending & SHMR_PENDING_BLOCK, d));
}

/* What a row's tally says, exactly: first of messages sent, then of messages received. */
static inline struct shmr_count shmr_mpmc_sent(const struct shmr_mpmc *q, uint32_t row,
                                               const struct shmr_tally *sent)
{
    uint64_t pending = shmr_tally_pending(sent), d;
    struct shmr_count stored = shmr_tally_stored(sent);

    if (!(pending & SHMR_PENDING))
        return stored;
    struct shmr_block *block = shmr_mpmc_pending(q, pending, &d);
    if (shmr_mpmc_is_unsent(q, row, pending, d))
        return shmr_count_without(stored, pending,
                                  atomic_load_explicit(&block->length, memory_order_relaxed));
    return stored;
}

static inline struct shmr_count shmr_mpmc_received(const struct shmr_mpmc *q, uint32_t row,
                                                   const struct shmr_tally *received)
{
    uint64_t pending = shmr_tally_pending(received), d;
    struct shmr_count stored = shmr_tally_stored(received);

    if (!(pending & SHMR_PENDING))
        return stored;
    struct shmr_block *block = shmr_mpmc_pending(q, pending, &d);
    /* The receiver still holds it: it was not released. */
    if (shmr_mpmc_is_held(d, row))
        return shmr_count_without(stored, pending,
                                  atomic_load_explicit(&block->length, memory_order_relaxed));
    return stored;
}

/*
 * shmr_row.recovered: bits 26-63 count the messages that recoverers took back from the row's dead
 * owners. A recoverer stores it before it takes a message, with that message's block in bits 0-23
 * and F in bit 25. If that block is still the dead owner's, the last message counted was not taken.
 */
static inline uint64_t shmr_mpmc_taken_back(const struct shmr_mpmc *q, uint32_t row,
                                            const _Atomic uint64_t *recovered)
{
    uint64_t noted = atomic_load_explicit(recovered, memory_order_acquire), d;

    if (!(noted & SHMR_PENDING))
        return noted >> SHMR_PENDING_COUNT;
    (void)shmr_mpmc_pending(q, noted, &d);
    return (noted >> SHMR_PENDING_COUNT) - shmr_mpmc_is_held(d, row);
}

static inline void shmr_mpmc_note_back(_Atomic uint64_t *recovered, uint64_t count, uint64_t block)
{
    /* A release: after all stores before it. The store that gives the block away is one, too, so it
     * comes after this. */
    atomic_store_explicit(recovered, count << SHMR_PENDING_COUNT | block, memory_order_release);
}

/* The row's owner makes no more steps: make its counters final, whatever becomes of its blocks. */
static inline void shmr_mpmc_settle(const struct shmr_mpmc *q, uint32_t dead, struct shmr_row *row)
{
    /* If the caller is killed between any two of these stores, the counters come to the same. */
    shmr_tally_store(&row->sent, shmr_mpmc_sent(q, dead, &row->sent));
    shmr_tally_end(&row->sent);
    shmr_tally_store(&row->received, shmr_mpmc_received(q, dead, &row->received));
    shmr_tally_end(&row->received);
    shmr_mpmc_note_back(&row->recovered, shmr_mpmc_taken_back(q, dead, &row->recovered), 0);
}

/*
 * The descriptor by which a recoverer takes a message whose descriptor was `was`. It carries the
 * number of deliveries, so that no delivery is counted twice if the recoverer dies on the way.
 */
static inline uint64_t shmr_mpmc_retake(const struct shmr_mpmc *q, const struct shmr_block *block,
                                        uint64_t was)
{
    uint64_t count = 0; /* RDY: an earlier recoverer has stored the count in the block */

    if ((was & SHMR_STATE_MASK) == SHMR_OWN)
        count = was & SHMR_R ? was : (uint64_t)shmr_mpmc_deliveries(block) + 1;
    return shmr_descriptor(SHMR_OWN | SHMR_M | SHMR_R, q->me, count);
}

/*
 * Make a block usable again if the dead participant of a row held it. The caller holds the row's
 * lock, so no other participant does the same, and the dead one makes no more steps. If the caller
 * dies on the way, the blocks that it has re-tagged are its own, and the others still the dead
 * one's.
 */
static inline void shmr_mpmc_recover_block(struct shmr_mpmc *q, uint32_t dead, struct shmr_row *row,
                                           uint64_t index, bool at_most_once, uint64_t *steps,
                                           struct shmr_recovered *report)
{
    struct shmr_block *block = shmr_mpmc_block(q, index);
    /* mpmc:A3, pairs with mpmc:R3 in shmr_mpmc_try_take: with its contents as the dead one saw
     * them. */
    uint64_t was = atomic_load_explicit(&block->descriptor, memory_order_acquire);

    if ((was & SHMR_STATE_MASK) == SHMR_FREE || shmr_owner(was) != dead)
        return;
    if ((was & SHMR_STATE_MASK) == SHMR_RDY && shmr_mpmc_is_published(q, index, was))
        return;

    bool message = (was & SHMR_M) != 0;
    /* False: an earlier recoverer had taken it, and has noted everything. */
    bool first = shmr_mpmc_is_held(was, dead);
    /* Before the block changes hands: a recoverer that goes on after my death relies on both. */
    if (first && shmr_mpmc_deliveries(block) == 0)
        atomic_store_explicit(&q->origins[index], was & SHMR_POSITION_MASK, memory_order_relaxed);
    if (first)
        shmr_mpmc_note_back(&row->recovered, shmr_mpmc_taken_back(q, dead, &row->recovered) + 1,
                            SHMR_PENDING | index);
    uint64_t now = message && !at_most_once ? shmr_mpmc_retake(q, block, was) : SHMR_FREE;
    /* Fails if it was published after all, and a consumer has taken it meanwhile. */
    if (!atomic_compare_exchange_strong_explicit(&block->descriptor, &was, now,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return;
    if (now == SHMR_FREE) {
        report->dropped += message;
        report->freed += !message;
        return;
    }
    if ((now & SHMR_POSITION_MASK) != 0)
        atomic_store_explicit(&block->deliveries, (uint32_t)now, memory_order_relaxed);
    struct shmr_mine mine = {.block = block, .index = (int32_t)index};
    if (shmr_mpmc_publish_within(q, mine, SHMR_M | SHMR_R, steps) == 0) {
        report->redelivered++;
    } else { /* out of budget: leave it to the row's next recoverer */
        atomic_store_explicit(&block->descriptor,
                              shmr_descriptor(SHMR_OWN | SHMR_M | SHMR_R, dead, 0),
                              memory_order_release);
        report->left++;
    }
}

/*
 * Recover the blocks from `first` on, `count` at most, in `steps` steps of a cursor at most.
 * Returns the first block that was not done; the number of blocks when all are.
 */
static inline uint64_t shmr_mpmc_recover_some(struct shmr_mpmc *q, uint32_t dead,
                                              struct shmr_row *row, bool at_most_once,
                                              uint64_t first, uint64_t count, uint64_t steps,
                                              struct shmr_recovered *report)
{
    const uint64_t left = report->left;
    uint64_t next = first;

    shmr_mpmc_settle(q, dead, row); /* first, because the counters are read off the blocks */
    for (; next <= q->mask && next - first < count && report->left == left; next++)
        shmr_mpmc_recover_block(q, dead, row, next, at_most_once, &steps, report);
    shmr_mpmc_note_back(&row->recovered, shmr_mpmc_taken_back(q, dead, &row->recovered), 0);
    if (report->left == left)
        return next;
    report->left = left; /* the caller tries that block again */
    return next - 1;
}

static inline void shmr_mpmc_recover(struct shmr_mpmc *q, uint32_t dead, struct shmr_row *row,
                                     bool at_most_once, struct shmr_recovered *report)
{
    uint64_t steps =
        SHMR_MPMC_RECOVERY * shmr_mpmc_budget(q); /* for all messages of the dead one */

    shmr_mpmc_settle(q, dead, row); /* first, because the counters are read off the blocks */
    for (uint64_t i = 0; i <= q->mask; i++)
        shmr_mpmc_recover_block(q, dead, row, i, at_most_once, &steps, report);
    shmr_mpmc_note_back(&row->recovered, shmr_mpmc_taken_back(q, dead, &row->recovered), 0);
}

/* Of the positions whose lower 48 bits are those of `cut`: the one nearest to `near`. */
static inline uint64_t shmr_whole_position(uint64_t cut, uint64_t near)
{
    const int bits = 64 - SHMR_POSITION_BITS;

    return near - (uint64_t)((int64_t)((near - cut) << bits) >> bits);
}

/* ---- Observing ------------------------------------------------------------------------------ */

/* Messages waiting now. Moves only private cursors; q may be an observer's. */
static inline uint64_t shmr_mpmc_depth(struct shmr_mpmc *q)
{
    uint64_t steps = shmr_mpmc_budget(q), entry;

    for (uint64_t i = 0; i < steps; i++) {
        entry = shmr_mpmc_poll(q, q->head);
        int64_t laps = shmr_mpmc_laps(q, entry, q->head);
        const struct shmr_block *block = shmr_mpmc_block(q, entry & SHMR_BLOCK_MASK);
        if (laps < 0 || (laps == 0 && shmr_is_ready(atomic_load_explicit(&block->descriptor,
                                                                         memory_order_relaxed),
                                                    q->head)))
            break;
        q->head += laps > 0 ? ((uint64_t)(laps - 1) << q->shift) + 1 : 1;
    }
    if ((int64_t)(q->head - q->tail) > 0)
        q->tail = q->head;
    (void)shmr_mpmc_find_tail(q, &entry);
    uint64_t depth = q->tail - q->head;
    return depth <= q->mask + 1 ? depth : q->mask + 1;
}

/* For each row, count the blocks that carry its number and are not messages waiting in the queue: a
 * message that is not published yet is still held by its sender, or its recoverer. */
static inline void shmr_mpmc_count_held(const struct shmr_mpmc *q, uint32_t rows, uint32_t held[])
{
    for (uint64_t i = 0; i <= q->mask; i++) {
        uint64_t d = atomic_load_explicit(&shmr_mpmc_block(q, i)->descriptor, memory_order_relaxed);
        uint32_t owner = shmr_owner(d);
        if (owner < rows &&
            ((d & SHMR_STATE_MASK) == SHMR_OWN ||
             ((d & SHMR_STATE_MASK) == SHMR_RDY && !shmr_mpmc_is_published(q, i, d))))
            held[owner]++;
    }
}

#endif
