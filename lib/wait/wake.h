/* SPDX-License-Identifier: MIT */
/* Waking the sleepers of an event: the last step of each successful operation. */
#ifndef SHMR_WAKE_H
#define SHMR_WAKE_H

#include "core/handle.h"
#include "wait/waitword.h"

/* Wake up to n of the sleepers at the event's wait word. Signal-safe. 0, or -EBADMSG: the segment's
 * memory is gone, see core/guard.h. */
int shmr_wake(shmring_t *q, int event, int n);

/* The index of SHMRING_READABLE or SHMRING_WRITABLE; and the other way round. */
static inline int shmr_event_index(unsigned event)
{
    return event == SHMRING_READABLE ? SHMR_READABLE : SHMR_WRITABLE;
}

static inline unsigned shmr_event_bit(int event)
{
    return event == SHMR_READABLE ? SHMRING_READABLE : SHMRING_WRITABLE;
}

/* After a successful operation: must this handle notify? One load of the wait word. */
static inline bool shmr_must_notify(const shmring_t *q, int event)
{
    return __builtin_expect(shmr_waitword_is_set(q->waitword[event], q->notify_if[event]), 0);
}

/* This handle published n messages, or freed room for n. As shmr_wake(). */
static inline int shmr_notify(shmring_t *q, int event, int n)
{
    return shmr_must_notify(q, event) ? shmr_wake(q, event, n) : 0;
}

#endif
