/* SPDX-License-Identifier: MIT */
/*
 * MPMC: what api/send.c and api/receive.c call by expanding SHMR_KINDS, in addition to the
 * operations in participant.h.
 */
#ifndef SHMR_MPMC_HOT_H
#define SHMR_MPMC_HOT_H

#include "base/clock.h"
#include "core/handle.h"
#include "core/recovery.h"
#include "mpmc/participant.h"

/* A participant sweeps after this many messages. */
#define SHMR_MPMC_MESSAGES_PER_SWEEP 4096

static inline struct shmr_mpmc_participant *shmr_mpmc_sender(shmring_t *q)
{
    return &q->mpmc;
}

static inline struct shmr_mpmc_participant *shmr_mpmc_receiver(shmring_t *q)
{
    return &q->mpmc;
}

/* An mpmc queue has no quick way: there is one way to send, and one to receive. */
static inline bool shmr_mpmc_send_quick(const struct shmr_mpmc_participant *p, const void *msg,
                                        size_t len)
{
    (void)p, (void)msg, (void)len;
    return false;
}

static inline int shmr_mpmc_send_whole(struct shmr_mpmc_participant *p, const void *msg, size_t len)
{
    return shmr_mpmc_send(p, msg, len);
}

static inline bool shmr_mpmc_recv_quick(const struct shmr_mpmc_participant *p, void *buf,
                                        size_t size, ssize_t *received)
{
    (void)p, (void)buf, (void)size, (void)received;
    return false;
}

static inline bool shmr_mpmc_recv_apart(const struct shmr_mpmc_participant *p, void *buf,
                                        size_t size, ssize_t *received)
{
    (void)p, (void)buf, (void)size, (void)received;
    return false;
}

static inline ssize_t shmr_mpmc_recv_whole(struct shmr_mpmc_participant *p, void *buf, size_t size)
{
    return shmr_mpmc_recv(p, buf, size);
}

/* After `count` messages sent, or received; n: those of all calls of this participant. */
static inline void shmr_mpmc_sweep_after(shmring_t *q, uint64_t n, int count)
{
    if (__builtin_expect(n % SHMR_MPMC_MESSAGES_PER_SWEEP < (uint64_t)count, 0))
        shmr_sweep(q, SHMR_SWEEP_UNITS);
}

static inline void shmr_mpmc_after_send(shmring_t *q, int count)
{
    shmr_mpmc_sweep_after(q, q->mpmc.sent, count);
}

static inline void shmr_mpmc_after_receive(shmring_t *q, int count)
{
    shmr_mpmc_sweep_after(q, q->mpmc.received, count);
}

/* Before a reservation, and before peek gives out a message. If the participant holds nothing yet,
 * shmring_participants() will say that it has held something since now. */
static inline void shmr_mpmc_before_hold(shmring_t *q)
{
    if (!shmr_mpmc_holds_any(&q->mpmc))
        q->mpmc.now = shmr_coarse_now();
}

#endif
