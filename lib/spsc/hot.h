/* SPDX-License-Identifier: MIT */
/*
 * SPSC: what api/send.c and api/receive.c call by expanding SHMR_KINDS, in addition to the
 * operations in ring.h, quick.h and batch.h.
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

static inline bool shmr_spsc_recv_apart(const struct shmr_spsc_consumer *c, void *buf, size_t size,
                                        ssize_t *received)
{
    (void)c, (void)buf, (void)size, (void)received;
    return false;
}

/* After `count` messages were sent, or received and released. Nothing to do: a dead participant
 * holds nothing that the other one needs. */
static inline void shmr_spsc_after_send(const shmring_t *q, int count)
{
    (void)q, (void)count;
}

static inline void shmr_spsc_after_receive(const shmring_t *q, int count)
{
    (void)q, (void)count;
}

/* Before a reservation, and before peek gives out a message. Nothing to do: an spsc queue does not
 * record since when a message is held. */
static inline void shmr_spsc_before_hold(const shmring_t *q)
{
    (void)q;
}

#endif
