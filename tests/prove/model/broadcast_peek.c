/* SPDX-License-Identifier: MIT */
/*
 * A consumer reads a message in place while the producer may overwrite it: if release accepts the
 * message, then what the consumer has read is whole.
 */
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

static void *consume(void *unused)
{
    struct shmr_broadcast_consumer consumer;

    (void)unused;
    become_consumer_at(&consumer, 0, OLDEST, OLDEST_NUMBER);
    for (int i = 0; i < 2; i++) {
        const uint64_t number = consumer.number;
        const void *msg;
        ssize_t r;

        BOUNDED(RECV_STEPS, r = shmr_broadcast_peek(&consumer, &msg, NULL));
        assert(r == 8 || r == -EAGAIN || r == -EOVERFLOW);
        if (r != 8)
            continue;
        const uint64_t n = __c11_atomic_load((_Atomic uint64_t *)msg, memory_order_relaxed);
        BOUNDED(RECV_STEPS, r = shmr_broadcast_release(&consumer, msg));
        assert((r == 0 && n == number) || r == -EOVERFLOW);
    }
    return NULL;
}

int main(void)
{
    fill_ring();
    together(produce, consume, NULL);
    return 0;
}
