/* SPDX-License-Identifier: MIT */
/*
 * UDP has no flow control: a message that finds the receive buffer full is lost. The sender does
 * not slow down; the receiver counts the missing messages by the sequence numbers.
 */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "../ticks.h"
#include "fd.h"

static int udp_open(struct link *l)
{
    struct sockaddr_in address[2];
    int pair[2];
    if (l->size < sizeof(uint64_t))
        return link_skip(l, "messages under 8 bytes cannot hold a number to count losses by");
    for (int i = 0; i < 2; i++) {
        socklen_t length = sizeof address[i];
        address[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        pair[i] = socket(AF_INET, SOCK_DGRAM, 0);
        l->end[i].in = l->end[i].out = pair[i];
        if (pair[i] < 0)
            return link_errno(l, "socket");
        if (bind(pair[i], (struct sockaddr *)&address[i], length) != 0 ||
            getsockname(pair[i], (struct sockaddr *)&address[i], &length) != 0)
            return link_errno(l, "bind to 127.0.0.1");
    }
    struct timeval silence = {.tv_usec = LOSSY_TIMEOUT_MS * 1000};
    for (int i = 0; i < 2; i++) {
        if (connect(pair[i], (struct sockaddr *)&address[1 - i], sizeof address[0]) != 0)
            return link_errno(l, "connect to 127.0.0.1");
        if (setsockopt(pair[i], SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) != 0)
            return link_errno(l, "SO_RCVTIMEO");
    }
    return fd_set_waiting(l);
}

/* Receive the next datagram. Returns its length, 0 after LOSSY_TIMEOUT_MS, or -1. */
static ssize_t receive(struct link *l)
{
    const uint64_t patience = ticks_from_seconds((double)LOSSY_TIMEOUT_MS / 1e3);
    uint64_t since = ticks_now();
    for (;;) {
        ssize_t r = recv(l->in, l->buffer, l->size, MSG_TRUNC);
        if (r >= 0)
            return r;
        if (errno != EAGAIN && errno != EINTR)
            return link_errno(l, "recv");
        if (ticks_now() - since >= patience)
            return 0;
    }
}

static long udp_recv(struct link *l, uint64_t seq, long n)
{
    uint64_t next = seq;
    while (next < seq + (uint64_t)n) {
        uint64_t number;
        ssize_t r = receive(l);
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        if (r != (ssize_t)l->size)
            return link_bad_length(l, next, (long)r);
        memcpy(&number, l->buffer, sizeof number);
        if (number < next)
            return link_bad_payload(l, next, l->buffer);
        if (!link_check(l, l->buffer, number))
            return -1;
        l->lost += number - next;
        next = number + 1;
    }
    return (long)(next - seq);
}

const struct transport udp_transport = {
    .name = "udp",
    .group = "sockets",
    .what = "UDP over 127.0.0.1, one send and one recv a message; counts what was lost",
    .flags = CAN_SPIN | CAN_BLOCK | IS_LOSSY,
    .open = udp_open,
    .send = fd_send_packet,
    .recv = udp_recv,
    .close = fd_close,
};
