/* SPDX-License-Identifier: MIT */
/*
 * Two producers send one message and two, and fill the ring of two. MORE: each sends two. CONSUMER:
 * beside a consumer.
 */
#include "mpmc.h"

static void *produce_one(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 0);
    send(&me);
#ifdef MORE
    send(&me);
#endif
    return NULL;
}

static void *produce_two(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 1);
    send(&me);
    send(&me);
    return NULL;
}

#ifdef CONSUMER
static void *consume(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 2);
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

    together(produce_one, produce_two, consume);
    assert(sent[0] + sent[1] >= 2);
    attach_later(&me, 3);
    conserved(&me, 0);
    return 0;
}
