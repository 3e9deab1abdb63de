/* SPDX-License-Identifier: MIT */
/* A producer sends a batch of two beside messages of another producer; two consumers receive
 * batches. */
#include "mpmc.h"

static void *produce_two(void *unused)
{
    struct actor me;
    uint64_t n[2] = {1, 2};
    struct iovec msgs[2] = {{&n[0], 8}, {&n[1], 8}};
    int r;

    (void)unused;
    attach(&me, 0);
    BOUNDED(2 * SEND_STEPS, r = shmr_mpmc_send_batch(&me.p, msgs, 2));
    assert(r == 1 || r == 2 || r == -EAGAIN);
    sent[0] = r > 0 ? (uint64_t)r : 0;
    return NULL;
}

static void *produce(void *unused)
{
    struct actor me;

    (void)unused;
    attach(&me, 1);
    send(&me);
    return NULL;
}

static void *consume(void *unused)
{
    struct actor me;
    uint64_t n[2];
    struct iovec msgs[2] = {{&n[0], 8}, {&n[1], 8}};
    int r;

    (void)unused;
    attach(&me, 2);
    BOUNDED(2 * RECV_STEPS, r = shmr_mpmc_recv_batch(&me.p, msgs, 2));
    assert(r == 1 || r == 2 || r == -EAGAIN);
    for (int i = 0; i < r; i++) {
        assert(msgs[i].iov_len == 8);
        note(&me, n[i], 0);
    }
    return NULL;
}

int main(void)
{
    struct actor me;

    together(produce_two, produce, consume);
    attach_later(&me, 3);
    conserved(&me, 0);
    return 0;
}
