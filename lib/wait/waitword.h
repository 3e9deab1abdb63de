/* SPDX-License-Identifier: MIT */
/*
 * Wait words: how those who publish learn that somebody sleeps, without a system call while nobody
 * does.
 *
 * A queue has two, a word each: consumers sleep at READABLE, and whoever publishes a message rings
 * it; producers sleep at WRITABLE, and whoever frees room rings it.
 *
 *     the one who waits                        the one who publishes
 *     announce: set ASLEEP                     publish
 *     fence                                    fence
 *     look at the queue: still nothing?        look at the wait word: is ASLEEP set?
 *     sleep while the word has not changed     ring: count on, clear ASLEEP, wake
 *
 * One of the two sees the other (the store-buffering shape: wait:W1 and wait:P1 below). If the
 * publisher is late, the word has changed before the other sleeps, and it looks again. A wait word
 * is a flag and not a count of sleepers: one that was killed would be counted for ever.
 *
 * Ringing clears the flag, though others may still sleep. So each one who wakes announces again
 * before it looks at the queue: what is published from then on rings for the others, and of what
 * was published before it passes the wake on, if there is more than it takes itself. One who is
 * killed between two of these steps is made good by the others' timed looks.
 *
 * The publisher's fence is the dear part: it would be paid for each message. It is spared
 *   - while nobody has ever slept at the wait word: WATCHED is not set (see "The first sleep"
 * below);
 *   - by participants that are registered for membarrier(2): they set UNFENCED, and whoever is
 *     about to sleep makes the kernel put a fence into all of them;
 *   - where publishing is a locked instruction anyway (SHMR_RMW_IS_FENCE).
 *
 * The first sleep
 *     A publisher that does not see WATCHED does not fence, and may look at the wait word before
 * its message is visible. So may one whose look came just before the first sleeper of all set
 *     WATCHED, as long as its message is still in its processor's store buffer. Neither side sees
 *     the other then, and that is true of everybody who announces meanwhile: that WATCHED was set
 *     before does not help them. So whoever announces sleeps for a limited time, SHMR_RECHECK_NS
 *     (50 ms), until that time has passed since this handle announced first. No store stays in a
 *     store buffer for that long. Then it sets `settled`, so that no other handle need be careful
 *     again. tests/test_first_sleep.c explores all orders in which this can happen.
 *
 * Orderings
 *     wait:P1, wait:W1    If the publisher's load behind its fence (P1, or the fence that a
 *                         sleeper's membarrier puts there) does not read ASLEEP, then the sleeper's
 *                         check behind its fence (W1) reads what was published: store buffering.
 *     wait:P2 -> wait:W2  If the announcement (W2) reads the word of a notification (P2), then the
 *                         sleeper's check reads what was published before that notification.
 *
 * No system call here; lib/wait/sleep.c has those.
 */
#ifndef SHMR_WAITWORD_H
#define SHMR_WAITWORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h"

#define SHMR_WAITWORD_ASLEEP   UINT32_C(1) /* somebody sleeps on the word, or is about to */
#define SHMR_WAITWORD_POLLED   UINT32_C(2) /* somebody sleeps on the notifier's descriptor */
#define SHMR_WAITWORD_WATCHED  UINT32_C(4) /* somebody slept here once; for ever */
#define SHMR_WAITWORD_UNFENCED UINT32_C(8) /* some who ring here do not fence; for ever */
#define SHMR_WAITWORD_STEP     UINT32_C(16)
#define SHMR_WAITWORD_SLEEPERS (SHMR_WAITWORD_ASLEEP | SHMR_WAITWORD_POLLED)

/* What one who fences for itself must heed, and one for whom sleepers fence. */
#define SHMR_NOTIFY_FENCED   (SHMR_WAITWORD_SLEEPERS | SHMR_WAITWORD_WATCHED)
#define SHMR_NOTIFY_UNFENCED SHMR_WAITWORD_SLEEPERS

/* After publishing: is there anything to do about the wait word? One look at a line that rests. */
static inline bool shmr_waitword_is_set(const struct shmr_waitword *waitword, uint32_t bits)
{
    atomic_signal_fence(memory_order_seq_cst); /* wait:P1, for the compiler: publish, then look */
    return (atomic_load_explicit(&waitword->word, memory_order_relaxed) & bits) != 0;
}

/*
 * Ring, after publishing. Returns who is to be woken: SHMR_WAITWORD_ASLEEP, SHMR_WAITWORD_POLLED,
 * or both.
 */
static inline uint32_t shmr_waitword_notify(struct shmr_waitword *waitword)
{
    atomic_thread_fence(memory_order_seq_cst); /* wait:P1 */
    if (!(atomic_load_explicit(&waitword->word, memory_order_relaxed) & SHMR_WAITWORD_SLEEPERS))
        return 0;
    /* wait:P2: counted on first, so that who announced before this does not go to sleep. */
    atomic_fetch_add_explicit(&waitword->word, SHMR_WAITWORD_STEP, memory_order_acq_rel);
    return atomic_fetch_and_explicit(&waitword->word, ~SHMR_WAITWORD_SLEEPERS,
                                     memory_order_acq_rel) &
           SHMR_WAITWORD_SLEEPERS;
}

/*
 * Before a last look at the queue and then sleeping: `how` is SHMR_WAITWORD_ASLEEP or
 * SHMR_WAITWORD_POLLED. Returns the word as it was. The caller makes a barrier in the other
 * processes if UNFENCED is set.
 */
static inline uint32_t shmr_waitword_announce(struct shmr_waitword *waitword, uint32_t how)
{
    /* wait:W2, pairs with wait:P2: what was published before the ring that it follows is visible.
     */
    uint32_t was = atomic_fetch_or_explicit(&waitword->word, how | SHMR_WAITWORD_WATCHED,
                                            memory_order_acq_rel);
    atomic_thread_fence(memory_order_seq_cst); /* wait:W1 */
    return was;
}

#endif
