/* SPDX-License-Identifier: MIT */
/*
 * SPSC: the quick way, which nearly every message takes. It is for a short message: the producer
 * knows already that there is room, and the consumer finds it as long as the last one. The steps
 * are those of ring.h in the same order, without those that these conditions make needless; each
 * function names the one of ring.h that takes the other messages.
 */
#ifndef SHMR_SPSC_QUICK_H
#define SHMR_SPSC_QUICK_H

#include "spsc/ring.h"

/*
 * Put a short message at a position, if the producer knows already that there is room. False: call
 * shmr_spsc_room(). Most of what a message costs is here: so there is no call in it, it needs few
 * registers, and data and mask are the caller's copies, which no store can change.
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
    shmr_fetch(data, mask, position, record, p->fetch_ahead, true);
    shmr_copy_short(data + (position & mask) + 8, msg, len);
    return true;
}

/* False: call shmr_spsc_send_whole(). */
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
 * Poll for a message that is as long as the last one, short, and not longer than size. False: call
 * shmr_spsc_next(). The consumer's counterpart of shmr_spsc_put_quick().
 */
static inline bool shmr_spsc_next_quick(const struct shmr_spsc_consumer *c, const uint8_t *data,
                                        uint64_t mask, uint64_t position, size_t size, size_t *len)
{
    const size_t usual = (size_t)c->usual;

    if (__builtin_expect(shmr_spsc_poll(data, mask, position) != (uint32_t)usual + 1, 0))
        return false;
    if (__builtin_expect(usual > SHMR_COPY_SHORT || usual > size, 0))
        return false;
    shmr_fetch(data, mask, position, shmring_record_size((uint32_t)usual), SHMR_READ_AHEAD, false);
    *len = usual;
    return true;
}

/* False: call shmr_spsc_recv_whole(). */
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
