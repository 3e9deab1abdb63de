/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>

#include "shmring_ends.h"

static long send_messages(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_out(l);
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        int r;
        payload_fill(l->buffer, l->size, seq);
        while ((r = shmring_send(q, l->buffer, l->size)) == -EAGAIN)
            ;
        if (r != 0)
            return shmring_ends_fail(l, "shmring_send", r);
    }
    return n;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    shmring_t *q = shmring_in(l);
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        ssize_t r;
        while ((r = shmring_recv(q, l->buffer, l->size)) == -EAGAIN)
            ;
        if (r < 0)
            return shmring_ends_fail(l, "shmring_recv", r);
        if (r != (ssize_t)l->size)
            return link_bad_length(l, seq, (long)r);
        if (!link_check(l, l->buffer, seq))
            return -1;
    }
    return n;
}

const struct transport shmring_transport = {
    .name = "shmring",
    .group = "rings",
    .what = "spsc queue, shmring_send and shmring_recv",
    .flags = CAN_SPIN,
    .open = shmring_ends_open,
    .attach = shmring_ends_attach,
    .send = send_messages,
    .recv = recv_messages,
    .close = shmring_ends_close,
};
