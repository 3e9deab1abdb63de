/* SPDX-License-Identifier: MIT */
/*
 * A consumer dies before any of its stores, in its first message or its second. Another participant
 * recovers it, beside a producer who needs the blocks; CONSUMER: beside another consumer.
 */
#define DEATHS 16
#include "mpmc.h"

static void *first(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 1);
    mortal_from_here(0);
    receive(&me);
    receive(&me);
    survived();
    return NULL;
}

static void *first_and_recoverer(void *unused)
{
    struct actor me;

    (void)unused;
    live(first);
    attach(&me, 2);
    recover(&me, 1);
    return NULL;
}

static void *other(void *unused)
{
    struct actor me;

    (void)unused;
    attach_later(&me, 3);
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
    struct actor me;

    attach(&me, 0);
    assert(send(&me) && send(&me));
    together(first_and_recoverer, other, NULL);
    conserved(&me, 2);
    return 0;
}
