/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

/* Open two descriptors of one queue, whose name is removed before this returns. */
static int open_ends(struct link *l, int *in, int *out)
{
    char name[64];
    snprintf(name, sizeof name, "/shmring-bench.%ld", (long)getpid());
    mq_unlink(name); /* left by a killed run that had this process id */
    struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = (long)l->size};
    int nonblock = l->block ? 0 : O_NONBLOCK;
    *in = mq_open(name, O_RDONLY | O_CREAT | O_EXCL | nonblock, 0600, &attributes);
    if (*in < 0)
        return errno == EINVAL ? link_skip(l,
                                           "mq_open: no messages of %zu bytes (see "
                                           "/proc/sys/fs/mqueue/msgsize_max)",
                                           l->size)
                               : link_errno(l, "mq_open");
    *out = mq_open(name, O_WRONLY | nonblock);
    int result = *out < 0 ? link_errno(l, "mq_open") : 0;
    mq_unlink(name);
    return result;
}

static int posix_mq_open(struct link *l)
{
    for (int side = 0; side < 2; side++)
        if (open_ends(l, &l->end[1 - side].in, &l->end[side].out) != 0)
            return -1;
    return 0;
}

static long posix_mq_send(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++) {
        payload_fill(l->buffer, l->size, seq + (uint64_t)i);
        while (mq_send(l->out, (char *)l->buffer, l->size, 0) != 0)
            if (errno != EAGAIN && errno != EINTR)
                return link_errno(l, "mq_send");
    }
    return n;
}

static long posix_mq_recv(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++) {
        ssize_t r;
        while ((r = mq_receive(l->in, (char *)l->buffer, l->size, NULL)) < 0)
            if (errno != EAGAIN && errno != EINTR)
                return link_errno(l, "mq_receive");
        if (r != (ssize_t)l->size)
            return link_bad_length(l, seq + (uint64_t)i, (long)r);
        if (!link_check(l, l->buffer, seq + (uint64_t)i))
            return -1;
    }
    return n;
}

const struct transport posix_mq_transport = {
    .name = "posix-mq",
    .group = "queues",
    .what = "mq_open(3), 10 messages deep (what the kernel allows by default)",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = posix_mq_open,
    .send = posix_mq_send,
    .recv = posix_mq_recv,
    .close = fd_close,
};
