/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: tuning. For how long a side backs off, and how much a lapped consumer leaves out. No
 * message needs this to arrive, and none of it orders anything: with functions that do nothing and
 * return 0 the protocol is the same. The other means of speed are base/fetch.h and quick.h.
 */
#ifndef SHMR_BROADCAST_TUNING_H
#define SHMR_BROADCAST_TUNING_H

#include <shmring/shmring.h>

#include "broadcast/state.h"

/* In a smaller ring a consumer that backs off for longer than once would be overtaken. */
#define SHMR_BROADCAST_PATIENT_CAPACITY (UINT64_C(64) << 10)

/* ---- Backing off ----------------------------------------------------------------------------- */

/* A reliable consumer holds the producer up after a success: give it time to release several
 * messages. */
static inline void shmr_broadcast_back_off_when_full(struct shmr_broadcast_producer *p)
{
    shmr_pause(shmr_back_off(&p->side.stream, p->side.pauses, p->messages, p->position,
                             shmr_broadcast_capacity(&p->ring)));
}

/* The ring is empty after a success: at every poll, a consumer right behind the producer takes the
 * line that the producer is writing. */
static inline void shmr_broadcast_back_off_when_empty(struct shmr_broadcast_consumer *c)
{
    const uint64_t capacity = shmr_broadcast_capacity(&c->ring);
    const unsigned pauses =
        shmr_back_off(&c->side.stream, c->side.pauses, c->number, c->position, capacity);

    shmr_pause(capacity < SHMR_BROADCAST_PATIENT_CAPACITY && pauses > c->side.pauses
                   ? c->side.pauses
                   : pauses);
}

/* ---- Going on after a lap -------------------------------------------------------------------- */

/*
 * How far ahead of where the producer overwrites next a lapped consumer goes on, in bytes. First a
 * chunk, so that it misses little. If it is lapped again before it has found the ring empty or has
 * come round it once, then it is slower than the producer: twice as far as the last time, so that
 * it receives more messages between two laps.
 */
static inline uint64_t shmr_broadcast_lead(const struct shmr_broadcast_consumer *c)
{
    const uint64_t capacity = shmr_broadcast_capacity(&c->ring), most = capacity / 4 * 3;

    if (c->lead == 0 || c->position - c->went_on >= capacity)
        return shmr_broadcast_chunk(&c->ring);
    return c->lead < most / 2 ? c->lead * 2 : most;
}

#endif
