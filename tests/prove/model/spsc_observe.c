/* SPDX-License-Identifier: MIT */
/*
 * An observer reads the progress of a producer and then of a consumer while they work and write
 * each of their two progress records twice. Position and counters agree, and do not go back.
 */
#define RING 64
#include "spsc.h"

static void *produce(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    become_producer(&producer);
    for (uint64_t n = 1; n <= 3; n++)
        send(&producer, n);
    return NULL;
}

static void *consume(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    for (int i = 0; i < 3; i++)
        receive(&consumer);
    return NULL;
}

static void observe(const struct shmr_progress progress[2])
{
    uint64_t messages = counted(progress);

    assert(counted(progress) >= messages);
}

static void *observe_producer(void *unused)
{
    (void)unused;
    observe(producer_page.progress);
    return NULL;
}

static void *observe_consumer(void *unused)
{
    (void)unused;
    observe(consumer_page.progress);
    return NULL;
}

int main(void)
{
#ifdef CONSUMER
    produce(NULL);
    together(consume, observe_consumer, NULL);
#else
    together(produce, observe_producer, NULL);
#endif
    return 0;
}
