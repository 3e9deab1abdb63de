/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: batches. The producer stores the later messages' headers first, and publishes up to a
 * quarter of the ring by the first message's header, which is cast:R1 of ring.h. Until then no
 * consumer reads the later headers: no mark names them yet.
 */
#ifndef SHMR_BROADCAST_BATCH_H
#define SHMR_BROADCAST_BATCH_H

#include "broadcast/quick.h"

/* Put one message of a batch at p->position + ahead. 0, or -EAGAIN, -EMSGSIZE. */
static inline int shmr_broadcast_put_one(struct shmr_broadcast_producer *p, uint64_t ahead,
                                         const struct iovec *msg)
{
    if (shmr_broadcast_put_quick(p, &p->ring, p->position + ahead, msg->iov_base, msg->iov_len))
        return 0;
    const int r = shmr_broadcast_room(p, ahead, msg->iov_len);
    if (r == 0)
        shmr_broadcast_put(p, p->position + ahead, msg->iov_base, msg->iov_len);
    return r;
}

/* Send as many as take a quarter of the ring: they become visible together. Returns how many, or,
 * if the first one cannot be sent, -EAGAIN or -EMSGSIZE. */
static inline int shmr_broadcast_send_some(struct shmr_broadcast_producer *p,
                                           const struct iovec *msgs, int n)
{
    const uint64_t most = shmr_broadcast_capacity(&p->ring) / SHMR_BROADCAST_MOST_FRACTION;
    const uint64_t start = p->position, chunk = shmr_broadcast_chunk(&p->ring);
    struct shmr_broadcast_starts starts = {.count = 0, .next = p->next_mark};
    uint64_t end = start, bytes = 0;
    int sent, r = 0;

    for (sent = 0; sent < n; sent++) {
        const size_t len = msgs[sent].iov_len;
        if (sent > 0 &&
            (len > p->ring.max_message || end - start + shmring_record_size((uint32_t)len) > most))
            break;
        r = shmr_broadcast_put_one(p, end - start, &msgs[sent]);
        if (r < 0)
            break;
        if (sent > 0) /* cast:R1 makes it visible, with the first message's */
            atomic_store_explicit(shmr_broadcast_header(&p->ring, end), (uint32_t)len + 1,
                                  memory_order_relaxed);
        shmr_broadcast_note_start(&starts, chunk, end, p->messages + (uint64_t)sent);
        end += shmring_record_size((uint32_t)len);
        bytes += len;
    }
    if (sent == 0)
        return r;
    shmr_broadcast_publish(&p->ring, start, (uint32_t)msgs[0].iov_len + 1, end);
    p->position = end;
    p->messages += (uint64_t)sent;
    p->bytes += bytes;
    p->side.misses = 0;
    shmr_broadcast_note(p, &starts);
    return sent;
}

static inline int shmr_broadcast_send_batch(struct shmr_broadcast_producer *p,
                                            const struct iovec *msgs, int n)
{
    int sent = 0;

    if (p->reserved)
        return -EINPROGRESS;
    while (sent < n) {
        const int r = shmr_broadcast_send_some(p, msgs + sent, n - sent);
        if (r < 0)
            return sent > 0 ? sent : r;
        sent += r;
    }
    return sent;
}

/* Receive one message of a batch. Its length, or an error; -EOVERFLOW: it was lapped, and the
 * consumer has not changed. */
static inline ssize_t shmr_broadcast_take(struct shmr_broadcast_consumer *c, void *buf, size_t size)
{
    uint32_t header = shmr_broadcast_poll(&c->ring, c->position);
    const uint32_t len = shmr_broadcast_length(header);
    const bool good = header != 0 && len <= c->ring.max_message;
    const uint64_t end =
        good ? c->position + shmring_record_size(len) : c->position - SHMR_BROADCAST_SPARE;

    if (good && len <= size)
        shmr_racy_copy_out(buf, shmr_broadcast_payload(&c->ring, c->position), len);
    const int r = shmr_broadcast_check_whole(c, end);
    if (r < 0 || header == 0)
        return r < 0 ? r : -EAGAIN;
    if (!good) {
        c->side.damage = "corrupt: the next record's header is longer than max_message";
        return -EBADMSG;
    }
    if (len > size)
        return -EMSGSIZE;
    c->usual = (ssize_t)len;
    shmr_broadcast_pass(c, end);
    return (ssize_t)len;
}

static inline int shmr_broadcast_recv_batch(struct shmr_broadcast_consumer *c, struct iovec *msgs,
                                            int n)
{
    uint64_t bytes;
    int received;

    /* Receive the first message alone: that call backs off if the ring is empty, and reports a lap.
     */
    ssize_t r = shmr_broadcast_recv(c, msgs[0].iov_base, msgs[0].iov_len);
    if (r < 0)
        return (int)r;
    msgs[0].iov_len = (size_t)r;
    bytes = 0;
    for (received = 1; received < n; received++) {
        size_t len;
        if (!shmr_broadcast_take_quick(c, msgs[received].iov_base, msgs[received].iov_len, &len)) {
            r = shmr_broadcast_take(c, msgs[received].iov_base, msgs[received].iov_len);
            if (r < 0) /* the next call finds the same, and reports it */
                break;
            len = (size_t)r;
        }
        msgs[received].iov_len = len;
        bytes += len;
    }
    if (received > 1)
        shmr_broadcast_retire(c, bytes, (uint64_t)received - 1);
    return received;
}

#endif
