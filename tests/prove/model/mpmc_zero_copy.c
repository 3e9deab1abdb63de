/* SPDX-License-Identifier: MIT */
/* Reserve, cancel, commit; peek and release: as mpmc_pass, but with the tables of reservations and
 * of messages held. */
#include "mpmc.h"

static void put(struct actor *me, bool and_cancel)
{
    void *place;
    int r;

    BOUNDED(SEND_STEPS, r = shmr_mpmc_reserve(&me->p, 8, &place));
    if (r == -EAGAIN)
        return;
    assert(r == 0);
    *(uint64_t *)place = and_cancel ? 9 : 10 * me->p.queue.me + me->sent + 1;
    if (and_cancel) {
        BOUNDED(3, r = shmr_mpmc_cancel(&me->p, place));
    } else {
        BOUNDED(SEND_STEPS, r = shmr_mpmc_commit(&me->p, place, 8));
        sent[me->p.queue.me] = ++me->sent;
    }
    assert(r == 0 && !shmr_mpmc_holds_any(&me->p));
}

static void take(struct actor *me)
{
    struct shmring_info info;
    const void *msg;
    ssize_t r;

    BOUNDED(RECV_STEPS, r = shmr_mpmc_peek(&me->p, &msg, &info));
    if (r == -EAGAIN)
        return;
    assert(r == 8 && info.deliveries == 1 && info.flags == 0);
    note(me, *(const uint64_t *)msg, 0);
    BOUNDED(8, r = shmr_mpmc_release(&me->p, msg));
    assert(r == 0 && !shmr_mpmc_holds_any(&me->p));
    BOUNDED(1, assert(shmr_mpmc_release(&me->p, msg) == -EINVAL));
}

static void *produce(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 0);
    put(&me, true);
    put(&me, false);
    return NULL;
}

static void *consume(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 1);
    take(&me);
    return NULL;
}

static void *produce_more(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 2);
    put(&me, false);
    return NULL;
}

int main(void)
{
    struct actor me;

    together(produce, consume, produce_more);
    attach_later(&me, 3);
    conserved(&me, 0);
    return 0;
}
