/* SPDX-License-Identifier: MIT */
/*
 * nng over ipc: a PAIR socket in each process, under an abstract address, with its defaults and its
 * threads, which may run on any CPU the process may.
 */
#include <config.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "all.h"

struct ends {
    char address[64];
    nng_socket socket;
};

static int open_address(struct link *l)
{
    struct ends *e = calloc(1, sizeof *e);
    if (!e)
        return link_errno(l, "calloc");
    l->state = e;
    snprintf(e->address, sizeof e->address, "abstract://shmring-bench.%ld.nng", (long)getpid());
    return 0;
}

static int fail(struct link *l, const char *call, int error)
{
    return link_fail(l, "%s: %s", call, nng_strerror(error));
}

/* A listens; B tries to connect until A does. */
static int attach(struct link *l)
{
    struct ends *e = l->state;
    int r = nng_pair0_open(&e->socket);
    if (r != 0)
        return fail(l, "nng_pair0_open", r);
    if (l->side == SIDE_A) {
        r = nng_listen(e->socket, e->address, NULL, 0);
        return r == 0 ? 0 : fail(l, "nng_listen", r);
    }
    while ((r = nng_dial(e->socket, e->address, NULL, 0)) == NNG_ECONNREFUSED)
        usleep(1000);
    return r == 0 ? 0 : fail(l, "nng_dial", r);
}

static void close_ends(struct link *l)
{
    free(l->state); /* the sockets were closed with the processes */
}

static long send_messages(struct link *l, uint64_t seq, long n)
{
    const struct ends *e = l->state;
    const int flags = l->block ? 0 : NNG_FLAG_NONBLOCK;
    for (long i = 0; i < n; i++) {
        int r;
        payload_fill(l->buffer, l->size, seq + (uint64_t)i);
        while ((r = nng_send(e->socket, l->buffer, l->size, flags)) != 0)
            if (r != NNG_EAGAIN)
                return fail(l, "nng_send", r);
    }
    return n;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    const struct ends *e = l->state;
    const int flags = l->block ? 0 : NNG_FLAG_NONBLOCK;
    for (long i = 0; i < n; i++) {
        size_t length = l->size;
        int r;
        while ((r = nng_recv(e->socket, l->buffer, &length, flags)) != 0)
            if (r != NNG_EAGAIN)
                return fail(l, "nng_recv", r);
        if (length != l->size)
            return link_bad_length(l, seq + (uint64_t)i, (long)length);
        if (!link_check(l, l->buffer, seq + (uint64_t)i))
            return -1;
    }
    return n;
}

const struct transport nng_transport = {
    .name = "nng",
    .group = "peers",
    .what = "nng, PAIR over ipc",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = open_address,
    .attach = attach,
    .send = send_messages,
    .recv = recv_messages,
    .close = close_ends,
};
