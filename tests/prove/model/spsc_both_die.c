/* SPDX-License-Identifier: MIT */
/*
 * Producer and consumer both die, each before any of its stores, and both have successors. The
 * messages come in order, none is lost but one that the dead consumer had copied out.
 */
#define MORTALS 2
#define DEATHS  13
#include "spsc.h"

/* Of the producer that dies and of its successor: the messages it knows it has sent, and those that
 * came. */
static uint64_t sent[2], came[2];
static uint64_t last, copy;
static uint64_t received;

/* The producer that dies sends 10 and 11, its successor 20 and 21. */
static void *first_producer(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    become_producer(&producer);
    mortal_from_here(0);
    sent[0] += send(&producer, 10) == 0;
    sent[0] += send(&producer, 10 + sent[0]) == 0;
    survived();
    return NULL;
}

static void *produce(void *unused)
{
    struct shmr_spsc_producer producer;

    (void)unused;
    live(first_producer);
    become_producer(&producer);
    sent[1] += send(&producer, 20) == 0;
    sent[1] += send(&producer, 20 + sent[1]) == 0;
    return NULL;
}

static void note_received(uint64_t n)
{
    assert(n == last + 1 || (n % 10 == 0 && n > last));
    came[n / 10 - 1]++;
    received++;
    last = n;
}

static void *first_consumer(void *unused)
{
    struct shmr_spsc_consumer consumer;
    ssize_t r;

    (void)unused;
    become_consumer(&consumer, false);
    mortal_from_here(1);
    BOUNDED(RECV_STEPS, r = shmr_spsc_recv(&consumer, &copy, sizeof copy));
    assert(r == 8 || r == -EAGAIN);
    survived();
    if (r == 8)
        note_received(copy);
    return NULL;
}

/* The message that the dead consumer had copied out comes again, or else the next one comes. */
static void take(struct shmr_spsc_consumer *consumer)
{
    uint64_t n = receive(consumer);

    if (n != 0 && n != copy && copy > last)
        note_received(copy);
    if (n != 0)
        note_received(n);
}

static void *consume(void *unused)
{
    struct shmr_spsc_consumer consumer;

    (void)unused;
    live(first_consumer);
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
    if (copy > last)
        note_received(copy);
    return NULL;
}

int main(void)
{
    together(produce, consume, NULL);
    drain(NULL);
    assert(came[0] >= sent[0] && came[1] == sent[1]);
    assert(counted(producer_page.progress) == received);
    assert(counted(consumer_page.progress) == received);
    return 0;
}
