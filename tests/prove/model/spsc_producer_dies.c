/* SPDX-License-Identifier: MIT */
/*
 * A producer dies before any of its stores, and its successor sends on, beside the consumer. What
 * was sent arrives, what was being sent arrives or not, nothing else arrives, and all is counted.
 * The second call of the producer that dies is a batch. SUCCESSOR_DIES: the successor dies as well,
 * and has a successor. OBSERVER: in place of the successor an observer counts, exactly, what was
 * sent.
 */
#define RING 64
#ifdef SUCCESSOR_DIES
#define DEATHS  17
#define MORTALS 2
#else
#define DEATHS 17
#endif
#include "spsc.h"

/* Of each producer in turn: the messages it knows it has sent, and those that came. */
static uint64_t sent[3], came[3];
static uint64_t received, last;
#ifdef OBSERVER
static uint64_t seen;
#endif

/* Messages of the first producer: 10, 11, 12; of its successors: 20, 21; 30. */
static void *first_producer(void *unused)
{
    struct shmr_spsc_producer producer;
    uint64_t n[2] = {11, 12};
    struct iovec msgs[2] = {{&n[0], 8}, {&n[1], 8}};
    int r;

    (void)unused;
    mortal_from_here(0);
    become_producer(&producer);
    sent[0] += send(&producer, 10) == 0;
    BOUNDED(2 * SEND_STEPS, r = shmr_spsc_send_batch(&producer, msgs, 2));
    sent[0] += r > 0 ? (uint64_t)r : 0;
    survived();
    return NULL;
}

#ifdef SUCCESSOR_DIES
static void *second_producer(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    live(first_producer);
    mortal_from_here(1);
    become_producer(&producer);
    sent[1] += send(&producer, 20) == 0;
    survived();
    return NULL;
}
#endif

static void *produce(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
#ifdef OBSERVER
    (void)producer;
    live(first_producer);
    seen = observed();
#elif defined SUCCESSOR_DIES
    live(second_producer);
    become_producer(&producer);
    sent[2] += send(&producer, 30) == 0;
#else
    live(first_producer);
    become_producer(&producer);
    sent[1] += send(&producer, 20) == 0;
    sent[1] += send(&producer, 20 + sent[1]) == 0;
#endif
    return NULL;
}

static void *consume(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    for (int i = 0; i < 3; i++) {
        uint64_t n = receive(&consumer);
        if (n == 0)
            continue;
        assert(n == last + 1 || (n % 10 == 0 && n > last));
        last = n;
        came[n / 10 - 1]++;
        received++;
    }
    return NULL;
}

int main(void)
{
    together(produce, consume, NULL);
    consume(NULL);
    for (int i = 0; i < 3; i++)
        assert(came[i] >= sent[i]);
#ifdef OBSERVER
    struct shmr_spsc_producer successor;
    assert(seen == received);
    become_producer(&successor);
#endif
    assert(counted(producer_page.progress) == received);
    assert(counted(consumer_page.progress) == received);
    return 0;
}
