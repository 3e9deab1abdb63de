/* SPDX-License-Identifier: MIT */
/*
 * Waiting: look for a while, then sleep on the futex of the event's bell (bell.h). At least every
 * waiting.recheck a sleeper wakes and looks by itself: it may have been the dead one's turn to
 * ring.
 */
#ifndef SHMR_WAIT_H
#define SHMR_WAIT_H

#include "core/handle.h"
#include "wait/waitword.h"

#define SHMR_SPIN_MOST_NS UINT32_C(50000) /* unless told otherwise: about what sleeping costs */
#define SHMR_RECHECK_NS   INT64_C(50000000)

/* Make an attached handle ring and wait. The roles' fence: SHMRING_ASYMMETRIC_FENCE in flags. */
void shmr_wait_init(shmring_t *q, unsigned flags);

/* Wake up to n of those who sleep at the event's bell. Signal-safe. 0, or -EBADMSG: the segment's
 * memory is gone, see guard.h. */
int shmr_ring(shmring_t *q, int event, int n);

/* shmring_send() and shmring_recv() said -EAGAIN: wait, and try again. */
int shmr_send_later(shmring_t *q, const void *msg, size_t len, const struct timespec *timeout);
ssize_t shmr_recv_later(shmring_t *q, void *buf, size_t size, const struct timespec *timeout);

/* The bell of SHMRING_READABLE or SHMRING_WRITABLE. */
static inline int shmr_event_index(unsigned event)
{
    return event == SHMRING_READABLE ? SHMR_READABLE : SHMR_WRITABLE;
}

/* May this handle wait for the events? 0, or why not. */
int shmr_wait_check(const shmring_t *q, unsigned events);

/*
 * Announce that this handle is about to sleep until the event; how: SHMR_BELL_ASLEEP or
 * SHMR_BELL_POLLED. 1: it is there already. 0: sleep, for *limit ns at the most; value[] has the
 * words of the events' futexes. Or -EPIPE, -ESTALE.
 */
int shmr_wait_arm(shmring_t *q, unsigned event, uint32_t how, uint32_t value[SHMR_EVENTS],
                  int64_t *limit);

/* The time that the handle goes by, ns; and: the kernel says that ns have passed since then. */
int64_t shmr_wait_now(const shmring_t *q);
void shmr_wait_have_passed(shmring_t *q, int64_t then, int64_t ns);

/* The one look of a success at the bell: is there anything to do about it? */
static inline bool shmr_is_heeded(const shmring_t *q, int event)
{
    return __builtin_expect(shmr_bell_heeded(q->bell[event], q->heed[event]), 0);
}

/* Somebody published: n messages, or room for n. As shmr_ring(). */
static inline int shmr_tell(shmring_t *q, int event, int n)
{
    return shmr_is_heeded(q, event) ? shmr_ring(q, event, n) : 0;
}

#endif
