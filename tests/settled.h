/* SPDX-License-Identifier: MIT */
/*
 * As if somebody had slept at the queue long ago: see "The first sleep" in lib/wait/waitword.h.
 * Whoever sleeps there from now on may do so for its recheck_ms. For tests that link the core
 * library.
 */
#ifndef TEST_SETTLED_H
#define TEST_SETTLED_H

#include "../lib/core/handle.h"

static inline void test_settle_sleeps(shmring_t *q)
{
    for (int e = 0; e < SHMR_EVENTS; e++)
        atomic_store(&q->waitword[e]->settled, 1);
}

#endif
