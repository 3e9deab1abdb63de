/* SPDX-License-Identifier: MIT */
/*
 * A participant that recovers a dead producer reads its block, whose message is in the queue.
 * Meanwhile a consumer takes the message, and the block and the entry are used again.
 */
#include "mpmc.h"

static void *recover_slowly(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 1);
    recover(&me, 0);
    return NULL;
}

static void *go_on(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 2);
    assert(receive(&me));
    send(&me);
    send(&me);
    receive(&me);
    return NULL;
}

int main(void)
{
    struct actor me;

    attach(&me, 0);
    assert(send(&me));
    together(recover_slowly, go_on, NULL);
    attach_later(&me, 3);
    conserved(&me, 0);
    return 0;
}
