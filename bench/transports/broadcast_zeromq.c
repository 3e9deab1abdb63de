/* SPDX-License-Identifier: MIT */
/*
 * ZeroMQ over ipc, to many: a publisher (XPUB, which is a PUB that hears of its subscriptions, so
 * that it begins when all are there) and a SUB socket in each consumer, under an abstract address,
 * with their defaults: the publisher drops what a subscriber that is a thousand messages behind has
 * no room for.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "all.h"

enum { SUBSCRIBE_MS = 5000 }; /* all subscribers are there by then */

struct publication {
    char address[64];
    void *socket;
};

static int open_address(struct link *l)
{
    struct publication *p = calloc(1, sizeof *p);
    if (!p)
        return link_errno(l, "calloc");
    l->state = p;
    snprintf(p->address, sizeof p->address, "ipc://@shmring-bench.%ld.zeromq-pub", (long)getpid());
    return 0;
}

static int fail(struct link *l, const char *call)
{
    return link_fail(l, "%s: %s", call, zmq_strerror(errno));
}

/* Wait for the subscriptions. */
static int publish(struct link *l, const struct publication *p)
{
    const int limit = SUBSCRIBE_MS, nap = NAP_MS, each = 1;
    char subscription[8];
    zmq_setsockopt(p->socket, ZMQ_XPUB_VERBOSE, &each, sizeof each);
    zmq_setsockopt(p->socket, ZMQ_RCVTIMEO, &limit, sizeof limit);
    zmq_setsockopt(p->socket, ZMQ_SNDTIMEO, &nap, sizeof nap);
    if (zmq_bind(p->socket, p->address) != 0)
        return fail(l, "zmq_bind");
    for (int i = 0; i < l->crew.consumers + l->crew.idle; i++)
        if (zmq_recv(p->socket, subscription, sizeof subscription, 0) < 0)
            return fail(l, "zmq_recv of a subscription");
    return 0;
}

static int attach(struct link *l)
{
    struct publication *p = l->state;
    const int nap = NAP_MS;
    void *context = zmq_ctx_new();
    p->socket = context ? zmq_socket(context, l->subscriber < 0 ? ZMQ_XPUB : ZMQ_SUB) : NULL;
    if (!p->socket)
        return fail(l, "zmq_socket");
    if (l->subscriber < 0)
        return publish(l, p);
    if (zmq_setsockopt(p->socket, ZMQ_SUBSCRIBE, "", 0) != 0 ||
        zmq_setsockopt(p->socket, ZMQ_RCVTIMEO, &nap, sizeof nap) != 0)
        return fail(l, "zmq_setsockopt");
    return zmq_connect(p->socket, p->address) == 0 ? 0 : fail(l, "zmq_connect");
}

static void close_sockets(struct link *l)
{
    free(l->state); /* the sockets were closed with the processes */
}

static long send_one(struct link *l, void *message, long n)
{
    const struct publication *p = l->state;
    (void)n;
    if (zmq_send(p->socket, message, l->size, l->block ? 0 : ZMQ_DONTWAIT) >= 0)
        return 1;
    return errno == EAGAIN || errno == EINTR ? 0 : fail(l, "zmq_send");
}

static long recv_one(struct link *l, void *message, long n)
{
    const struct publication *p = l->state;
    (void)n;
    const int r = zmq_recv(p->socket, message, l->size, l->block ? 0 : ZMQ_DONTWAIT);
    if (r == (int)l->size)
        return 1;
    if (r >= 0)
        return link_fail(l, "a message came with %d bytes, not %zu", r, l->size);
    return errno == EAGAIN || errno == EINTR ? 0 : fail(l, "zmq_recv");
}

const struct transport zeromq_pub_transport = {
    .name = "zeromq-pub",
    .group = "peers",
    .what = "broadcast: ZeroMQ, PUB and SUB over ipc",
    .flags = CAN_SPIN | CAN_BLOCK | IS_BROADCAST | IS_LOSSY,
    .open = open_address,
    .attach = attach,
    .try_send = send_one,
    .try_recv = recv_one,
    .close = close_sockets,
};
