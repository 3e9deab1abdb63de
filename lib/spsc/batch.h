/* SPDX-License-Identifier: MIT */
/*
 * SPSC: batches. The producer stores the later messages' headers first, and publishes the whole
 * batch by the first message's header, which is spsc:R1 of ring.h. Until then no consumer reads the
 * later headers.
 */
#ifndef SHMR_SPSC_BATCH_H
#define SHMR_SPSC_BATCH_H

#include "spsc/quick.h"
#include "spsc/staging.h"

/* Put one message of any length or more. Returns the number of messages put, or -EAGAIN, -EMSGSIZE,
 * -EBADMSG. *many: try shmr_spsc_put_many() first. */
__attribute__((noinline)) static int shmr_spsc_put_some(struct shmr_spsc_producer *p,
                                                        uint64_t position, const struct iovec *msgs,
                                                        int n, bool *many)
{
    const int count = *many ? shmr_spsc_put_many(p, position, msgs, n) : 0;

    *many = count > 0; /* if it put none, do not try it again in this batch */
    if (count > 0)
        return count;
    int r = shmr_spsc_room(p, position - p->position, msgs[0].iov_len);
    if (r < 0)
        return r;
    shmr_spsc_put(p, position, msgs[0].iov_base, msgs[0].iov_len);
    return 1;
}

static inline int shmr_spsc_send_batch(struct shmr_spsc_producer *p, const struct iovec *msgs,
                                       int n)
{
    uint8_t *const data = p->data;
    const uint64_t mask = p->mask;
    const struct iovec *const stop = msgs + n, *next = msgs;
    uint64_t end = p->position, bytes = 0;
    bool many = true;
    int r = 0;

    if (p->reserved)
        return -EINPROGRESS;
    while (next != stop) {
        const size_t len = next->iov_len;
        if (shmr_spsc_put_quick(p, data, mask, end, next->iov_base, len)) {
            if (next != msgs)
                shmr_spsc_put_later(data, mask, end, len);
            end += shmring_record_size((uint32_t)len);
            bytes += len;
            next++;
            continue;
        }
        r = shmr_spsc_put_some(p, end, next, (int)(stop - next), &many);
        if (r < 0)
            break;
        if (next != msgs)
            shmr_spsc_put_later(data, mask, end, len);
        for (; r > 0; r--, next++) {
            end += shmring_record_size((uint32_t)next->iov_len);
            bytes += next->iov_len;
        }
    }
    const int sent = (int)(next - msgs);
    if (sent == 0)
        return r;
    shmr_spsc_publish_all(p, (uint32_t)msgs[0].iov_len, end, bytes, (uint64_t)sent);
    return sent;
}

static inline int shmr_spsc_recv_batch(struct shmr_spsc_consumer *c, struct iovec *msgs, int n)
{
    const uint8_t *const data = c->data;
    const uint64_t mask = c->mask;
    uint64_t position = c->position, bytes = 0;
    int received, r = 0;

    if (c->held != 0)
        return -EINPROGRESS;
    for (received = 0; received < n; received++) {
        void *const buf = msgs[received].iov_base;
        const void *const message = data + (position & mask) + 8;
        size_t len;
        if (shmr_spsc_next_quick(c, data, mask, position, msgs[received].iov_len, &len)) {
            c->position = position += shmring_record_size((uint32_t)len);
            /* Before the copy, because the caller's buffer may outlive this process. */
            shmr_spsc_note_taken(c);
            shmr_copy_short(buf, message, len);
        } else {
            const ssize_t next = shmr_spsc_next(c, received == 0);
            if (next < 0 || (size_t)next > msgs[received].iov_len) {
                r = next < 0 ? (int)next : -EMSGSIZE;
                break;
            }
            len = (size_t)next;
            c->position = position += shmring_record_size((uint32_t)len);
            shmr_spsc_note_taken(c);
            shmr_copy(buf, message, len);
        }
        msgs[received].iov_len = len;
        bytes += len;
    }
    if (received == 0)
        return r;
    c->side.misses = 0;
    shmr_spsc_retire(c, position, bytes, (uint64_t)received);
    return received;
}

#endif
