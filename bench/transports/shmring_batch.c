/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>

#include "shmring_ends.h"

/* Describe the messages of l->buffer. */
static void describe(const struct link *l, struct iovec *messages)
{
    for (int i = 0; i < l->batch; i++)
        messages[i] = (struct iovec){l->buffer + (size_t)i * l->size, l->size};
}

/* Messages of the next call. */
static int part(const struct link *l, long left)
{
    return left < l->batch ? (int)left : l->batch;
}

static long send_messages(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_out(l);
    struct iovec messages[BATCH_MAX];
    describe(l, messages);
    for (long sent = 0; sent < n;) {
        int count = part(l, n - sent), done = 0;
        for (int i = 0; i < count; i++)
            payload_fill(messages[i].iov_base, l->size, seq + (uint64_t)(sent + i));
        while (done < count) {
            int r = shmring_send_batch(q, messages + done, count - done);
            if (r > 0)
                done += r;
            else if (r != -EAGAIN)
                return shmring_ends_fail(l, "shmring_send_batch", r);
        }
        sent += count;
    }
    return n;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_in(l);
    struct iovec messages[BATCH_MAX];
    describe(l, messages);
    for (long got = 0; got < n;) {
        int r;
        while ((r = shmring_recv_batch(q, messages, part(l, n - got))) == -EAGAIN)
            ;
        if (r <= 0)
            return shmring_ends_fail(l, "shmring_recv_batch", r);
        for (int i = 0; i < r; i++, got++) {
            if (messages[i].iov_len != l->size)
                return link_bad_length(l, seq + (uint64_t)got, (long)messages[i].iov_len);
            if (!link_check(l, messages[i].iov_base, seq + (uint64_t)got))
                return -1;
        }
    }
    return n;
}

const struct transport shmring_batch_transport = {
    .name = "shmring-batch",
    .group = "rings",
    .what = "spsc queue, shmring_send_batch and shmring_recv_batch",
    .flags = CAN_SPIN | IS_BATCH,
    .open = shmring_ends_open,
    .attach = shmring_ends_attach,
    .send = send_messages,
    .recv = recv_messages,
    .close = shmring_ends_close,
};
