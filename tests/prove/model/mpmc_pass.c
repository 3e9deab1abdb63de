/* SPDX-License-Identifier: MIT */
/*
 * One producer, one consumer, two blocks, each used twice: a full ring, an empty one, laps. HINTS:
 * both leave and take hints at every position. START: where positions start.
 */
#include "mpmc.h"

#ifndef MESSAGES
#define MESSAGES 4
#endif

static void *produce(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 0);
    for (int i = 0; i < MESSAGES; i++)
        send(&me);
    return NULL;
}

static void *consume(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 1);
    for (int i = 0; i < MESSAGES - 1; i++)
        receive(&me);
    return NULL;
}

int main(void)
{
    struct actor me;

    together(produce, consume, NULL);
    attach_later(&me, 2);
    conserved(&me, 0);
    assert(sent[0] >= 2);
    return 0;
}
