/* SPDX-License-Identifier: MIT */
/*
 * A pipe, or a pair of datagram sockets, for each consumer: the producer writes each message as
 * often as there are consumers. All descriptors are non-blocking. A process that is to sleep calls
 * poll() after a call that would have blocked, because the last message must end it.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "all.h"

struct descriptors {
    int in[SUBSCRIBERS_MAX], out[SUBSCRIBERS_MAX], subscribers;
    int served;    /* subscribers that have all of the message that is being sent */
    size_t passed; /* bytes of a message that one descriptor has taken, or given */
};

static int open_each(struct link *l, int (*make)(int ends[2]), const char *call)
{
    struct descriptors *d = calloc(1, sizeof *d);
    if (!d)
        return link_errno(l, "calloc");
    l->state = d;
    for (int i = 0; i < l->crew.consumers + l->crew.idle; i++) {
        int ends[2];
        if (make(ends) != 0)
            return link_errno(l, call);
        d->in[i] = ends[0];
        d->out[i] = ends[1];
        d->subscribers++;
    }
    return 0;
}

static int make_pipe(int ends[2])
{
    return pipe2(ends, O_NONBLOCK);
}

static int make_sockets(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends);
}

static int open_pipes(struct link *l)
{
    return open_each(l, make_pipe, "pipe2");
}

static int open_sockets(struct link *l)
{
    return open_each(l, make_sockets, "socketpair");
}

static void close_each(struct link *l)
{
    struct descriptors *d = l->state;
    for (int i = 0; d && i < d->subscribers; i++) {
        close(d->in[i]);
        close(d->out[i]);
    }
    free(d);
}

/* A call would have blocked: sleep if the process is to. Returns 0, or -1 after another error. */
static int wait_for(struct link *l, int fd, short events, const char *call)
{
    if (errno != EAGAIN && errno != EINTR)
        return link_errno(l, call);
    if (l->block)
        poll(&(struct pollfd){.fd = fd, .events = events}, 1, NAP_MS);
    return 0;
}

static long write_to_all(struct link *l, void *message, long n)
{
    struct descriptors *d = l->state;
    (void)n;
    while (d->served < d->subscribers) {
        const int fd = d->out[d->served];
        const ssize_t r = write(fd, (char *)message + d->passed, l->size - d->passed);
        if (r < 0)
            return wait_for(l, fd, POLLOUT, "write");
        d->passed = (d->passed + (size_t)r) % l->size;
        d->served += d->passed == 0;
    }
    d->served = 0;
    return 1;
}

static long read_one(struct link *l, void *message, long n)
{
    struct descriptors *d = l->state;
    const int fd = d->in[l->subscriber];
    (void)n;
    const ssize_t r = read(fd, (char *)message + d->passed, l->size - d->passed);
    if (r < 0)
        return wait_for(l, fd, POLLIN, "read");
    if (r == 0)
        return link_fail(l, "read: the other end has closed");
    d->passed = (d->passed + (size_t)r) % l->size;
    return d->passed == 0;
}

const struct transport pipe_each_transport = {
    .name = "pipe-each",
    .group = "broadcast",
    .what = "broadcast: a pipe(2) for each consumer",
    .flags = CAN_SPIN | CAN_BLOCK | IS_BROADCAST,
    .open = open_pipes,
    .try_send = write_to_all,
    .try_recv = read_one,
    .close = close_each,
};

const struct transport unix_dgram_each_transport = {
    .name = "unix-dgram-each",
    .group = "broadcast",
    .what = "broadcast: a socketpair(2), AF_UNIX, SOCK_DGRAM, for each consumer",
    .flags = CAN_SPIN | CAN_BLOCK | IS_BROADCAST,
    .open = open_sockets,
    .try_send = write_to_all,
    .try_recv = read_one,
    .close = close_each,
};
