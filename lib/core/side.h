/* SPDX-License-Identifier: MIT */
/*
 * The sending or the receiving side of a handle: what a call notes when it finds the queue full,
 * empty or damaged. It is the same for all kinds, so that error paths need not know the kind.
 * Private to the handle.
 */
#ifndef SHMR_SIDE_H
#define SHMR_SIDE_H

#include <stdint.h>

#include "base/back_off.h"

struct shmr_side {
    uint32_t misses;           /* -EAGAIN in a row */
    uint32_t pauses;           /* this many pauses last for SHMR_BACK_OFF_NS */
    struct shmr_stream stream; /* when the queue was last found full (empty) after a success */
    const char *damage;        /* after -EBADMSG: what is wrong in the segment */
};

#endif
