/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: tuning. How far ahead a side fetches lines (base/fetch.h), and for how long it backs
 * off. No message needs this to arrive, and none of it orders anything: with empty functions the
 * protocol is the same.
 */
#ifndef SHMR_BROADCAST_TUNING_H
#define SHMR_BROADCAST_TUNING_H

#include <shmring/shmring.h>

#include "base/fetch.h"
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

/* ---- Fetching lines -------------------------------------------------------------------------- */

/* `bytes` were sent since the last choice. */
static inline void shmr_broadcast_choose_ahead(struct shmr_broadcast_producer *p, uint64_t bytes)
{
    const uint64_t now = shmr_ticks();

    p->fetch_ahead = shmr_write_ahead(now - p->sampled_ticks, p->messages - p->sampled_messages,
                                      bytes, p->ticks);
    p->sampled_ticks = now;
    p->sampled_messages = p->messages;
}

#endif
