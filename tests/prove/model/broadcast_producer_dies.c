/* SPDX-License-Identifier: MIT */
/*
 * A producer dies before any of its stores, and its successor sends on, beside a consumer. The
 * numbers go on without a gap, whatever comes is whole, what was sent arrives, and what a consumer
 * has received stays: another consumer gets the same under that number. LAPPED: the
 * consumer is about to be lapped; else it waits at the tail. BATCH: the first producer sends a
 * batch. SUCCESSOR_DIES: the successor dies as well, and has a successor.
 */
#ifndef DEATHS
#define DEATHS 20
#endif
#ifdef SUCCESSOR_DIES
#define MORTALS 2
#endif
#include "broadcast.h"

/* Messages of the first producer and of the last. */
#ifndef SENDS
#define SENDS 1
#endif
#ifndef RECEIVES
#define RECEIVES 2
#endif

/* Numbers of the messages that the producers know they have sent: all before this. */
static uint64_t sent = NUMBER;

static inline void send_one(struct shmr_broadcast_producer *p, uint64_t who)
{
    assert(p->messages >= sent && p->messages <= sent + 2);
    assert(send_from(p, who));
    sent = p->messages;
}

static void *first_producer(void *unused)
{
    struct shmr_broadcast_producer producer;

    (void)unused;
    mortal_from_here(0);
    become_producer(&producer);
#ifdef BATCH
    uint64_t n[2] = {NUMBER | UINT64_C(1) << 32, (NUMBER + 1) | UINT64_C(1) << 32};
    struct iovec msgs[2] = {{&n[0], 8}, {&n[1], 8}};
    int r;

    BOUNDED(2 * SEND_STEPS, r = shmr_broadcast_send_batch(&producer, msgs, 2));
    assert(r == 2);
    sent = producer.messages;
#else
    for (int i = 0; i < SENDS; i++)
        send_one(&producer, 1);
#endif
    survived();
    return NULL;
}

#ifdef SUCCESSOR_DIES
static void *second_producer(void *unused)
{
    struct shmr_broadcast_producer producer;

    (void)unused;
    live(first_producer);
    mortal_from_here(1);
    become_producer(&producer);
    send_one(&producer, 2);
    survived();
    return NULL;
}
#else
#define second_producer first_producer
#endif

static void *produce(void *unused)
{
    struct shmr_broadcast_producer producer;

    (void)unused;
    live(second_producer);
    become_producer(&producer);
    for (int i = 0; i < SENDS; i++)
        send_one(&producer, 3);
    return NULL;
}

/* What the first consumer has received under the numbers from NUMBER on; 0: nothing. */
static uint64_t received[2 * SENDS + 3];

static void *consume(void *unused)
{
    struct shmr_broadcast_consumer c;
    uint64_t payload;

    (void)unused;
#ifdef LAPPED
    become_consumer_at(&c, 0, OLDEST, OLDEST_NUMBER);
#else
    become_consumer_at(&c, 0, START, NUMBER);
#endif
    for (int i = 0; i < RECEIVES; i++)
        if (receive_as(&c, &payload) && c.number > NUMBER)
            received[c.number - 1 - NUMBER] = payload;
    return NULL;
}

/* When all is quiet, a consumer at START gets all that the producers know they have sent. */
static void *consume_all(void *unused)
{
    struct shmr_broadcast_consumer c;

    (void)unused;
    become_consumer_at(&c, 0, START, NUMBER);
    for (int i = 0; i < 2 * SENDS + 3; i++) {
        uint64_t payload;
        if (!receive_as(&c, &payload))
            break;
        assert(received[i] == 0 || received[i] == payload);
    }
    assert(c.number >= sent && c.number <= sent + 2);
    return NULL;
}

int main(void)
{
    fill_ring();
    together(produce, consume, NULL);
    live(consume_all);
    return 0;
}
