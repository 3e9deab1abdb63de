/* SPDX-License-Identifier: MIT */
/* How a process of a crew follows the time while it sends or receives, and waits in between. */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include <sched.h>
#include <stdatomic.h>

#include "ticks.h"

enum {
    WATCH_POLLS = 64, /* polls in vain before a process reads the clock and may yield */
    WATCH_CHUNK = 32  /* messages between two clock reads */
};

/* How one member follows the time, and what it had done by then. */
struct watch {
    uint64_t warm, end;
    enum { WARMING, COUNTING, OVER } phase;
    uint64_t before;   /* messages, when COUNTING began */
    uint64_t *counted; /* where the messages during COUNTING are noted when it is OVER */
    bool yield, block;
    const _Atomic uint32_t *stop; /* over when this is not 0; by the clock where NULL */
};

static inline void watch_read_clock(struct watch *w, uint64_t messages)
{
    const uint64_t now = ticks_now();
    if (w->stop) {
        if (atomic_load_explicit(w->stop, memory_order_relaxed) != 0)
            w->phase = OVER;
        return;
    }
    if (w->phase == WARMING && now >= w->warm) {
        w->phase = COUNTING;
        w->before = messages;
    }
    if (w->phase == COUNTING && now >= w->end) {
        w->phase = OVER;
        *w->counted = messages - w->before;
    }
}

/* Called after each poll in vain. */
static inline void watch_wait_a_little(struct watch *w, unsigned polls, uint64_t messages)
{
    if (polls % WATCH_POLLS != 0 && !w->block)
        return;
    watch_read_clock(w, messages);
    if (w->yield || w->phase == OVER)
        sched_yield();
}

#endif
