/* SPDX-License-Identifier: MIT */
/* Two producers and two consumers, a message each. */
#define ROWS 5
#include "mpmc.h"

static void *produce(uint32_t row)
{
    struct actor me;

    attach(&me, row);
    send(&me);
    return NULL;
}

static void *consume(uint32_t row)
{
    struct actor me;

    attach(&me, row);
    receive(&me);
    return NULL;
}

static void *produce_one(void *unused)
{
    (void)unused;
    return produce(0);
}

static void *produce_two(void *unused)
{
    (void)unused;
    return produce(1);
}

static void *consume_one(void *unused)
{
    (void)unused;
    return consume(2);
}

/* A consumer that also starts one more participant. */
static void *consume_two(void *unused)
{
    pthread_t t;

    (void)unused;
    pthread_create(&t, NULL, consume_one, NULL);
    consume(3);
    pthread_join(t, NULL);
    return NULL;
}

int main(void)
{
    struct actor me;

    together(produce_one, produce_two, consume_two);
    attach_later(&me, 4);
    conserved(&me, 0);
    assert(sent[0] == 1 && sent[1] == 1);
    return 0;
}
