/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"

/* Connect two sockets through listener. l->end has them also when this fails. */
static int connect_pair(struct link *l, int listener)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, length) != 0)
        return link_errno(l, "bind to 127.0.0.1");
    if (listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        return link_errno(l, "listen");
    int pair[2] = {socket(AF_INET, SOCK_STREAM, 0), -1};
    fd_use_pair(l, pair);
    if (pair[0] < 0 || connect(pair[0], (struct sockaddr *)&address, length) != 0)
        return link_errno(l, "connect to 127.0.0.1");
    pair[1] = accept(listener, NULL, NULL);
    fd_use_pair(l, pair);
    if (pair[1] < 0)
        return link_errno(l, "accept");
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) != 0)
            return link_errno(l, "TCP_NODELAY");
    return fd_set_waiting(l);
}

static int tcp_open(struct link *l)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0)
        return link_errno(l, "socket");
    int result = connect_pair(l, listener);
    close(listener);
    return result;
}

const struct transport tcp_transport = {
    .name = "tcp",
    .group = "sockets",
    .what = "TCP over 127.0.0.1 with TCP_NODELAY, one write and one read a message",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = tcp_open,
    .send = fd_send_stream,
    .recv = fd_recv_stream,
    .close = fd_close,
};
