/* SPDX-License-Identifier: MIT */
/*
 * Of two dead participants, one has taken a message and the other owns a block, and has counted and
 * described a message in it that is not published. A third recovers them and dies before any of its
 * stores; a fourth recovers the third and goes on with both, beside a producer; CONSUMER: beside a
 * consumer.
 */
#define DEATHS 26
#define ROWS   6
#include "mpmc.h"

static void *first(void *unused)
{
    struct actor me;

    (void)unused;
    attach_later(&me, 2);
    mortal_from_here(0);
    recover(&me, 0);
    recover(&me, 1);
    survived();
    return NULL;
}

static void *first_and_second(void *unused)
{
    struct actor me;

    (void)unused;
    live(first);
    attach_later(&me, 3);
    recover(&me, 2);
    recover(&me, 0);
    recover(&me, 1);
    receive(&me);
    return NULL;
}

static void *other(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 4);
#ifdef CONSUMER
    receive(&me);
    receive(&me);
#else
    send(&me);
    send(&me);
#endif
    return NULL;
}

int main(void)
{
    struct actor dead, me;
    struct shmr_mine mine;

    attach(&dead, 0);
    assert(send(&dead));
    assert(shmr_mpmc_next(&dead.p, 8).block);
    attach(&dead, 1);
    mine = shmr_mpmc_own_elsewhere(&dead.p.queue);
    assert(mine.block);
    shmr_mpmc_fill(mine.block, 8);
    shmr_mpmc_count_sent(&dead.p, mine, 8);
    atomic_store_explicit(&mine.block->descriptor, shmr_descriptor(SHMR_RDY, 1, dead.p.queue.tail),
                          memory_order_relaxed);
    together(first_and_second, other, NULL);
    attach_later(&me, 5);
    conserved(&me, 1 | 2 | 4);
    return 0;
}
