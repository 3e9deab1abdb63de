/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <unistd.h>

#include "fd.h"

static int pipe_open(struct link *l)
{
    for (int side = 0; side < 2; side++) {
        int fd[2];
        if (pipe(fd) != 0)
            return link_errno(l, "pipe");
        l->end[side].out = fd[1];
        l->end[1 - side].in = fd[0];
    }
    return fd_set_waiting(l);
}

const struct transport pipe_transport = {
    .name = "pipe",
    .group = "pipes",
    .what = "pipe(2), one write and one read a message",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = pipe_open,
    .send = fd_send_stream,
    .recv = fd_recv_stream,
    .close = fd_close,
};

const struct transport pipe_batch_transport = {
    .name = "pipe-batch",
    .group = "pipes",
    .what = "pipe(2), one write and one read a batch",
    .flags = CAN_SPIN | CAN_BLOCK | IS_BATCH,
    .open = pipe_open,
    .send = fd_send_stream_batch,
    .recv = fd_recv_stream_batch,
    .close = fd_close,
};
