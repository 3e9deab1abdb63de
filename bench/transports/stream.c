/* SPDX-License-Identifier: MIT */
/*
 * Not a queue: two buffers each way, one is written while the other one is read. It shows how fast
 * bytes go from one CPU to the other when the two sides only signal that a whole buffer is full or
 * empty: to compare with large messages, as the probe is compared with small ones.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "all.h"

enum { BUFFERS = 2, PAGE = 4096 };

/* The counts of one direction, each written by one side only; the buffers follow. */
struct direction {
    _Alignas(128) _Atomic uint64_t written; /* messages */
    _Alignas(128) _Atomic uint64_t read;
    _Alignas(PAGE) unsigned char buffers[];
};

struct stream {
    unsigned char *base;
    size_t buffer, stride; /* bytes of a buffer, of a direction */
};

static struct direction *direction_of(const struct link *l, enum side from)
{
    const struct stream *s = l->state;
    return (struct direction *)(void *)(s->base + (size_t)from * s->stride);
}

static unsigned char *buffer_of(const struct link *l, struct direction *d, uint64_t seq)
{
    const struct stream *s = l->state;
    return d->buffers + seq % BUFFERS * s->buffer;
}

static int open_buffers(struct link *l)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return link_errno(l, "calloc");
    l->state = s;
    s->buffer = (l->size + PAGE - 1) / PAGE * PAGE;
    s->stride = sizeof(struct direction) + BUFFERS * s->buffer;
    void *base = mmap(NULL, 2 * s->stride, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (base == MAP_FAILED)
        return link_errno(l, "mmap");
    s->base = base;
    return 0;
}

static void close_buffers(struct link *l)
{
    struct stream *s = l->state;
    if (s && s->base)
        munmap(s->base, 2 * s->stride);
    free(s);
}

/* The buffer of message seq is written when that of seq - BUFFERS was read, and read when it was
 * written: each wait pairs with the release of the other side. */
static long send_messages(struct link *l, uint64_t seq, long n)
{
    struct direction *d = direction_of(l, l->side);
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        while (atomic_load_explicit(&d->read, memory_order_acquire) + BUFFERS <= seq)
            ;
        payload_fill(buffer_of(l, d, seq), l->size, seq);
        atomic_store_explicit(&d->written, seq + 1, memory_order_release);
    }
    return n;
}

static long recv_messages(struct link *l, uint64_t seq, long n)
{
    struct direction *d = direction_of(l, l->side == SIDE_A ? SIDE_B : SIDE_A);
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        while (atomic_load_explicit(&d->written, memory_order_acquire) <= seq)
            ;
        if (!link_check(l, buffer_of(l, d, seq), seq))
            return -1;
        atomic_store_explicit(&d->read, seq + 1, memory_order_release);
    }
    return n;
}

const struct transport stream_transport = {
    .name = "stream",
    .group = "memory",
    .what = "no queue: two buffers of shared memory, one written while the other is read",
    .flags = CAN_SPIN,
    .open = open_buffers,
    .send = send_messages,
    .recv = recv_messages,
    .close = close_buffers,
};
