/* SPDX-License-Identifier: MIT */
/*
 * A consumer becomes reliable while the producer goes round: from the tail that it then finds it
 * misses nothing, however little of the ring the producer had left. DIES: it dies before any of
 * its stores, and the producer strikes it off. DEMOTED: it lives, and the producer strikes it off
 * all the same: then it finds a gap, or whole messages, and never anything else. FLAGS: where it
 * starts.
 */
#if defined DIES && !defined DEATHS
#define DEATHS 16
#endif
#include "broadcast.h"

#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef RECEIVES
#define RECEIVES 1
#endif
#ifndef FLAGS
#define FLAGS 0
#endif

/* Before its scan the producer may send that many messages. */
#ifndef ROOM
#define ROOM 1
#endif

static uint64_t limit = START - RING, position;
static bool attached;

static void *consume(void *unused)
{
    struct shmr_broadcast_consumer c;

    (void)unused;
#ifdef DIES
    mortal_from_here(0);
#endif
    if (join_consumer(&c, 0, FLAGS, RELIABLE_WORD)) {
        for (int i = 0; i < RECEIVES; i++) {
            const uint64_t missed = c.missed_here;
            (void)receive(&c);
#ifndef DEMOTED
            /* It may have missed messages only before what it was promised. */
            assert(c.missed_here == missed || (int64_t)(c.number - c.promised.number) <= 0);
#endif
            (void)missed;
        }
        position =
            (int64_t)(c.position - c.promised.position) < 0 ? c.promised.position : c.position;
        attached = true;
    }
#ifdef DIES
    survived();
#endif
    return NULL;
}

/* `dying`: the consumer's thread, which dies. */
static inline void produce_some(pthread_t *dying)
{
    struct shmr_broadcast_producer p;

    become_producer(&p);
    /* As if the producer had scanned the rows when it was nearly a lap behind. */
    p.limit = OLDEST + ROOM * CHUNK;
    for (int i = 0; i < MESSAGES; i++) {
        if (send(&p))
            continue;
        assert(p.holder.row == 1);
#if defined DIES || defined DEMOTED
        if (dying)
            pthread_join(*dying, NULL);
        dying = NULL;
        while (!shmr_broadcast_strike(&p, p.holder.row, p.holder.reliable)) {
            shmr_broadcast_scan(&p); /* it has attached meanwhile */
            assert(p.holder.row == 1);
        }
#if defined DIES
        assert(send(&p));
#else
        (void)send(&p); /* struck off while it attached, the consumer begins again */
#endif
#endif
    }
    if (dying)
        pthread_join(*dying, NULL);
    limit = p.limit;
}

static void *produce(void *unused)
{
    (void)unused;
#if defined DIES
    pthread_t consumer;

    pthread_create(&consumer, NULL, consume, NULL);
    produce_some(&consumer);
#else
    produce_some(NULL);
#endif
    return NULL;
}

#ifdef DIES /* the producer waits for the consumer's end, as its lock is free only then */
#define consume_beside nothing
static void *nothing(void *unused)
{
    return unused;
}
#else
#define consume_beside consume
#endif

int main(void)
{
    fill_ring();
    together(produce, consume_beside, NULL);
#if !defined DIES && !defined DEMOTED
    /* Without another scan, the horizon may go a capacity behind the limit: not past the consumer,
     * and not past the tail at which it became reliable. */
    assert(!attached || (int64_t)(position - limit) >= 0);
    assert(!attached || (int64_t)(position + RING - page.horizon) >= 0);
#endif
    return 0;
}
