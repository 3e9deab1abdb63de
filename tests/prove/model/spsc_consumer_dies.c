/* SPDX-License-Identifier: MIT */
/*
 * A consumer dies before any of its stores while it receives by copy; its successor peeks and
 * releases, beside the producer, whose every message needs the room of the one before. Nothing is
 * lost: what is gone from the queue was copied out. What comes again is flagged. SUCCESSOR_DIES:
 * the successor dies while it takes over, and has a successor.
 */
#ifdef SUCCESSOR_DIES
#define MORTALS 2
#endif
#define DEATHS 15
#include "spsc.h"

static uint64_t sent;
static uint64_t copy; /* the last message that was copied out */
static uint64_t done; /* the last message that was received for good */

static void *produce(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    become_producer(&producer);
    for (int i = 0; i < 3; i++)
        sent += send(&producer, sent + 1) == 0;
    return NULL;
}

static void *first_consumer(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    mortal_from_here(0);
    for (int i = 0; i < 2; i++) {
        ssize_t r;
        BOUNDED(RECV_STEPS, r = shmr_spsc_recv(&consumer, &copy, sizeof copy));
        assert(r == 8 || r == -EAGAIN);
        assert(copy == done + (r == 8));
        done = copy;
    }
    survived();
    return NULL;
}

#ifdef SUCCESSOR_DIES
static void *second_consumer(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    live(first_consumer);
    mortal_from_here(1);
    become_consumer(&consumer, true);
    survived();
    return NULL;
}
#endif

static void take(struct shmr_spsc_consumer *consumer)
{
    struct shmring_info info;
    const void *msg;
    uint64_t n;
    ssize_t r;

    BOUNDED(RECV_STEPS, r = shmr_spsc_peek(consumer, &msg, &info));
    if (r == -EAGAIN)
        return;
    assert(r == 8);
    n = *(const uint64_t *)msg;
    assert(n == done + 1 || (copy == done + 1 && n == copy + 1));
    assert((info.flags == SHMRING_REDELIVERED) == (info.deliveries > 1));
    assert(info.flags == SHMRING_REDELIVERED || n > copy);
    BOUNDED(RECV_STEPS, r = shmr_spsc_release(consumer, msg));
    assert(r == 0);
    done = n;
}

static void *consume(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
#ifdef SUCCESSOR_DIES
    live(second_consumer);
#else
    live(first_consumer);
#endif
    become_consumer(&consumer, true);
    take(&consumer);
    return NULL;
}

static void *drain(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    become_consumer(&consumer, false);
    take(&consumer);
    take(&consumer);
    return NULL;
}

int main(void)
{
    together(produce, consume, NULL);
    drain(NULL);
    assert(done == sent || copy == sent);
    assert(counted(producer_page.progress) == sent && counted(consumer_page.progress) == sent);
    return 0;
}
