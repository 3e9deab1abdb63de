/* SPDX-License-Identifier: MIT */
/*
 * A batch becomes visible as a whole: a consumer that finds its first message finds all of it. Sent
 * and received in batches, into a ring of three records that they overrun.
 */
#define RING 64
#include "spsc.h"

static uint64_t sent, received;

static void send_two(struct shmr_spsc_producer *producer)
{
    uint64_t n[2] = {sent + 1, sent + 2};
    struct iovec msgs[2] = {{&n[0], 8}, {&n[1], 8}};
    int r;

    BOUNDED(2 * SEND_STEPS, r = shmr_spsc_send_batch(producer, msgs, 2));
    assert(r == 1 || r == 2 || r == -EAGAIN);
    sent += r > 0 ? (uint64_t)r : 0;
}

static int take_two(struct shmr_spsc_consumer *consumer)
{
    uint64_t n[2];
    struct iovec msgs[2] = {{&n[0], 8}, {&n[1], 8}};
    int r;

    BOUNDED(2 * RECV_STEPS, r = shmr_spsc_recv_batch(consumer, msgs, 2));
    assert(r == 1 || r == 2 || r == -EAGAIN);
    for (int i = 0; i < r; i++)
        assert(n[i] == received + 1 + (uint64_t)i && msgs[i].iov_len == 8);
    received += r > 0 ? (uint64_t)r : 0;
    return r;
}

static void *produce(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    become_producer(&producer);
    for (int i = 0; i < 3; i++)
        send_two(&producer);
    return NULL;
}

static void *consume(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    /* The first batch found the ring empty, so its two messages come together. */
    if (take_two(&consumer) > 0)
        assert(received == 2);
    take_two(&consumer);
    return NULL;
}

static void *drain(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    take_two(&consumer);
    take_two(&consumer);
    return NULL;
}

int main(void)
{
    together(produce, consume, NULL);
    drain(NULL);
    assert(sent >= 3 && received == sent);
    assert(counted(producer_page.progress) == sent && counted(consumer_page.progress) == sent);
    return 0;
}
