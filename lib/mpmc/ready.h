/* SPDX-License-Identifier: MIT */
/*
 * MPMC: would a receive find a message now, or a send find room? A waiting participant asks this
 * before it sleeps. The functions claim nothing and move only private cursors. A corrupt queue
 * counts as ready, so that the next send or receive returns -EBADMSG. No system call, bounded.
 */
#ifndef SHMR_MPMC_READY_H
#define SHMR_MPMC_READY_H

#include "mpmc/blocks.h"

/* Are there at least `least` messages to take? */
static inline bool shmr_mpmc_is_readable(struct shmr_mpmc *q, unsigned least)
{
    uint64_t steps = shmr_mpmc_budget(q), at = q->head;
    unsigned found = 0;

    for (uint64_t i = 0; i < steps; i++) {
        uint64_t entry = shmr_mpmc_poll(q, at), index = entry & SHMR_BLOCK_MASK;
        int64_t laps = shmr_mpmc_laps(q, entry, at);
        if (laps < 0)
            return false;
        if (laps > 0) {
            at += ((uint64_t)(laps - 1) << q->shift) + 1;
            continue;
        }
        const struct shmr_block *block = shmr_mpmc_block(q, index);
        uint64_t ready = atomic_load_explicit(&block->descriptor, memory_order_relaxed);
        if (index > q->mask || (shmr_is_ready(ready, at) && ++found == least))
            return true;
        at++;
        if (found == 0)
            q->head = at; /* the messages up to this position were taken */
    }
    return false;
}

/*
 * Is there a free block? Checks the one at the tail's own index and, if blocks are merely held,
 * `polls` more. The next send starts its search at the block found.
 */
static inline bool shmr_mpmc_is_writable(struct shmr_mpmc *q, uint64_t polls)
{
    uint64_t entry;

    if (!shmr_mpmc_find_tail(q, &entry))
        return false;
    if (shmr_mpmc_is_free(shmr_mpmc_block(q, q->tail)))
        return true;
    if (shmr_mpmc_is_full(q, entry))
        return false;
    for (uint64_t i = 0; i < polls; i++, q->scan++)
        if (shmr_mpmc_is_free(shmr_mpmc_block(q, q->scan)))
            return true;
    return false;
}

/* Are at least `least` blocks free? Checks all of them if need be. */
static inline bool shmr_mpmc_has_room(struct shmr_mpmc *q, unsigned least)
{
    unsigned found = 0;

    for (uint64_t i = 0; i <= q->mask; i++)
        if (shmr_mpmc_is_free(shmr_mpmc_block(q, q->tail + i)) && ++found == least)
            return true;
    return false;
}

#endif
