/* SPDX-License-Identifier: MIT */
/*
 * Consumers that are about to be lapped receive while the producer sends: what they get is whole,
 * and in order, and what they miss is counted exactly. CONSUMERS: one or two.
 */
#ifndef CONSUMERS
#define CONSUMERS 1
#endif
#define ROWS (1 + CONSUMERS)
#include "broadcast.h"

#ifndef MESSAGES
#define MESSAGES 2
#endif

static void *produce(void *unused)
{
    struct shmr_broadcast_producer producer;

    (void)unused;
    become_producer(&producer);
    for (int i = 0; i < MESSAGES; i++)
        assert(send(&producer));
    return NULL;
}

static inline void consume(int index)
{
    struct shmr_broadcast_consumer consumer;

    become_consumer_at(&consumer, index, OLDEST, OLDEST_NUMBER);
    (void)receive(&consumer);
    (void)receive(&consumer);
}

static void *first(void *unused)
{
    (void)unused;
    consume(0);
    return NULL;
}

#if CONSUMERS > 1
static void *second(void *unused)
{
    (void)unused;
    consume(1);
    return NULL;
}
#else
#define second NULL
#endif

/* When all is quiet, a consumer that is lapped is told, and then gets all up to the last message.
 */
static void *consume_all(void *unused)
{
    struct shmr_broadcast_consumer c;

    (void)unused;
    become_consumer_at(&c, 0, OLDEST, OLDEST_NUMBER);
    for (int i = 0; i < RING / RECORD + 2 && c.number != NUMBER + MESSAGES; i++)
        (void)receive(&c);
    assert(c.number == NUMBER + MESSAGES);
    assert(!receive(&c) && c.number == NUMBER + MESSAGES);
    return NULL;
}

int main(void)
{
    fill_ring();
    together(produce, first, second);
    live(consume_all);
    return 0;
}
