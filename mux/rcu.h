/* SPDX-License-Identifier: MIT */
/*
 * liburcu's "bulletproof" flavour: liburcu registers threads itself, so the caller's threads need
 * not do it. The wrappers tell ThreadSanitizer what it cannot see in liburcu: a read-side section
 * happens before the end of the grace period that waits for it.
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

/* grace: any address; the same for all calls that concern one mux. */
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
