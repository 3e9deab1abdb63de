/* SPDX-License-Identifier: MIT */
/*
 * rculfqueue of liburcu: a message in a node from the heap, which call_rcu() frees after a grace
 * period. So its ends are threads of one process, and its figures are marked so. It has no bound of
 * its own. To give it one, producers and consumers publish their counts once in 64 messages.
 */
#include <config.h>

#define _LGPL_SOURCE /* its functions, inlined */
#include <urcu/urcu-memb.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <urcu/call-rcu.h>
#include <urcu/rculfqueue.h>

#include "elements.h"

enum { STEP = 64, BOUND = 2 * CREW_MAX * STEP }; /* more than all ends have not counted yet */

struct queue {
    _Alignas(128) struct cds_lfq_queue_rcu list;
    _Alignas(128) unsigned long sent;
    _Alignas(128) unsigned long received;
};

struct node {
    struct cds_lfq_node_rcu link;
    struct rcu_head head;
    unsigned char message[];
};

/* The messages of this thread since it last published its count. */
static __thread unsigned sent, received;

static void free_node(struct rcu_head *head)
{
    free(caa_container_of(head, struct node, head));
}

/* Messages may be counted as received before they are counted as sent: then the difference is
 * negative. */
static bool full(struct queue *q)
{
    return (long)(CMM_LOAD_SHARED(q->sent) - CMM_LOAD_SHARED(q->received)) >= BOUND;
}

ELEMENTS_INLINE long push(void *queue, void *message, size_t size, long n)
{
    struct queue *q = queue;
    (void)n;
    if (sent == STEP) {
        if (full(q))
            return 0;
        uatomic_add(&q->sent, STEP);
        sent = 0;
    }
    struct node *node = malloc(sizeof *node + size);
    if (!node)
        return 0;
    memcpy(node->message, message, size);
    cds_lfq_node_init_rcu(&node->link);
    urcu_memb_read_lock();
    cds_lfq_enqueue_rcu(&q->list, &node->link);
    urcu_memb_read_unlock();
    sent++;
    return 1;
}

ELEMENTS_INLINE long pop(void *queue, void *message, size_t size, long n)
{
    struct queue *q = queue;
    (void)n;
    urcu_memb_read_lock();
    struct cds_lfq_node_rcu *taken = cds_lfq_dequeue_rcu(&q->list);
    urcu_memb_read_unlock();
    if (!taken)
        return 0;
    struct node *node = caa_container_of(taken, struct node, link);
    memcpy(message, node->message, size);
    urcu_memb_call_rcu(&node->head, free_node);
    if (++received == STEP) {
        uatomic_add(&q->received, STEP);
        received = 0;
    }
    return 1;
}

ELEMENTS_DEFINE(rculfqueue, push, pop)

static void destroy(struct elements *e)
{
    for (int i = 0; i < 2; i++) {
        struct queue *q = e->queue[i];
        if (q)
            cds_lfq_destroy_rcu(&q->list); /* the parent's copy is empty */
        free(q);
    }
}

static int open_queues(struct link *l)
{
    if (elements_known_size(l) != 0)
        return -1;
    struct elements *e = elements_new(l);
    if (!e)
        return -1;
    e->destroy = destroy;
    for (int i = 0; i < 2; i++) {
        struct queue *q = aligned_alloc(128, sizeof *q);
        if (!q)
            return link_errno(l, "aligned_alloc");
        memset(q, 0, sizeof *q);
        cds_lfq_init_rcu(&q->list, urcu_memb_call_rcu);
        e->queue[i] = q;
    }
    return 0;
}

static pthread_key_t registered;

static void unregister(void *self)
{
    (void)self;
    urcu_memb_unregister_thread();
}

static void make_key(void)
{
    pthread_key_create(&registered, unregister);
}

/* Register this thread until it ends: a grace period waits for all registered threads. */
static int attach(struct link *l)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_key);
    urcu_memb_register_thread();
    errno = pthread_setspecific(registered, l);
    return errno == 0 ? 0 : link_errno(l, "pthread_setspecific");
}

const struct transport rculfqueue_transport = {
    .name = "urcu-rculfqueue",
    .group = "peers",
    .what = "liburcu, cds_lfq_enqueue_rcu and cds_lfq_dequeue_rcu",
    .flags = CAN_SPIN | CAN_BE_ALONE | IS_MANY | IN_ONE_PROCESS | IS_LOCK_FREE,
    .open = open_queues,
    .attach = attach,
    .send = rculfqueue_send,
    .recv = rculfqueue_recv,
    .try_send = rculfqueue_try_send,
    .try_recv = rculfqueue_try_recv,
    .close = elements_close,
};
