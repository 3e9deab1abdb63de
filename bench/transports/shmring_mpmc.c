/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>

#include "shmring_ends.h"

static int open_mpmc(struct link *l)
{
    return shmring_ends_open_kind(l, &kind_mpmc);
}

const struct transport shmring_mpmc_transport = {
    .name = "shmring-mpmc",
    .group = "rings",
    .what = "mpmc queue, shmring_send and shmring_recv",
    .flags = CAN_SPIN | CAN_BLOCK | CAN_BE_ALONE | IS_MANY | HAS_CAPACITY | IS_LOCK_FREE,
    .open = open_mpmc,
    .attach = shmring_ends_attach,
    .send = shmring_ends_send,
    .recv = shmring_ends_recv,
    .try_send = shmring_ends_try_send,
    .try_recv = shmring_ends_try_recv,
    .close = shmring_ends_close,
};

/* Several of l->buffer a call. */
static long try_send_some(struct link *l, void *messages, long n)
{
    struct iovec part[BATCH_MAX];
    for (long i = 0; i < n; i++)
        part[i] = (struct iovec){(unsigned char *)messages + (size_t)i * l->size, l->size};
    const int r = shmring_send_batch(shmring_out(l), part, (int)n);
    return r >= 0 ? r : r == -EAGAIN ? 0 : shmring_ends_fail(l, "shmring_send_batch", r);
}

static long try_recv_some(struct link *l, void *messages, long n)
{
    struct iovec part[BATCH_MAX];
    for (long i = 0; i < n; i++)
        part[i] = (struct iovec){(unsigned char *)messages + (size_t)i * l->size, l->size};
    const int r = shmring_recv_batch(shmring_in(l), part, (int)n);
    for (int i = 0; i < r; i++)
        if (part[i].iov_len != l->size)
            return link_fail(l, "a message came with %zu bytes, not %zu", part[i].iov_len, l->size);
    return r >= 0 ? r : r == -EAGAIN ? 0 : shmring_ends_fail(l, "shmring_recv_batch", r);
}

const struct transport shmring_mpmc_batch_transport = {
    .name = "shmring-mpmc-batch",
    .group = "rings",
    .what = "mpmc queue, shmring_send_batch and shmring_recv_batch",
    .flags = CAN_SPIN | IS_MANY | IS_BATCH | HAS_CAPACITY | IS_LOCK_FREE,
    .open = open_mpmc,
    .attach = shmring_ends_attach,
    .send = shmring_ends_send_batch,
    .recv = shmring_ends_recv_batch,
    .try_send = try_send_some,
    .try_recv = try_recv_some,
    .close = shmring_ends_close,
};
