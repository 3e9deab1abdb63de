/* SPDX-License-Identifier: MIT */
/*
 * SPSC: what api/send.c and api/receive.c expand for each kind (SHMR_KINDS), beside the operations
 * in ring.h and batch.h themselves.
 */
#ifndef SHMR_SPSC_HOT_H
#define SHMR_SPSC_HOT_H

#include "core/handle.h"
#include "spsc/batch.h"

static inline struct shmr_spsc_producer *shmr_spsc_sender(shmring_t *q)
{
    return &q->spsc.producer;
}

static inline struct shmr_spsc_consumer *shmr_spsc_receiver(shmring_t *q)
{
    return &q->spsc.consumer;
}

/* After `count` messages were sent, or received and released: nobody else's death matters here. */
static inline void shmr_spsc_after_send(const shmring_t *q, int count)
{
    (void)q, (void)count;
}

static inline void shmr_spsc_after_receive(const shmring_t *q, int count)
{
    (void)q, (void)count;
}

/* Before a reservation, or before a message is given out by peek: nobody asks since when. */
static inline void shmr_spsc_before_hold(const shmring_t *q)
{
    (void)q;
}

#endif
