/* SPDX-License-Identifier: MIT */
/*
 * ck_ring of Concurrency Kit: messages by value, in rings for elements of their size
 * (CK_RING_PROTOTYPE); control block and elements are in shared memory. It has no call for several
 * messages. A producer of the mpmc ring waits, inside the call, for the producers that claimed
 * before it.
 */
#include <config.h>

#include <ck_ring.h>

#include "elements.h"

struct ck {
    _Alignas(128) ck_ring_t ring;
    _Alignas(128) unsigned char elements[];
};

#define DEFINE_ELEMENT(SIZE)                                                                       \
    struct ck_##SIZE {                                                                             \
        unsigned char bytes[SIZE];                                                                 \
    };                                                                                             \
    CK_RING_PROTOTYPE(SIZE, ck_##SIZE)
DEFINE_ELEMENT(8)
DEFINE_ELEMENT(64)
DEFINE_ELEMENT(1024)

/* NAME(queue, message, size, n): the ring's CALL for that size. */
#define DEFINE_CALL(NAME, CALL)                                                                    \
    ELEMENTS_INLINE long NAME(void *queue, void *message, size_t size, long n)                     \
    {                                                                                              \
        struct ck *q = queue;                                                                      \
        void *elements = q->elements;                                                              \
        (void)n; /* one */                                                                         \
        switch (size) {                                                                            \
        case ELEMENT_SMALL:                                                                        \
            return CALL##_8(&q->ring, elements, message);                                          \
        case ELEMENT_LINE:                                                                         \
            return CALL##_64(&q->ring, elements, message);                                         \
        default:                                                                                   \
            return CALL##_1024(&q->ring, elements, message);                                       \
        }                                                                                          \
    }
DEFINE_CALL(push_spsc, ck_ring_enqueue_spsc)
DEFINE_CALL(pop_spsc, ck_ring_dequeue_spsc)
DEFINE_CALL(push_mpmc, ck_ring_enqueue_mpmc)
DEFINE_CALL(pop_mpmc, ck_ring_dequeue_mpmc)

ELEMENTS_DEFINE(spsc, push_spsc, pop_spsc)
ELEMENTS_DEFINE(mpmc, push_mpmc, pop_mpmc)

static int open_rings(struct link *l)
{
    if (elements_known_size(l) != 0)
        return -1;
    const unsigned count = (unsigned)link_slots(l, l->size);
    struct elements *e = elements_map(l, sizeof(struct ck) + count * l->size);
    if (!e)
        return -1;
    for (int i = 0; i < 2; i++)
        ck_ring_init(&((struct ck *)e->queue[i])->ring, count);
    return 0;
}

const struct transport ck_spsc_transport = {
    .name = "ck-spsc",
    .group = "peers",
    .what = "Concurrency Kit, ck_ring_enqueue_spsc and ck_ring_dequeue_spsc",
    .flags = CAN_SPIN | CAN_BE_ALONE | HAS_CAPACITY | IS_LOCK_FREE,
    .open = open_rings,
    .send = spsc_send,
    .recv = spsc_recv,
    .try_send = spsc_try_send,
    .try_recv = spsc_try_recv,
    .close = elements_close,
};

const struct transport ck_mpmc_transport = {
    .name = "ck-mpmc",
    .group = "peers",
    .what = "Concurrency Kit, ck_ring_enqueue_mpmc and ck_ring_dequeue_mpmc",
    .flags = CAN_SPIN | CAN_BE_ALONE | HAS_CAPACITY | IS_MANY,
    .open = open_rings,
    .send = mpmc_send,
    .recv = mpmc_recv,
    .try_send = mpmc_try_send,
    .try_recv = mpmc_try_recv,
    .close = elements_close,
};
