/* SPDX-License-Identifier: MIT */
/*
 * wfcqueue of liburcu: a message in a node, the nodes in a pool in shared memory, which both
 * processes inherit at the same address, so that pointers are valid in both. An emptied node goes
 * back to its producer through a second wfcqueue: that bounds the queue, and no heap is used. Each
 * queue has one consumer, which takes without the queue's lock, because that lock works in one
 * process only. So this is for a pair of processes.
 */
#include <config.h>

#define _LGPL_SOURCE /* its functions, inlined */
#include <urcu/wfcqueue.h>

#include "elements.h"

/* Producers and consumers on lines of their own. */
struct list {
    _Alignas(128) struct __cds_wfcq_head head;
    _Alignas(128) struct cds_wfcq_tail tail;
};

struct node {
    _Alignas(64) struct cds_wfcq_node link;
    unsigned char message[];
};

struct queue {
    struct list full, free;
    _Alignas(128) unsigned char nodes[];
};

ELEMENTS_INLINE long push(void *queue, void *message, size_t size, long n)
{
    struct queue *q = queue;
    (void)n;
    struct cds_wfcq_node *taken = __cds_wfcq_dequeue_nonblocking(&q->free.head, &q->free.tail);
    if (!taken || taken == CDS_WFCQ_WOULDBLOCK)
        return 0;
    memcpy(((struct node *)taken)->message, message, size);
    cds_wfcq_node_init(taken);
    cds_wfcq_enqueue(&q->full.head, &q->full.tail, taken);
    return 1;
}

ELEMENTS_INLINE long pop(void *queue, void *message, size_t size, long n)
{
    struct queue *q = queue;
    (void)n;
    struct cds_wfcq_node *taken = __cds_wfcq_dequeue_nonblocking(&q->full.head, &q->full.tail);
    if (!taken || taken == CDS_WFCQ_WOULDBLOCK)
        return 0;
    memcpy(message, ((struct node *)taken)->message, size);
    cds_wfcq_node_init(taken);
    cds_wfcq_enqueue(&q->free.head, &q->free.tail, taken);
    return 1;
}

ELEMENTS_DEFINE(wfcqueue, push, pop)

static int open_queues(struct link *l)
{
    if (elements_known_size(l) != 0)
        return -1;
    const size_t count = link_slots(l, l->size);
    const size_t each = (sizeof(struct node) + l->size + 63) / 64 * 64;
    struct elements *e = elements_map(l, sizeof(struct queue) + count * each);
    if (!e)
        return -1;
    for (int i = 0; i < 2; i++) {
        struct queue *q = e->queue[i];
        __cds_wfcq_init(&q->full.head, &q->full.tail);
        __cds_wfcq_init(&q->free.head, &q->free.tail);
        for (size_t k = 0; k < count; k++) {
            struct node *node = (struct node *)(void *)(q->nodes + k * each);
            cds_wfcq_node_init(&node->link);
            cds_wfcq_enqueue(&q->free.head, &q->free.tail, &node->link);
        }
    }
    return 0;
}

const struct transport wfcqueue_transport = {
    .name = "urcu-wfcqueue",
    .group = "peers",
    .what = "liburcu, cds_wfcq_enqueue and __cds_wfcq_dequeue_nonblocking",
    .flags = CAN_SPIN | CAN_BE_ALONE | HAS_CAPACITY,
    .open = open_queues,
    .send = wfcqueue_send,
    .recv = wfcqueue_recv,
    .try_send = wfcqueue_try_send,
    .try_recv = wfcqueue_try_recv,
    .close = elements_close,
};
