/* SPDX-License-Identifier: MIT */
/*
 * A participant that has taken a message and one that owns a block stop for ever, without being
 * dead. A producer and a consumer still pass messages through the other two blocks, in a bounded
 * number of steps.
 */
#define N    4
#define ROWS 5
#include "mpmc.h"

static void *produce(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 2);
    for (int i = 0; i < 3; i++)
        send(&me);
    return NULL;
}

static void *consume(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 3);
    receive(&me);
    receive(&me);
    return NULL;
}

int main(void)
{
    struct actor stopped[2], me;
    struct shmr_mine taken, owned;

    attach(&stopped[0], 0);
    attach(&stopped[1], 1);
    assert(send(&stopped[0]));
    taken = shmr_mpmc_next(&stopped[0].p, 8);
    owned = shmr_mpmc_own(&stopped[1].p.queue);
    assert(taken.block && owned.block);
    together(produce, consume, NULL);
    assert(sent[2] >= 2);
    note(&stopped[0], *(uint64_t *)(void *)shmr_block_payload(taken.block), 0);
    shmr_mpmc_give_back(&stopped[0].p, taken, 8);
    shmr_mpmc_free(owned.block);
    attach_later(&me, 4);
    conserved(&me, 0);
    return 0;
}
