/* SPDX-License-Identifier: MIT */
/*
 * nng over ipc, to many: a PUB socket in the producer and a SUB socket in each consumer, under an
 * abstract address, with their defaults and threads. The publisher drops what a subscriber has no
 * room for.
 */
#include <config.h>

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "all.h"

enum { SUBSCRIBE_MS = 5000 }; /* all subscribers are there by then */

struct publication {
    char address[64];
    nng_socket socket;
    _Atomic int connected; /* subscribers */
};

static int open_address(struct link *l)
{
    struct publication *p = calloc(1, sizeof *p);
    if (!p)
        return link_errno(l, "calloc");
    l->state = p;
    snprintf(p->address, sizeof p->address, "abstract://shmring-bench.%ld.nng-pub", (long)getpid());
    return 0;
}

static int fail(struct link *l, const char *call, int error)
{
    return link_fail(l, "%s: %s", call, nng_strerror(error));
}

static void note_connection(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct publication *p = arg;
    (void)pipe, (void)event;
    atomic_fetch_add(&p->connected, 1);
}

static int publish(struct link *l, struct publication *p)
{
    const int subscribers = l->crew.consumers + l->crew.idle;
    int r = nng_pub0_open(&p->socket);
    if (r == 0)
        r = nng_pipe_notify(p->socket, NNG_PIPE_EV_ADD_POST, note_connection, p);
    if (r == 0)
        r = nng_listen(p->socket, p->address, NULL, 0);
    if (r != 0)
        return fail(l, "nng_listen", r);
    for (int ms = 0; atomic_load(&p->connected) < subscribers; ms++) {
        if (ms == SUBSCRIBE_MS)
            return link_fail(l, "%d of %d subscribers have connected", atomic_load(&p->connected),
                             subscribers);
        usleep(1000);
    }
    return 0;
}

static int attach(struct link *l)
{
    struct publication *p = l->state;
    if (l->subscriber < 0)
        return publish(l, p);
    int r = nng_sub0_open(&p->socket);
    if (r == 0)
        r = nng_socket_set(p->socket, NNG_OPT_SUB_SUBSCRIBE, "", 0);
    if (r == 0)
        r = nng_socket_set_ms(p->socket, NNG_OPT_RECVTIMEO, NAP_MS);
    if (r != 0)
        return fail(l, "nng_sub0_open", r);
    while ((r = nng_dial(p->socket, p->address, NULL, 0)) == NNG_ECONNREFUSED)
        usleep(1000);
    return r == 0 ? 0 : fail(l, "nng_dial", r);
}

static void close_sockets(struct link *l)
{
    free(l->state); /* the sockets were closed with the processes */
}

static bool in_vain(int r)
{
    return r == NNG_EAGAIN || r == NNG_ETIMEDOUT;
}

static long send_one(struct link *l, void *message, long n)
{
    const struct publication *p = l->state;
    (void)n;
    const int r = nng_send(p->socket, message, l->size, l->block ? 0 : NNG_FLAG_NONBLOCK);
    if (r == 0)
        return 1;
    return in_vain(r) ? 0 : fail(l, "nng_send", r);
}

static long recv_one(struct link *l, void *message, long n)
{
    const struct publication *p = l->state;
    size_t length = l->size;
    (void)n;
    const int r = nng_recv(p->socket, message, &length, l->block ? 0 : NNG_FLAG_NONBLOCK);
    if (r != 0)
        return in_vain(r) ? 0 : fail(l, "nng_recv", r);
    if (length != l->size)
        return link_fail(l, "a message came with %zu bytes, not %zu", length, l->size);
    return 1;
}

const struct transport nng_pub_transport = {
    .name = "nng-pub",
    .group = "peers",
    .what = "broadcast: nng, PUB and SUB over ipc",
    .flags = CAN_SPIN | CAN_BLOCK | IS_BROADCAST | IS_LOSSY,
    .open = open_address,
    .attach = attach,
    .try_send = send_one,
    .try_recv = recv_one,
    .close = close_sockets,
};
