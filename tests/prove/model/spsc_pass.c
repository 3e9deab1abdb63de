/* SPDX-License-Identifier: MIT */
/*
 * One producer, one consumer, at work at the same time: first in, first out, each message whole. In
 * the ring of one record, each message has to wait for room; every other one wraps.
 */
#include "spsc.h"

#define MESSAGES 3

static uint64_t sent, received;

static void *produce(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    become_producer(&producer);
    for (int i = 0; i < MESSAGES + 1 && sent < MESSAGES; i++)
        sent += send(&producer, sent + 1) == 0;
    return NULL;
}

static void *consume(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    for (int i = 0; i < MESSAGES; i++) {
        uint64_t n = receive(&consumer);
        assert(n == 0 || n == received + 1);
        received += n != 0;
    }
    return NULL;
}

int main(void)
{
    together(produce, consume, NULL);
    consume(NULL);
    assert(sent >= 1 && received == sent);
    assert(counted(producer_page.progress) == sent && counted(consumer_page.progress) == sent);
    return 0;
}
