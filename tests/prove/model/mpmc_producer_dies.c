/* SPDX-License-Identifier: MIT */
/*
 * A producer dies before any of its stores. Another participant recovers it, beside another
 * producer; CONSUMER: and a consumer.
 */
#define DEATHS 15
#define ROWS   5
#include "mpmc.h"

static void *first(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 0);
    mortal_from_here(0);
    send(&me);
    survived();
    return NULL;
}

static void *first_and_recoverer(void *unused)
{
    struct actor me;

    (void)unused;
    live(first);
    attach(&me, 1);
    recover(&me, 0);
    return NULL;
}

static void *produce(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 2);
    send(&me);
#ifndef CONSUMER
    send(&me);
#endif
    return NULL;
}

#ifdef CONSUMER
static void *consume(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 4);
    receive(&me);
    receive(&me);
    return NULL;
}
#else
#define consume NULL
#endif

int main(void)
{
    struct actor me;

    together(first_and_recoverer, produce, consume);
    attach_later(&me, 3);
    conserved(&me, 1);
    return 0;
}
