/* SPDX-License-Identifier: MIT */
/*
 * Wait words: how a publisher learns that a participant sleeps, without a system call while none
 * does. Here a publisher is a participant that publishes a message, or that frees room.
 *
 * A queue has two wait words. Consumers sleep at READABLE, which the publisher of a message
 * notifies; producers sleep at WRITABLE, which a participant that frees room notifies.
 *
 *     sleeper                                  publisher
 *     announce: set ASLEEP                     publish
 *     fence                                    fence
 *     poll the queue: still nothing?           check the wait word: is ASLEEP set?
 *     sleep while the word has not changed     notify: add to the count, clear ASLEEP, wake
 *
 * At least one of the two sees the other (store buffering: wait:W1 and wait:P1 below). If the
 * publisher notifies after the sleeper's poll, the word has changed before the sleeper sleeps, and
 * it polls again. A wait word has a flag and not a count of sleepers: a sleeper that was killed
 * would be counted for ever.
 *
 * A notification clears the flag, though other sleepers may still sleep. So each sleeper that wakes
 * announces again before it polls the queue. For what is published from then on, the publisher
 * notifies the others. If more was published before than the sleeper takes, it passes the wake on.
 * If a participant is killed between two of these steps, the rechecks of the others make up for it.
 *
 * The publisher's fence is the expensive part: each message would pay for it. It is spared
 *   - while no participant has ever slept at the wait word: WATCHED is not set (see "The first
 *     sleep" below);
 *   - by participants that are registered for membarrier(2): they set UNFENCED, and a sleeper makes
 *     the kernel put a fence into all of them;
 *   - where publishing is a locked instruction anyway (SHMR_RMW_IS_FENCE).
 *
 * The first sleep
 *     A publisher that does not see WATCHED does not fence, and may check the wait word before its
 *     message is visible. So may a publisher that checked just before the first sleeper of all set
 *     WATCHED, as long as its message is still in its processor's store buffer. Then neither side
 *     sees the other. The same holds for each sleeper that announces meanwhile, although another
 *     one has set WATCHED. So a handle sleeps for SHMR_RECHECK_NS (50 ms) at most, until that time
 *     has passed since it first announced: no store stays in a store buffer for that long. Then it
 *     sets `settled`, and no handle limits its sleeps for this reason again.
 *     tests/wait/first_sleep.c explores all orders in which this can happen.
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

#define SHMR_WAITWORD_ASLEEP   UINT32_C(1) /* a participant sleeps on the word, or is about to */
#define SHMR_WAITWORD_POLLED   UINT32_C(2) /* a participant polls the notifier */
#define SHMR_WAITWORD_WATCHED  UINT32_C(4) /* a participant has slept here; never cleared */
#define SHMR_WAITWORD_UNFENCED UINT32_C(8) /* some publishers do not fence; never cleared */
#define SHMR_WAITWORD_STEP     UINT32_C(16)
#define SHMR_WAITWORD_SLEEPERS (SHMR_WAITWORD_ASLEEP | SHMR_WAITWORD_POLLED)

/* On which bits a publisher notifies: one that fences, and one for which the sleepers fence. */
#define SHMR_NOTIFY_FENCED   (SHMR_WAITWORD_SLEEPERS | SHMR_WAITWORD_WATCHED)
#define SHMR_NOTIFY_UNFENCED SHMR_WAITWORD_SLEEPERS

/* After publishing: is one of these bits set? A load from a line that few stores change. */
static inline bool shmr_waitword_is_set(const struct shmr_waitword *waitword, uint32_t bits)
{
    atomic_signal_fence(memory_order_seq_cst); /* wait:P1, for the compiler: publish, then load */
    return (atomic_load_explicit(&waitword->word, memory_order_relaxed) & bits) != 0;
}

/*
 * Notify, after publishing. Returns which sleepers the caller is to wake: SHMR_WAITWORD_ASLEEP,
 * SHMR_WAITWORD_POLLED, or both.
 */
static inline uint32_t shmr_waitword_notify(struct shmr_waitword *waitword)
{
    atomic_thread_fence(memory_order_seq_cst); /* wait:P1 */
    if (!(atomic_load_explicit(&waitword->word, memory_order_relaxed) & SHMR_WAITWORD_SLEEPERS))
        return 0;
    /* wait:P2: add first, so that a sleeper that announced before this does not go to sleep. */
    atomic_fetch_add_explicit(&waitword->word, SHMR_WAITWORD_STEP, memory_order_acq_rel);
    return atomic_fetch_and_explicit(&waitword->word, ~SHMR_WAITWORD_SLEEPERS,
                                     memory_order_acq_rel) &
           SHMR_WAITWORD_SLEEPERS;
}

/*
 * Announce, before the last poll of the queue and the sleep. `how` is SHMR_WAITWORD_ASLEEP or
 * SHMR_WAITWORD_POLLED. Returns the word as it was. If UNFENCED is set in it, the caller puts a
 * fence into the other processes.
 */
static inline uint32_t shmr_waitword_announce(struct shmr_waitword *waitword, uint32_t how)
{
    /* wait:W2, pairs with wait:P2: what was published before that notification is visible. */
    uint32_t was = atomic_fetch_or_explicit(&waitword->word, how | SHMR_WAITWORD_WATCHED,
                                            memory_order_acq_rel);
    atomic_thread_fence(memory_order_seq_cst); /* wait:W1 */
    return was;
}

#endif
