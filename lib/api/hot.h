/* SPDX-License-Identifier: MIT */
/*
 * What sending and receiving have in common: the check whether this handle may make the call, and
 * the switch over the kinds.
 */
#ifndef SHMR_API_HOT_H
#define SHMR_API_HOT_H

#include <errno.h>

#include "base/error.h"
#include "broadcast/hot.h"
#include "core/handle.h"
#include "core/recovery.h"
#include "mpmc/hot.h"
#include "spsc/hot.h"
#include "wait/sleep.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* HOT: what every message takes, inlined into one piece. COLD: the rest, placed elsewhere. */
#define HOT  __attribute__((flatten, noinline, aligned(64)))
#define COLD __attribute__((cold, noinline))

/*
 * The rest of the calling function: SHMR_CASE(KIND, kind) of the handle's kind, which must return.
 * The switch has no default, so that the compiler names a missing kind.
 */
#define SHMR_SWITCH(q, SHMR_CASE)                                                                  \
    switch ((q)->number) {                                                                         \
        SHMR_KINDS(SHMR_CASE)                                                                      \
    }                                                                                              \
    __builtin_unreachable()

/* A participant sweeps at the first -EAGAIN in a row and then at every 16th. */
#define SHMR_MISSES_PER_SWEEP 16

/* At every 65,536th -EAGAIN in a row it asks the kernel whether the queue still has its name. */
#define SHMR_MISSES_PER_NAME_CHECK 65536

/* Leaves errno as it is, because a signal handler may have made the call. */
static inline bool shmr_name_is_gone(const shmring_t *q)
{
    const int error = errno;
    const bool gone = shmr_handle_check_name(q) < 0;

    errno = error;
    return gone;
}

/* The queue is full, or empty. Check whether it still has its name, and whether a dead participant
 * holds what is missing. */
static inline int shmr_nothing_now(shmring_t *q, uint32_t misses)
{
    if (misses % SHMR_MISSES_PER_NAME_CHECK == 0 && shmr_name_is_gone(q))
        return -ESTALE;
    if (misses % SHMR_MISSES_PER_SWEEP == 1)
        shmr_sweep(q, SHMR_SWEEP_UNITS);
    if (q->geometry.type->unblock)
        q->geometry.type->unblock(q);
    return -EAGAIN;
}

/* The mark does not let the call through: return the error. `role`: the detail for a handle of
 * another role. */
static inline int shmr_refuse(const shmring_t *q, const char *role)
{
    int r = shmr_handle_check(q);

    return r < 0 ? r : shmr_fail_fast(EPERM, role, 0, 0);
}

#endif
