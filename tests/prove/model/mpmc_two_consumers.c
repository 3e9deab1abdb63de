/* SPDX-License-Identifier: MIT */
/* Two consumers receive two messages and those that a producer, which needs their blocks, sends
 * meanwhile. */
#include "mpmc.h"

static void *consume(void *row)
{
    struct actor me;

    attach(&me, (uint32_t)(uintptr_t)row);
    receive(&me);
    receive(&me);
    return NULL;
}

static void *consume_one(void *unused)
{
    (void)unused;
    return consume((void *)1);
}

static void *consume_two(void *unused)
{
    (void)unused;
    return consume((void *)2);
}

static void *produce(void *unused)
{
    struct actor me;

    (void)unused;
    attach_later(&me, 3);
    send(&me);
    return NULL;
}

int main(void)
{
    struct actor me;

    attach(&me, 0);
    assert(send(&me) && send(&me));
    together(consume_one, consume_two, produce);
    conserved(&me, 0);
    return 0;
}
