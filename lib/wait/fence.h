/* SPDX-License-Identifier: MIT */
/*
 * A fence that one process puts into the others, by membarrier(2), so that these need none of their
 * own for each message. See lib/wait/waitword.h.
 */
#ifndef SHMR_FENCE_H
#define SHMR_FENCE_H

#include <stdbool.h>

/* Let other processes put a fence into this one. False: this process must make its own fences. */
bool shmr_fence_register(void);

/* Put a fence into every registered process, whatever it is doing. False: the kernel refuses. */
bool shmr_fence_others(void);

#endif
