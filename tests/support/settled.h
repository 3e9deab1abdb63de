/* SPDX-License-Identifier: MIT */
/*
 * Makes a queue look as if a participant had slept at it long ago: see "The first sleep" in
 * lib/wait/waitword.h. A participant that sleeps at it from now on may do so for its whole
 * recheck_ms. For tests that link the core library.
 */
#ifndef TEST_SETTLED_H
#define TEST_SETTLED_H

#include "lib/core/handle.h"

static inline void test_settle_sleeps(shmring_t *q)
{
    for (int e = 0; e < SHMR_EVENTS; e++)
        atomic_store(&q->waitword[e]->settled, 1);
}

#endif
