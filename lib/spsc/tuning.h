/* SPDX-License-Identifier: MIT */
/*
 * SPSC: tuning. For how long a side backs off, and how far the quick way goes. No message needs
 * this to arrive, and none of it orders anything: ring.h calls these functions, and with empty ones
 * the protocol is the same. doc/performance.md has what each is worth. The other means of speed are
 * base/fetch.h, quick.h and staging.h.
 */
#ifndef SHMR_SPSC_TUNING_H
#define SHMR_SPSC_TUNING_H

#include <shmring/shmring.h>

#include "spsc/state.h"

/* The consumer publishes its head every 1/8 of the ring, and the producer samples the high-water
 * mark every 1/16. */
#define SHMR_SPSC_PUBLISH_FRACTION 8
#define SHMR_SPSC_SAMPLE_FRACTION  16

/* ---- Backing off ----------------------------------------------------------------------------- */

/* The ring is full after a success: give the consumer time to make room for several messages. */
static inline void shmr_spsc_back_off_when_full(struct shmr_spsc_producer *p)
{
    shmr_pause(shmr_back_off(&p->side.stream, p->side.pauses, p->messages, p->position,
                             shmr_spsc_capacity(p->mask)));
}

/* The ring is empty after a success: at every poll, a consumer right behind the producer takes the
 * line that the producer is writing. */
static inline void shmr_spsc_back_off_when_empty(struct shmr_spsc_consumer *c)
{
    shmr_pause(shmr_back_off(&c->side.stream, c->side.pauses, c->messages, c->position,
                             shmr_spsc_capacity(c->mask)));
}

/* ---- How far the quick way goes (quick.h) ---------------------------------------------------- */

/* Call this whenever head or next_sample has changed. */
static inline void shmr_spsc_renew_quick(struct shmr_spsc_producer *p)
{
    const uint64_t room = p->head + shmr_spsc_capacity(p->mask) - SHMR_SPSC_SPARE;

    p->quick_until = (int64_t)(room - p->next_sample) < 0 ? room : p->next_sample;
}

#endif
