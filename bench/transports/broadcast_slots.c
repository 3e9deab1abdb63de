/* SPDX-License-Identifier: MIT */
/*
 * A ring of slots of one size in shared memory, each with a sequence lock: what a program writes
 * for itself. The producer waits for no consumer, and a consumer that it has overtaken misses
 * messages. It is not safe against crashes: a producer that dies in a slot leaves it locked, there
 * is no name, no check of what the other side wrote, and no process can sleep.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "all.h"

struct slot {
    _Atomic uint64_t sequence; /* 2n + 1: message n is being written; 2n + 2: it is there */
    unsigned char payload[];
};

struct slot_ring {
    unsigned char *base;
    size_t stride, count; /* count: a power of two */
    uint64_t next, missed;
};

/* As in other rings of this kind, a slot shares no cache line if its message is not tiny. */
static size_t stride_for(size_t size)
{
    const size_t bytes = sizeof(struct slot) + size;
    return bytes <= 16 ? 16 : bytes <= 32 ? 32 : (bytes + 63) / 64 * 64;
}

static int open_ring(struct link *l)
{
    struct slot_ring *s = calloc(1, sizeof *s);
    if (!s)
        return link_errno(l, "calloc");
    l->state = s;
    s->stride = stride_for(l->size);
    s->count = link_slots(l, s->stride);
    void *base = mmap(NULL, s->stride * s->count, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (base == MAP_FAILED)
        return link_errno(l, "mmap");
    s->base = base;
    return 0;
}

static void close_ring(struct link *l)
{
    struct slot_ring *s = l->state;
    if (s && s->base)
        munmap(s->base, s->stride * s->count);
    free(s);
}

static struct slot *slot_of(const struct slot_ring *s, uint64_t number)
{
    return (struct slot *)(void *)(s->base + (number & (s->count - 1)) * s->stride);
}

static long put(struct link *l, void *message, long n)
{
    struct slot_ring *s = l->state;
    struct slot *slot = slot_of(s, s->next);
    (void)n;
    atomic_store_explicit(&slot->sequence, 2 * s->next + 1, memory_order_relaxed);
    /* Pairs with the fence in take(): who reads a byte of this message reads this sequence. */
    atomic_thread_fence(memory_order_release);
    memcpy(slot->payload, message, l->size);
    atomic_store_explicit(&slot->sequence, 2 * s->next + 2, memory_order_release);
    s->next++;
    return 1;
}

/* The slot holds message `newer`, which is later than the next one: go on an eighth of the ring
 * behind the oldest message that is there. */
static void skip(struct slot_ring *s, uint64_t newer)
{
    const uint64_t to = newer - s->count + s->count / 8 + 1;
    if (to > s->next) {
        s->missed += to - s->next;
        s->next = to;
    }
}

static long take(struct link *l, void *message, long n)
{
    struct slot_ring *s = l->state;
    struct slot *slot = slot_of(s, s->next);
    const uint64_t wanted = 2 * s->next + 2;
    (void)n;
    uint64_t sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
    if (sequence < wanted)
        return 0;
    if (sequence == wanted) {
        memcpy(message, slot->payload, l->size);
        atomic_thread_fence(memory_order_acquire); /* pairs with the fence in put() */
        sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
    }
    if (sequence != wanted) {
        skip(s, (sequence - 1) / 2);
        return 0;
    }
    s->next++;
    return 1;
}

static int missed(struct link *l, uint64_t *messages)
{
    *messages = ((const struct slot_ring *)l->state)->missed;
    return 0;
}

const struct transport seqlock_slots_transport = {
    .name = "seqlock-slots",
    .group = "broadcast",
    .what = "broadcast: slots with a sequence lock each, written for this program; not crash-safe",
    .flags = CAN_SPIN | IS_BROADCAST | IS_LOSSY,
    .open = open_ring,
    .try_send = put,
    .try_recv = take,
    .missed = missed,
    .close = close_ring,
};
