/* SPDX-License-Identifier: MIT */
/*
 * Shared memory as textbooks use it: slots of one size, one counting semaphore for the free and one
 * for the filled slots, in each direction. The caller chooses the kind of memory and semaphores.
 */
#ifndef BENCH_TRANSPORTS_SLOTS_H
#define BENCH_TRANSPORTS_SLOTS_H

#include "all.h"

struct slots {
    unsigned char *base; /* the slots of A's messages, then those of B's */
    size_t stride;       /* bytes a slot */
    size_t count;        /* slots a direction, a power of two */
};

enum { SLOTS_MAX = 16384 }; /* semaphores of System V count to 32767 */

/* The number and the size of slots for this link. */
static inline struct slots slots_for(const struct link *l)
{
    struct slots s = {.stride = (l->size + 63) / 64 * 64, .count = 2};
    while (s.count < SLOTS_MAX && s.count * 2 * s.stride <= l->capacity)
        s.count *= 2;
    return s;
}

static inline size_t slots_bytes(const struct slots *s)
{
    return 2 * s->count * s->stride;
}

/* The slot of message seq that side sends. */
static inline unsigned char *slots_at(const struct slots *s, enum side side, uint64_t seq)
{
    return s->base + ((size_t)side * s->count + (seq & (s->count - 1))) * s->stride;
}

#endif
