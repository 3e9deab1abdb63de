/* SPDX-License-Identifier: MIT */
/* Positions that pass 2^63 and 2^64: consumers notice nothing, and laps are counted as ever. */
#include <config.h>

#include "pages.h"
#include "queue.h"

static const uint64_t starts[] = {UINT64_C(0) - CAST_RING / 16, UINT64_C(0) - CAST_RING,
                                  UINT64_C(0) - 3 * CAST_RING, (UINT64_C(1) << 63) - CAST_RING / 16,
                                  (UINT64_C(1) << 63) - CAST_RING};

/* A queue whose first message will be at that position, and its producer. */
static shmring_t *create_at(uint64_t position)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 2);
    shmring_t *observer = cast_attach(q, SHMRING_OBSERVER);
    struct pages pages;

    pages_map(&pages, q);
    shmring_close(&q);
    pages_start_at(&pages, position, CAST_RING);
    pages_unmap(&pages);
    q = cast_attach(observer, SHMRING_PRODUCER);
    shmring_close(&observer);
    return q;
}

Test(broadcast_wrap, consumers_that_keep_up)
{
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        shmring_t *q = create_at(starts[i]);
        shmring_t *c[2] = {cast_attach(q, SHMRING_CONSUMER),
                           cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE)};
        for (uint64_t n = 0; n < 300; n += 10) {
            cast_send(q, n, 10);
            for (int j = 0; j < 2; j++)
                cast_receives(c[j], n, 10);
        }
        for (int j = 0; j < 2; j++) {
            cast_is_empty(c[j]);
            shmring_close(&c[j]);
        }
        shmring_close(&q);
    }
}

Test(broadcast_wrap, a_reliable_consumer_holds_the_producer)
{
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        shmring_t *q = create_at(starts[i]);
        shmring_t *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
        uint8_t bytes[CAST_LEN];
        uint64_t sent = 0, received = 0;

        for (int round = 0; round < 20; round++) {
            for (int r = 0; r == 0;) {
                cast_fill(sent, bytes, sizeof bytes);
                r = shmring_send(q, bytes, sizeof bytes);
                sent += r == 0;
            }
            cr_assert_gt(sent, received);
            cr_assert_leq(sent - received, CAST_RING / CAST_RECORD);
            cast_receives(c, received, (uint32_t)(sent - received));
            received = sent;
        }
        shmring_close(&c);
        shmring_close(&q);
    }
}

Test(broadcast_wrap, laps_starts_and_successors)
{
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        shmring_t *q = create_at(starts[i]), *c = cast_attach(q, SHMRING_CONSUMER);
        uint8_t bytes[CAST_LEN];
        uint64_t sent = 0, next = 0;

        for (int round = 0; round < 30; round++) {
            cast_send(q, sent, 50);
            sent += 50;
            const uint64_t missed = cast_missed(c);
            cr_assert_eq(shmring_recv(c, bytes, sizeof bytes), -EOVERFLOW);
            next += cast_missed(c) - missed;
            cast_receives(c, next, (uint32_t)(sent - next));
            next = sent;
            shmring_t *other = cast_attach(q, SHMRING_CONSUMER | SHMRING_FROM_OLDEST);
            ssize_t found = 0;
            while (shmring_recv(other, bytes, sizeof bytes) == CAST_LEN)
                found++;
            cr_assert_geq(found, 25);
            cr_assert(cast_is(sent - 1, bytes, CAST_LEN), "the last one");
            shmring_close(&other);
            shmring_close(&q);
            q = cast_attach(c, SHMRING_PRODUCER);
        }
        shmring_close(&c);
        shmring_close(&q);
    }
}
