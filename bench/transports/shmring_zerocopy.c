/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>

#include "shmring_ends.h"

static long send_messages(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_out(l);
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        void *message;
        int r;
        while ((r = shmring_reserve(q, l->size, &message)) == -EAGAIN)
            ;
        if (r != 0)
            return shmring_ends_fail(l, "shmring_reserve", r);
        payload_fill(message, l->size, seq);
        r = shmring_commit(q, message, l->size);
        if (r != 0)
            return shmring_ends_fail(l, "shmring_commit", r);
    }
    return n;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_in(l);
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        const void *message;
        ssize_t r;
        while ((r = shmring_peek(q, &message, NULL)) == -EAGAIN)
            ;
        if (r < 0)
            return shmring_ends_fail(l, "shmring_peek", r);
        if (r != (ssize_t)l->size)
            return link_bad_length(l, seq, (long)r);
        if (!link_check(l, message, seq))
            return -1;
        r = shmring_release(q, message);
        if (r != 0)
            return shmring_ends_fail(l, "shmring_release", r);
    }
    return n;
}

const struct transport shmring_zerocopy_transport = {
    .name = "shmring-zerocopy",
    .group = "rings",
    .what = "spsc queue, messages made and checked in the ring: reserve, commit, peek, release",
    .flags = HAS_CAPACITY | CAN_SPIN | IS_LOCK_FREE,
    .open = shmring_ends_open,
    .attach = shmring_ends_attach,
    .send = send_messages,
    .recv = recv_messages,
    .close = shmring_ends_close,
};
