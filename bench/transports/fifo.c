/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

/* Open both ends of a FIFO. Its name is removed before this returns. */
static int open_ends(struct link *l, const char *path, int *in, int *out)
{
    if (mkfifo(path, 0600) != 0)
        return link_errno(l, "mkfifo");
    *in = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    *out = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    int result = *in < 0 || *out < 0 ? link_errno(l, path) : 0;
    unlink(path);
    return result;
}

static int fifo_open(struct link *l)
{
    const char *tmp = getenv("TMPDIR");
    char folder[256], path[300];
    int n = snprintf(folder, sizeof folder, "%s/shmring-bench.XXXXXX", tmp ? tmp : "/tmp");
    if (n >= (int)sizeof folder || !mkdtemp(folder))
        return link_errno(l, "mkdtemp");
    snprintf(path, sizeof path, "%s/fifo", folder);
    int result = 0;
    for (int side = 0; side < 2 && result == 0; side++)
        result = open_ends(l, path, &l->end[1 - side].in, &l->end[side].out);
    rmdir(folder);
    return result == 0 ? fd_set_waiting(l) : result;
}

const struct transport fifo_transport = {
    .name = "fifo",
    .group = "pipes",
    .what = "mkfifo(3), one write and one read a message",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = fifo_open,
    .send = fd_send_stream,
    .recv = fd_recv_stream,
    .close = fd_close,
};
