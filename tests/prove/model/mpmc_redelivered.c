/* SPDX-License-Identifier: MIT */
/*
 * A consumer takes a message and dies, a second one receives it again and dies, each before any of
 * its stores, and a third receives it, beside a producer. AT_MOST_ONCE: it is not redelivered; what
 * was taken and not freed is dropped.
 */
#define DEATHS  8
#define MORTALS 2
#define ROWS    5

#define DELIVERIES_BEFORE 2
#include "mpmc.h"

#ifdef AT_MOST_ONCE
#define ONCE true
#else
#define ONCE false
#endif

static void again(struct actor *me, uint32_t dead)
{
    struct shmr_recovered report = {0, 0, 0, 0};

    BOUNDED(RECOVER_STEPS, shmr_mpmc_recover(&me->p.queue, dead, &rows[dead], ONCE, &report));
    assert(report.freed == 0 && report.left == 0);
    assert((ONCE ? report.redelivered : report.dropped) == 0);
    dropped += report.dropped;
}

static void *first(void *unused)
{
    struct actor me;

    (void)unused;
    attach_later(&me, 1);
    mortal_from_here(0);
    receive(&me);
    survived();
    return NULL;
}

static void *second(void *unused)
{
    struct actor me;

    (void)unused;
    attach_later(&me, 2);
    live(first);
    again(&me, 1);
    mortal_from_here(1);
    receive(&me);
    survived();
    return NULL;
}

static void *consume(void *unused)
{
    struct actor me;

    (void)unused;
    attach_later(&me, 3);
    live(second);
    again(&me, 2);
    return NULL;
}

static void *produce(void *unused)
{
    struct actor me;

    (void)unused;
    attach_later(&me, 4);
    send(&me);
    return NULL;
}

int main(void)
{
    struct actor me;

    attach(&me, 0);
    assert(send(&me));
    together(consume, produce, NULL);
    conserved(&me, 2 | 4);
    return 0;
}
