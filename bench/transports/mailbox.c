/* SPDX-License-Identifier: MIT */
/*
 * Not a queue: one slot each way, with the message's number in front of it. This is the least code
 * that passes a message of any size there and back, to compare with the probe, which passes one
 * word.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "all.h"

struct slot {
    _Alignas(128) _Atomic uint64_t number; /* of the message, plus one */
    unsigned char message[];
};

struct mailbox {
    unsigned char *base;
    size_t stride;
};

static struct slot *slot_of(const struct link *l, enum side side)
{
    const struct mailbox *m = l->state;
    return (struct slot *)(void *)(m->base + (size_t)side * m->stride);
}

static int mailbox_open(struct link *l)
{
    struct mailbox *m = calloc(1, sizeof *m);
    if (!m)
        return link_errno(l, "calloc");
    l->state = m;
    m->stride = (sizeof(struct slot) + l->size + 127) / 128 * 128;
    void *base =
        mmap(NULL, 2 * m->stride, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return link_errno(l, "mmap");
    m->base = base;
    return 0;
}

static void mailbox_close(struct link *l)
{
    struct mailbox *m = l->state;
    if (m && m->base)
        munmap(m->base, 2 * m->stride);
    free(m);
}

static long mailbox_send(struct link *l, uint64_t seq, long n)
{
    struct slot *slot = slot_of(l, l->side);
    payload_fill(slot->message, l->size, seq);
    /* Release: the message before its number; pairs with the acquire in mailbox_recv(). */
    atomic_store_explicit(&slot->number, seq + 1, memory_order_release);
    return n;
}

static long mailbox_recv(struct link *l, uint64_t seq, long n)
{
    struct slot *slot = slot_of(l, l->side == SIDE_A ? SIDE_B : SIDE_A);
    while (atomic_load_explicit(&slot->number, memory_order_acquire) != seq + 1)
        ;
    return link_check(l, slot->message, seq) ? n : -1;
}

const struct transport mailbox_transport = {
    .name = "mailbox",
    .group = "memory",
    .what = "no queue: one slot of shared memory each way",
    .flags = CAN_SPIN | ONLY_ROUND_TRIP,
    .open = mailbox_open,
    .send = mailbox_send,
    .recv = mailbox_recv,
    .close = mailbox_close,
};
