/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <sys/socket.h>

#include "fd.h"

static int unix_stream_open(struct link *l)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return link_errno(l, "socketpair");
    fd_use_pair(l, pair);
    return fd_set_waiting(l);
}

const struct transport unix_stream_transport = {
    .name = "unix-stream",
    .group = "sockets",
    .what = "socketpair(2), AF_UNIX, SOCK_STREAM, one write and one read a message",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = unix_stream_open,
    .send = fd_send_stream,
    .recv = fd_recv_stream,
    .close = fd_close,
};
