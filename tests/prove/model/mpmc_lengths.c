/* SPDX-License-Identifier: MIT */
/*
 * A consumer with a small buffer receives a message that fits, while another consumer takes that
 * message and a producer puts one that does not fit into the same block. The first consumer must
 * never report the first message as too long.
 */
#include "mpmc.h"

static void put(struct actor *me, uint32_t len)
{
    struct shmr_mine mine = shmr_mpmc_own(&me->p.queue);

    if (!mine.block)
        return;
    shmr_mpmc_fill(mine.block, len);
    assert(shmr_mpmc_publish(&me->p.queue, mine, 0) == 0);
}

static void *take_short(void *unused)
{
    struct actor me;
    struct shmr_mine mine;

    (void)unused;
    attach(&me, 1);
    BOUNDED(RECV_STEPS, mine = shmr_mpmc_take(&me.p.queue, 4));
    if (mine.block) {
        assert(mine.length == 4);
        shmr_mpmc_free(mine.block);
    } else {
        assert(mine.index == -EAGAIN || (mine.index == -EMSGSIZE && me.p.queue.head != START));
    }
    return NULL;
}

static void *take_any(void *unused)
{
    struct actor me;
    struct shmr_mine mine;

    (void)unused;
    attach(&me, 2);
    BOUNDED(RECV_STEPS, mine = shmr_mpmc_take(&me.p.queue, 8));
    if (mine.block) {
        assert(mine.length == (me.p.queue.head == START + 1 ? 4 : 8));
        shmr_mpmc_free(mine.block);
    }
    return NULL;
}

static void *produce(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 3);
    put(&me, 8);
    return NULL;
}

int main(void)
{
    struct actor me;

    attach(&me, 0);
    put(&me, 4);
    /* This takes the other block, so that only one is left. */
    assert(shmr_mpmc_own(&me.p.queue).block);
    together(take_short, take_any, produce);
    return 0;
}
