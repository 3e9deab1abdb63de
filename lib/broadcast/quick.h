/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: the quick way, which nearly every message takes. It is for a short message that ends
 * before the next chunk, and that a consumer finds as long as the last one, while the horizon is
 * the one that the consumer knows. The steps are those of ring.h in the same order, without those
 * that these conditions make needless.
 */
#ifndef SHMR_BROADCAST_QUICK_H
#define SHMR_BROADCAST_QUICK_H

#include "broadcast/ring.h"

/* Put a short message at a position, if it needs no more than its own bytes. False: call
 * shmr_broadcast_room(). ring is the caller's copy, which no store can change. */
static inline bool shmr_broadcast_put_quick(const struct shmr_broadcast_producer *p,
                                            const struct shmr_broadcast_ring *ring,
                                            uint64_t position, const void *msg, size_t len)
{
    if (__builtin_expect(len > p->quick_most, 0))
        return false;

    const uint64_t record = shmring_record_size((uint32_t)len);
    if (__builtin_expect((int64_t)(p->quick_until - position - record) < 0, 0))
        return false;
    shmr_fetch(ring->data, ring->mask, position, record, p->fetch_ahead, true);
    shmr_racy_copy_in_short(shmr_broadcast_payload(ring, position), msg, len);
    return true;
}

/* False: call shmr_broadcast_send_whole(). */
static inline bool shmr_broadcast_send_quick(struct shmr_broadcast_producer *p, const void *msg,
                                             size_t len)
{
    const struct shmr_broadcast_ring ring = p->ring;
    const uint64_t position = p->position;
    const uint64_t end = position + shmring_record_size((uint32_t)len);

    if (__builtin_expect(p->reserved, 0) || !shmr_broadcast_put_quick(p, &ring, position, msg, len))
        return false;
    shmr_broadcast_publish(&ring, position, (uint32_t)len + 1, end);
    p->position = end;
    p->messages++;
    p->bytes += len;
    p->side.misses = 0;
    return true;
}

static inline int shmr_broadcast_send(struct shmr_broadcast_producer *p, const void *msg,
                                      size_t len)
{
    return shmr_broadcast_send_quick(p, msg, len) ? 0 : shmr_broadcast_send_whole(p, msg, len);
}

/*
 * Receive a message that is as long as the last one, short, and not longer than size. False: call
 * shmr_broadcast_recv_any(); then buf may have been written, and the consumer has not changed.
 */
static inline bool shmr_broadcast_take_quick(struct shmr_broadcast_consumer *c, void *buf,
                                             size_t size, size_t *len)
{
    const size_t usual = (size_t)c->usual;
    const uint64_t position = c->position, end = position + shmring_record_size((uint32_t)usual);

    if (__builtin_expect(shmr_broadcast_poll(&c->ring, position) != (uint32_t)usual + 1, 0))
        return false;
    if (__builtin_expect(usual > SHMR_COPY_SHORT || usual > size, 0))
        return false;
    shmr_fetch(c->ring.data, c->ring.mask, position, end - position, SHMR_READ_AHEAD, false);
    shmr_racy_copy_out_short(buf, shmr_broadcast_payload(&c->ring, position), usual);
    atomic_thread_fence(memory_order_acquire); /* cast:C1, pairs with cast:W1 */
    const uint64_t horizon = c->horizon;
    if (__builtin_expect(shmr_broadcast_horizon(&c->ring) != horizon ||
                             (int64_t)(horizon - end) < SHMR_BROADCAST_SPARE,
                         0))
        return false;
    shmr_broadcast_pass(c, end);
    *len = usual;
    return true;
}

/* False: call shmr_broadcast_recv_any(). */
static inline bool shmr_broadcast_recv_short(struct shmr_broadcast_consumer *c, void *buf,
                                             size_t size, ssize_t *received)
{
    size_t len;

    if (__builtin_expect(c->held != 0, 0) || !shmr_broadcast_take_quick(c, buf, size, &len))
        return false;
    shmr_broadcast_retire(c, len, 1);
    *received = (ssize_t)len;
    return true;
}

static inline ssize_t shmr_broadcast_recv(struct shmr_broadcast_consumer *c, void *buf, size_t size)
{
    ssize_t len;

    return shmr_broadcast_recv_short(c, buf, size, &len) ? len
                                                         : shmr_broadcast_recv_any(c, buf, size);
}

#endif
