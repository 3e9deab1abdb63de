/* SPDX-License-Identifier: MIT */
/*
 * Consumers that start while the producer sends: each gets every message from where it starts on,
 * whole and in order. START_AT: where one starts: 0, the newest, SHMRING_FROM_OLDEST or
 * SHMRING_FROM_KEY. The second message is a key message.
 */
#include "broadcast.h"

#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef START_AT
#define START_AT 0
#endif

static void *produce(void *unused)
{
    struct shmr_broadcast_producer producer;

    (void)unused;
    become_producer(&producer);
    for (int i = 0; i < MESSAGES; i++)
        assert(i == 1 ? send_key(&producer) : send(&producer));
    return NULL;
}

static void *consume(void *unused)
{
    struct shmr_broadcast_consumer consumer;

    (void)unused;
    if (!join_consumer(&consumer, 0, START_AT, 0))
        return NULL;
    if (START_AT == SHMRING_FROM_OLDEST)
        assert(consumer.number >= OLDEST_NUMBER && consumer.number <= OLDEST_NUMBER + MESSAGES);
    else
        assert(consumer.number >= NUMBER && consumer.number <= NUMBER + MESSAGES);
    (void)receive(&consumer);
    (void)receive(&consumer);
    return NULL;
}

int main(void)
{
    fill_ring();
    together(produce, consume, NULL);
    return 0;
}
