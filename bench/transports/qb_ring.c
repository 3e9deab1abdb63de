/* SPDX-License-Identifier: MIT */
/*
 * libqb's ring: messages of any length in a file in /dev/shm; libqb's IPC is made of it. Spinning,
 * the ring has no semaphore. Blocking, its reader waits for a semaphore; its writer calls again, as
 * libqb has no call that waits for room.
 */
#include <config.h>

#include <errno.h>
#include <qb/qbrb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "all.h"

struct rings {
    char name[2][64];
    qb_ringbuffer_t *made[2]; /* the parent's: removes the files when it closes them */
    qb_ringbuffer_t *out, *in;
};

static uint32_t flags_for(const struct link *l)
{
    return QB_RB_FLAG_SHARED_PROCESS | (l->block ? 0 : QB_RB_FLAG_NO_SEMAPHORE);
}

static size_t bytes_for(const struct link *l)
{
    const size_t chunk = l->size + 2 * sizeof(uint32_t);
    return link_slots(l, chunk) * chunk;
}

static int open_rings(struct link *l)
{
    struct rings *r = calloc(1, sizeof *r);
    if (!r)
        return link_errno(l, "calloc");
    l->state = r;
    for (int side = 0; side < 2; side++) {
        snprintf(r->name[side], sizeof r->name[side], "shmring-bench.%ld.qb.%c", (long)getpid(),
                 'a' + side);
        r->made[side] =
            qb_rb_open(r->name[side], bytes_for(l), QB_RB_FLAG_CREATE | flags_for(l), 0);
        if (!r->made[side])
            return link_errno(l, "qb_rb_open");
    }
    return 0;
}

static int attach(struct link *l)
{
    struct rings *r = l->state;
    r->out = qb_rb_open(r->name[l->side], bytes_for(l), flags_for(l), 0);
    r->in = qb_rb_open(r->name[l->alone ? l->side : 1 - l->side], bytes_for(l), flags_for(l), 0);
    return r->out && r->in ? 0 : link_errno(l, "qb_rb_open");
}

static void close_rings(struct link *l)
{
    struct rings *r = l->state;
    if (!r)
        return;
    for (int side = 0; side < 2; side++)
        if (r->made[side])
            qb_rb_close(r->made[side]);
    free(r);
}

static long try_send_one(struct link *l, void *message, long n)
{
    const struct rings *rings = l->state;
    const ssize_t r = qb_rb_chunk_write(rings->out, message, l->size);
    (void)n;
    if (r == (ssize_t)l->size)
        return 1;
    return r == -EAGAIN ? 0 : link_fail(l, "qb_rb_chunk_write: %s", strerror((int)-r));
}

static long receive(struct link *l, void *message, int timeout_ms)
{
    const struct rings *rings = l->state;
    const ssize_t r = qb_rb_chunk_read(rings->in, message, l->size, timeout_ms);
    if (r == (ssize_t)l->size)
        return 1;
    if (r > 0)
        return link_fail(l, "a message came with %zd bytes, not %zu", r, l->size);
    return r == 0 || r == -ETIMEDOUT || r == -EAGAIN || r == -EINTR
               ? 0
               : link_fail(l, "qb_rb_chunk_read: %s", strerror((int)-r));
}

static long try_recv_one(struct link *l, void *message, long n)
{
    (void)n;
    return receive(l, message, 0);
}

static long send_messages(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++) {
        long r;
        payload_fill(l->buffer, l->size, seq + (uint64_t)i);
        while ((r = try_send_one(l, l->buffer, 1)) == 0)
            ;
        if (r < 0)
            return -1;
    }
    return n;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++) {
        long r;
        while ((r = receive(l, l->buffer, l->block ? -1 : 0)) == 0)
            ;
        if (r < 0 || !link_check(l, l->buffer, seq + (uint64_t)i))
            return -1;
    }
    return n;
}

const struct transport qb_ring_transport = {
    .name = "qb-ring",
    .group = "peers",
    .what = "libqb, qb_rb_chunk_write and qb_rb_chunk_read",
    .flags = CAN_SPIN | CAN_BLOCK | CAN_BE_ALONE | HAS_CAPACITY | IS_LOCK_FREE,
    .open = open_rings,
    .attach = attach,
    .send = send_messages,
    .recv = recv_messages,
    .try_send = try_send_one,
    .try_recv = try_recv_one,
    .close = close_rings,
};
