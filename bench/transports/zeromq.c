/* SPDX-License-Identifier: MIT */
/*
 * ZeroMQ over ipc: a PUSH and a PULL socket each way, under an abstract address, with its defaults:
 * a thousand messages on either side, and an I/O thread in each process, which runs on the same CPU
 * as the process's other work.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "all.h"

struct sockets {
    char address[2][64]; /* what each side sends to */
    void *context, *out, *in;
};

static int open_addresses(struct link *l)
{
    struct sockets *s = calloc(1, sizeof *s);
    if (!s)
        return link_errno(l, "calloc");
    l->state = s;
    for (int side = 0; side < 2; side++)
        snprintf(s->address[side], sizeof s->address[side], "ipc://@shmring-bench.%ld.zeromq.%c",
                 (long)getpid(), 'a' + side);
    return 0;
}

static int fail(struct link *l, const char *call)
{
    return link_fail(l, "%s: %s", call, zmq_strerror(errno));
}

/* The receiver binds. Connecting succeeds at once; libzmq tries again until the receiver has
 * bound. */
static int attach(struct link *l)
{
    struct sockets *s = l->state;
    s->context = zmq_ctx_new();
    if (!s->context)
        return fail(l, "zmq_ctx_new");
    s->in = zmq_socket(s->context, ZMQ_PULL);
    s->out = zmq_socket(s->context, ZMQ_PUSH);
    if (!s->in || !s->out)
        return fail(l, "zmq_socket");
    if (zmq_bind(s->in, s->address[1 - l->side]) != 0)
        return fail(l, "zmq_bind");
    if (zmq_connect(s->out, s->address[l->side]) != 0)
        return fail(l, "zmq_connect");
    return 0;
}

static void close_sockets(struct link *l)
{
    free(l->state); /* the sockets were closed with the processes */
}

static long send_messages(struct link *l, uint64_t seq, long n)
{
    const struct sockets *s = l->state;
    const int flags = l->block ? 0 : ZMQ_DONTWAIT;
    for (long i = 0; i < n; i++) {
        payload_fill(l->buffer, l->size, seq + (uint64_t)i);
        while (zmq_send(s->out, l->buffer, l->size, flags) < 0)
            if (errno != EAGAIN && errno != EINTR)
                return fail(l, "zmq_send");
    }
    return n;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    const struct sockets *s = l->state;
    const int flags = l->block ? 0 : ZMQ_DONTWAIT;
    for (long i = 0; i < n; i++) {
        int r;
        while ((r = zmq_recv(s->in, l->buffer, l->size, flags)) < 0)
            if (errno != EAGAIN && errno != EINTR)
                return fail(l, "zmq_recv");
        if (r != (int)l->size)
            return link_bad_length(l, seq + (uint64_t)i, r);
        if (!link_check(l, l->buffer, seq + (uint64_t)i))
            return -1;
    }
    return n;
}

const struct transport zeromq_transport = {
    .name = "zeromq",
    .group = "peers",
    .what = "ZeroMQ, PUSH and PULL over ipc",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = open_addresses,
    .attach = attach,
    .send = send_messages,
    .recv = recv_messages,
    .close = close_sockets,
};
