/* SPDX-License-Identifier: MIT */
/*
 * liburcu's "bulletproof" flavour: threads register themselves, which callers' threads must not be
 * asked to do. The wrappers tell ThreadSanitizer what it cannot see in liburcu: whatever happened
 * in a read-side section happened before the end of a grace period.
 */
#ifndef MUX_RCU_H
#define MUX_RCU_H

#include <urcu/urcu-bp.h>

#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define MUX_THREAD_SANITIZER
#endif
#endif
#if defined MUX_THREAD_SANITIZER || defined __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#else
#define __tsan_acquire(address) ((void)(address))
#define __tsan_release(address) ((void)(address))
#endif

static inline void mux_rcu_enter(void)
{
    urcu_bp_read_lock();
}

/* grace: any address that all sides agree on. */
static inline void mux_rcu_leave(void *grace)
{
    __tsan_release(grace);
    urcu_bp_read_unlock();
}

static inline void mux_rcu_wait(void *grace)
{
    urcu_bp_synchronize_rcu();
    __tsan_acquire(grace);
}

#endif
