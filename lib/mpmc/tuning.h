/* SPDX-License-Identifier: MIT */
/*
 * MPMC: tuning. How far a participant searches, how often it leaves a hint, and for how long it
 * backs off. None of it orders anything: with other numbers, and without back-off, the protocol in
 * blocks.h is the same.
 */
#ifndef SHMR_MPMC_TUNING_H
#define SHMR_MPMC_TUNING_H

#include <stdint.h>

#include "base/cpu.h"
#include "core/side.h"

/*
 * SHMR_MPMC_NEARBY: a search for a free block begins with the block at the tail's own index and
 * the next 7. SHMR_MPMC_SEARCH: blocks that a call examines before it gives up; in a queue of up to
 * 64 these are all. SHMR_MPMC_HINT_EVERY: positions from one hint to the next. The models, which
 * have two blocks, set other numbers.
 */
#ifndef SHMR_MPMC_NEARBY
#define SHMR_MPMC_NEARBY     8
#define SHMR_MPMC_SEARCH     (SHMR_MPMC_NEARBY + 64)
#define SHMR_MPMC_HINT_EVERY 32
#endif

/* Positions from one sample of the high-water mark to the next, at least; 0: no samples (models).
 */
#ifndef SHMR_MPMC_SAMPLE_LEAST
#define SHMR_MPMC_SAMPLE_LEAST 256
#endif

/* How long a participant backs off after a lost race, in times of SHMR_BACK_OFF_NS. */
#define SHMR_MPMC_BACK_OFF 4

/*
 * Another participant was faster. Without a pause both would meet again at each next position, and
 * wait for each other's lines. During the pause the faster one gets some dozen messages ahead.
 */
static inline void shmr_mpmc_back_off(const struct shmr_side *side)
{
    shmr_pause(SHMR_MPMC_BACK_OFF * side->pauses);
}

/* The queue is full, or empty, after a success: this handle has sent, or received, `messages`. */
static inline void shmr_mpmc_back_off_stream(struct shmr_side *side, uint64_t messages,
                                             uint64_t stride, uint64_t blocks)
{
    shmr_pause(
        shmr_back_off(&side->stream, side->pauses, messages, messages * stride, blocks * stride));
}

#endif
