/* SPDX-License-Identifier: MIT */
/*
 * Reserve, commit, cancel; peek at two messages and release them afterwards: the producer does not
 * overwrite a message that is held.
 */
#define RING 64
#include "spsc.h"

static uint64_t sent, received;

static bool put(struct shmr_spsc_producer *producer, uint64_t n, bool and_cancel)
{
    void *place = NULL;
    int r;

    BOUNDED(SEND_STEPS, r = shmr_spsc_reserve(producer, 8, &place));
    if (r == -EAGAIN)
        return false;
    assert(r == 0);
    *(uint64_t *)place = n;
    if (and_cancel)
        BOUNDED(0, r = shmr_spsc_cancel(producer, place));
    else
        BOUNDED(SEND_STEPS, r = shmr_spsc_commit(producer, place, 8));
    assert(r == 0);
    return !and_cancel;
}

static void take(struct shmr_spsc_consumer *consumer, int most)
{
    const void *held[2];
    int count = 0;

    for (int i = 0; i < most; i++) {
        ssize_t r;
        BOUNDED(RECV_STEPS, r = shmr_spsc_peek(consumer, &held[i], NULL));
        if (r == -EAGAIN)
            break;
        assert(r == 8);
        count++;
    }
    for (int i = 0; i < count; i++) {
        int r;
        assert(*(const uint64_t *)held[i] == received + 1);
        BOUNDED(RECV_STEPS, r = shmr_spsc_release(consumer, held[i]));
        assert(r == 0);
        received++;
    }
}

static void *produce(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    become_producer(&producer);
    put(&producer, 99, true);
    for (int i = 0; i < 4; i++)
        sent += put(&producer, sent + 1, false);
    return NULL;
}

static void *consume(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    take(&consumer, 2);
    take(&consumer, 1);
    return NULL;
}

static void *drain(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    take(&consumer, 2);
    take(&consumer, 2);
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
