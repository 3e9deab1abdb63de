/* SPDX-License-Identifier: MIT */
/*
 * rte_ring of DPDK: messages by value, in rings for elements of their size (rte_ring_elem.h), in
 * shared memory of our own: the ring needs neither the EAL's start nor huge pages. One message a
 * call with the bulk calls (n elements or none), -batch with the burst calls. Its modes for many
 * producers and consumers: MP/MC, where a thread waits inside the call for those that claimed
 * before it; RTS, where only the last of several threads moves the tail; HTS, where one thread at a
 * time is in the ring.
 */
#include <config.h>

#include <rte_config.h>

#include <rte_ring.h>

#include "elements.h"

/* One element, or up to n. */
#define DEFINE_ONE(NAME, CALL)                                                                     \
    ELEMENTS_INLINE long NAME(void *ring, void *message, size_t size, long n)                      \
    {                                                                                              \
        (void)n;                                                                                   \
        return CALL(ring, message, (unsigned)size, 1, NULL);                                       \
    }
#define DEFINE_BURST(NAME, CALL)                                                                   \
    ELEMENTS_INLINE long NAME(void *ring, void *messages, size_t size, long n)                     \
    {                                                                                              \
        return CALL(ring, messages, (unsigned)size, (unsigned)n, NULL);                            \
    }

/* The two transports that use the calls of one mode. */
#define DEFINE_RING(NAME, SENDING, RECEIVING, FLAGS, TITLE, MORE)                                  \
    DEFINE_ONE(NAME##_push, rte_ring_##SENDING##_enqueue_bulk_elem)                                \
    DEFINE_ONE(NAME##_pop, rte_ring_##RECEIVING##_dequeue_bulk_elem)                               \
    DEFINE_BURST(NAME##_push_burst, rte_ring_##SENDING##_enqueue_burst_elem)                       \
    DEFINE_BURST(NAME##_pop_burst, rte_ring_##RECEIVING##_dequeue_burst_elem)                      \
    ELEMENTS_DEFINE(NAME, NAME##_push, NAME##_pop)                                                 \
    ELEMENTS_DEFINE_BATCH(NAME##_batch, NAME##_push_burst, NAME##_pop_burst)                       \
                                                                                                   \
    static int NAME##_open(struct link *l)                                                         \
    {                                                                                              \
        return open_rings(l, FLAGS);                                                               \
    }                                                                                              \
                                                                                                   \
    const struct transport rte_##NAME##_transport = {                                              \
        .name = "rte-" #NAME,                                                                      \
        .group = "peers",                                                                          \
        .what = "DPDK, rte_ring " TITLE ", one element a call",                                    \
        .flags = CAN_SPIN | CAN_BE_ALONE | HAS_CAPACITY | (MORE),                                  \
        .open = NAME##_open,                                                                       \
        .send = NAME##_send,                                                                       \
        .recv = NAME##_recv,                                                                       \
        .try_send = NAME##_try_send,                                                               \
        .try_recv = NAME##_try_recv,                                                               \
        .close = elements_close,                                                                   \
    };                                                                                             \
                                                                                                   \
    const struct transport rte_##NAME##_batch_transport = {                                        \
        .name = "rte-" #NAME "-batch",                                                             \
        .group = "peers",                                                                          \
        .what = "DPDK, rte_ring " TITLE ", bursts",                                                \
        .flags = CAN_SPIN | IS_BATCH | HAS_CAPACITY | (MORE),                                      \
        .open = NAME##_open,                                                                       \
        .send = NAME##_batch_send,                                                                 \
        .recv = NAME##_batch_recv,                                                                 \
        .try_send = NAME##_batch_try_send,                                                         \
        .try_recv = NAME##_batch_try_recv,                                                         \
        .close = elements_close,                                                                   \
    };

static int open_rings(struct link *l, unsigned flags)
{
    if (elements_known_size(l) != 0)
        return -1;
    const unsigned count = (unsigned)link_slots(l, l->size);
    const ssize_t bytes = rte_ring_get_memsize_elem((unsigned)l->size, count);
    if (bytes < 0)
        return link_fail(l, "rte_ring_get_memsize_elem: no ring of %u elements", count);
    struct elements *e = elements_map(l, (size_t)bytes);
    if (!e)
        return -1;
    for (int i = 0; i < 2; i++) {
        const int r = rte_ring_init(e->queue[i], "bench", count, flags);
        if (r != 0)
            return link_fail(l, "rte_ring_init: %s", strerror(-r));
    }
    return 0;
}

DEFINE_RING(spsc, sp, sc, RING_F_SP_ENQ | RING_F_SC_DEQ, "SP/SC", IS_LOCK_FREE)
DEFINE_RING(mpmc, mp, mc, 0, "MP/MC", IS_MANY)
DEFINE_RING(rts, mp_rts, mc_rts, RING_F_MP_RTS_ENQ | RING_F_MC_RTS_DEQ, "RTS", IS_MANY)
DEFINE_RING(hts, mp_hts, mc_hts, RING_F_MP_HTS_ENQ | RING_F_MC_HTS_DEQ, "HTS", IS_MANY)
