/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: what api/send.c and api/receive.c call by expanding SHMR_KINDS, in addition to the
 * operations in ring.h, quick.h and batch.h.
 */
#ifndef SHMR_BROADCAST_HOT_H
#define SHMR_BROADCAST_HOT_H

#include "broadcast/batch.h"
#include "core/handle.h"

static inline struct shmr_broadcast_producer *shmr_broadcast_sender(shmring_t *q)
{
    return &q->broadcast.producer;
}

static inline struct shmr_broadcast_consumer *shmr_broadcast_receiver(shmring_t *q)
{
    return &q->broadcast.consumer;
}

/* The quick way to receive is not inlined into shmring_recv(): with it that function would save
 * registers for all kinds. */
static inline bool shmr_broadcast_recv_quick(const struct shmr_broadcast_consumer *c, void *buf,
                                             size_t size, ssize_t *received)
{
    (void)c, (void)buf, (void)size, (void)received;
    return false;
}

static inline bool shmr_broadcast_recv_apart(struct shmr_broadcast_consumer *c, void *buf,
                                             size_t size, ssize_t *received)
{
    return shmr_broadcast_recv_short(c, buf, size, received);
}

static inline ssize_t shmr_broadcast_recv_whole(struct shmr_broadcast_consumer *c, void *buf,
                                                size_t size)
{
    return shmr_broadcast_recv_any(c, buf, size);
}

/* After `count` messages were sent, or received and released. Nothing to do: a dead consumer holds
 * the producer up only when that needs room. */
static inline void shmr_broadcast_after_send(const shmring_t *q, int count)
{
    (void)q, (void)count;
}

static inline void shmr_broadcast_after_receive(const shmring_t *q, int count)
{
    (void)q, (void)count;
}

/* Before a reservation, and before peek gives out a message. Nothing to do: the queue does not
 * record since when a message is held. */
static inline void shmr_broadcast_before_hold(const shmring_t *q)
{
    (void)q;
}

#endif
