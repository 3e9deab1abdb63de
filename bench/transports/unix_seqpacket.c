/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <sys/socket.h>

#include "fd.h"

static int unix_seqpacket_open(struct link *l)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
        return link_errno(l, "socketpair");
    fd_use_pair(l, pair);
    return fd_set_waiting(l);
}

const struct transport unix_seqpacket_transport = {
    .name = "unix-seqpacket",
    .group = "sockets",
    .what = "socketpair(2), AF_UNIX, SOCK_SEQPACKET, one send and one recv a message",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = unix_seqpacket_open,
    .send = fd_send_packet,
    .recv = fd_recv_packet,
    .close = fd_close,
};
