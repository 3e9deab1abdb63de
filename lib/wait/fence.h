/* SPDX-License-Identifier: MIT */
/*
 * A fence in the processes of others, by membarrier(2), so that they need none of their own for
 * each message. See lib/wait/waitword.h.
 */
#ifndef SHMR_FENCE_H
#define SHMR_FENCE_H

#include <stdbool.h>

/* Let others put a fence into this process. False: it must fence for itself. */
bool shmr_fence_register(void);

/* A fence in every process that is registered, whatever it does just now. False: that is not to be
 * had here. */
bool shmr_fence_others(void);

#endif
