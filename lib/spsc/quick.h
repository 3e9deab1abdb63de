/* SPDX-License-Identifier: MIT */
/*
 * SPSC: the quick way of nearly every message: short, with room for it as far as the producer
 * knows, as long as the last one. The same steps as in ring.h in the same order, without what these
 * conditions make needless; each function says which one of ring.h does the rest.
 */
#ifndef SHMR_SPSC_QUICK_H
#define SHMR_SPSC_QUICK_H

#include "spsc/ring.h"

/*
 * Put a message at a position as nearly every one is put: it is short, and there is room as far as
 * is known here. False: it takes shmr_spsc_room(). No call in it and few registers, and data and
 * mask are the caller's copies, which no store can change: this is what a message costs.
 */
static inline bool shmr_spsc_put_quick(const struct shmr_spsc_producer *p, uint8_t *data,
                                       uint64_t mask, uint64_t position, const void *msg,
                                       size_t len)
{
    if (__builtin_expect(len > p->quick_most, 0))
        return false;

    const uint64_t record = shmring_record_size((uint32_t)len);
    if (__builtin_expect((int64_t)(p->quick_until - position - record) < 0, 0))
        return false;
    shmr_spsc_fetch(data, mask, position, record, p->fetch_ahead, true);
    shmr_copy_short(data + (position & mask) + 8, msg, len);
    return true;
}

/* False: it takes shmr_spsc_send_whole(). */
static inline bool shmr_spsc_send_quick(struct shmr_spsc_producer *p, const void *msg, size_t len)
{
    uint8_t *const data = p->data;
    const uint64_t mask = p->mask, position = p->position;
    const uint64_t end = position + shmring_record_size((uint32_t)len);

    if (__builtin_expect(p->reserved, 0) || !shmr_spsc_put_quick(p, data, mask, position, msg, len))
        return false;
    shmr_spsc_publish(data, mask, position, (uint32_t)len, end);
    shmr_spsc_advance(p, end, len, 1);
    return true;
}

static inline int shmr_spsc_send(struct shmr_spsc_producer *p, const void *msg, size_t len)
{
    return shmr_spsc_send_quick(p, msg, len) ? 0 : shmr_spsc_send_whole(p, msg, len);
}

/*
 * Look for a message as nearly every one is found: it is there, as long as the last one, short, and
 * fits. False: it takes shmr_spsc_next(). The other half of shmr_spsc_put_quick().
 */
static inline bool shmr_spsc_next_quick(const struct shmr_spsc_consumer *c, const uint8_t *data,
                                        uint64_t mask, uint64_t position, size_t size, size_t *len)
{
    const size_t usual = (size_t)c->usual;

    if (__builtin_expect(shmr_spsc_poll(data, mask, position) != (uint32_t)usual + 1, 0))
        return false;
    if (__builtin_expect(usual > SHMR_COPY_SHORT || usual > size, 0))
        return false;
    shmr_spsc_fetch(data, mask, position, shmring_record_size((uint32_t)usual),
                    SHMR_SPSC_READ_AHEAD, false);
    *len = usual;
    return true;
}

/* False: it takes shmr_spsc_recv_whole(). */
static inline bool shmr_spsc_recv_quick(struct shmr_spsc_consumer *c, void *buf, size_t size,
                                        ssize_t *received)
{
    const uint8_t *const data = c->data;
    const uint64_t mask = c->mask, position = c->position;
    size_t len;

    if (__builtin_expect(c->held != 0, 0) ||
        !shmr_spsc_next_quick(c, data, mask, position, size, &len))
        return false;
    shmr_copy_short(buf, data + (position & mask) + 8, len);
    c->position = position + shmring_record_size((uint32_t)len);
    c->side.misses = 0;
    shmr_spsc_retire(c, c->position, len, 1);
    *received = (ssize_t)len;
    return true;
}

static inline ssize_t shmr_spsc_recv(struct shmr_spsc_consumer *c, void *buf, size_t size)
{
    ssize_t len;

    return shmr_spsc_recv_quick(c, buf, size, &len) ? len : shmr_spsc_recv_whole(c, buf, size);
}

#endif
