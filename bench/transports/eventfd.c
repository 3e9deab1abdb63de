/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fd.h"

static int eventfd_open(struct link *l)
{
    for (int side = 0; side < 2; side++) {
        l->end[side].out = eventfd(0, EFD_SEMAPHORE | (l->block ? 0 : EFD_NONBLOCK));
        if (l->end[side].out < 0)
            return link_errno(l, "eventfd");
        l->end[1 - side].in = dup(l->end[side].out);
        if (l->end[1 - side].in < 0)
            return link_errno(l, "dup");
    }
    return 0;
}

static long eventfd_send(struct link *l, uint64_t seq, long n)
{
    (void)seq;
    for (long i = 0; i < n; i++)
        while (eventfd_write(l->out, 1) != 0)
            if (errno != EAGAIN && errno != EINTR)
                return link_errno(l, "eventfd_write");
    return n;
}

static long eventfd_recv(struct link *l, uint64_t seq, long n)
{
    (void)seq;
    for (long i = 0; i < n; i++) {
        eventfd_t count;
        while (eventfd_read(l->in, &count) != 0)
            if (errno != EAGAIN && errno != EINTR)
                return link_errno(l, "eventfd_read");
    }
    return n;
}

const struct transport eventfd_transport = {
    .name = "eventfd",
    .group = "signal",
    .what = "eventfd(2), EFD_SEMAPHORE: a signal without a message",
    .flags = CAN_SPIN | CAN_BLOCK | IS_SIGNAL,
    .open = eventfd_open,
    .send = eventfd_send,
    .recv = eventfd_recv,
    .close = fd_close,
};
