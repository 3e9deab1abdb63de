/* SPDX-License-Identifier: MIT */
/*
 * A consumer holds two messages, releases one, and dies before any of its stores. All messages that
 * it had received and not released come again, flagged, and no producer has overwritten them.
 * SUCCESSOR_DIES: the successor dies as well, holding one message, and has a successor.
 */
#define RING 64
#ifdef SUCCESSOR_DIES
#define MORTALS 2
#endif
#define DEATHS 12
#include "spsc.h"

static uint64_t sent;
static uint64_t got;       /* messages that consumers have received */
static uint64_t released;  /* ... and know they have released */
static uint64_t releasing; /* ... or may have released */

static void *produce(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    become_producer(&producer);
    for (int i = 0; i < 4; i++)
        sent += send(&producer, sent + 1) == 0;
    return NULL;
}

/* The next message or NULL; a message that a predecessor may have released may come again or
 * not. */
static const void *peek(struct shmr_spsc_consumer *consumer, uint64_t expected)
{
    struct shmring_info info;
    const void *msg;
    uint64_t n;
    ssize_t r;

    BOUNDED(RECV_STEPS, r = shmr_spsc_peek(consumer, &msg, &info));
    if (r == -EAGAIN)
        return NULL;
    n = *(const uint64_t *)msg;
    assert(r == 8 && (n == expected || (n == expected + 1 && releasing == expected)));
    assert((info.flags == SHMRING_REDELIVERED) == (info.deliveries > 1));
    assert(info.flags == SHMRING_REDELIVERED || n > got);
    if (n > expected)
        released = expected;
    if (n > got)
        got = n;
    return msg;
}

static void release(struct shmr_spsc_consumer *consumer, const void *msg)
{
    int r;

    releasing = released + 1;
    BOUNDED(RECV_STEPS, r = shmr_spsc_release(consumer, msg));
    assert(r == 0);
    released++;
}

static void *first_consumer(void *unused)
{
    struct shmr_spsc_consumer consumer;
    const void *msg;

    (void)unused;
    become_consumer(&consumer, false);
    mortal_from_here(0);
    msg = peek(&consumer, 1);
    if (msg)
        peek(&consumer, 2);
    if (msg)
        release(&consumer, msg);
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
    peek(&consumer, released + 1);
    survived();
    return NULL;
}
#endif

static void *consume(void *unused)
{
    struct shmr_spsc_consumer consumer;
    const void *msg;

    (void)unused;
#ifdef SUCCESSOR_DIES
    live(second_consumer);
#else
    live(first_consumer);
#endif
    become_consumer(&consumer, true);
    msg = peek(&consumer, released + 1);
    if (msg)
        release(&consumer, msg);
    return NULL;
}

static void *drain(void *unused)
{
    struct shmr_spsc_consumer consumer;
    const void *msg;

    (void)unused;
    become_consumer(&consumer, false);
    while ((msg = peek(&consumer, released + 1)) != NULL)
        release(&consumer, msg);
    return NULL;
}

int main(void)
{
    together(produce, consume, NULL);
    drain(NULL);
    assert(released == sent || releasing == sent);
    assert(counted(producer_page.progress) == sent && counted(consumer_page.progress) == sent);
    return 0;
}
