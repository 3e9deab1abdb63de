/* SPDX-License-Identifier: MIT */
/* Consumers that the producer overtakes: what they miss, and where they go on. */
#include <config.h>

#include <stdio.h>

#include "queue.h"

Test(broadcast_lapped, a_lapped_consumer_learns_how_many_it_missed)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    uint8_t buf[CAST_LEN];

    cast_send(q, 0, 5);
    cast_receives(c, 0, 3);
    uint64_t next = 3, sent = 5, missed = 0;
    for (uint32_t more = 30; more < 400; more += 7) {
        cast_send(q, sent, more);
        sent += more;
        const ssize_t r = shmring_recv(c, buf, sizeof buf);
        if (sent - next <= CAST_LEFT) {
            cr_assert_eq(r, CAST_LEN);
            next++;
            continue;
        }
        if (r == CAST_LEN) { /* it was just whole */
            next++;
            cr_assert_lt(sent - next, CAST_RING / CAST_RECORD);
            continue;
        }
        cr_assert_eq(r, -EOVERFLOW);
        cr_assert_not_null(strstr(shmring_strerror_detail(), "has missed"));
        const uint64_t now = cast_missed(c) - missed;
        char words[64];
        snprintf(words, sizeof words, "has missed %d messages", (int)now);
        cr_assert_not_null(strstr(shmring_strerror_detail(), words), "%s", words);
        missed += now;
        next += now;
        cr_assert_gt(now, 0);
        cr_assert_geq(sent - next, CAST_LEFT, "%d are left", (int)(sent - next));
        cast_receives(c, next, (uint32_t)(sent - next));
        next = sent;
        cast_is_empty(c);
    }
    cr_assert_gt(missed, 1000);
    const struct shmring_participant row = cast_participant(q, SHMRING_CONSUMER);
    cr_assert_eq(row.missed, missed);
    cr_assert_eq(row.received, sent - missed);
    cr_assert_eq(row.lag, 0);
    cr_assert_eq(row.flags, 0);
    shmring_close(&c);
    shmring_close(&q);
}

/* For each call of the consumer the producer sends `pace` messages. Returns how many of `calls`
 * calls received a message; the others report a lap. *number: of the consumer's next message. */
static uint32_t receive_slowly(shmring_t *q, shmring_t *c, uint32_t pace, uint32_t calls,
                               uint64_t *sent, uint64_t *number)
{
    uint8_t buf[CAST_LEN];
    uint32_t received = 0;

    for (uint32_t i = 0; i < calls; i++) {
        const uint64_t before = cast_missed(c);
        cast_send(q, *sent, pace);
        *sent += pace;
        const ssize_t r = shmring_recv(c, buf, sizeof buf);
        cr_assert(r == CAST_LEN || r == -EOVERFLOW, "%d", (int)r);
        if (r == CAST_LEN)
            cr_assert(cast_is((*number)++, buf, CAST_LEN));
        else
            *number += cast_missed(c) - before;
        received += r == CAST_LEN;
    }
    return received;
}

Test(broadcast_lapped, a_slow_consumer_leaves_out_more_after_each_lap)
{
    static const uint32_t paces[] = {2, 4, 10};
    const uint32_t calls = 2000;

    for (size_t i = 0; i < sizeof paces / sizeof paces[0]; i++) {
        shmring_t *q = cast_create("memfd:test", CAST_RING, 1);
        shmring_t *c = cast_attach(q, SHMRING_CONSUMER);
        uint64_t sent = 0, number = 0;

        const uint32_t received = receive_slowly(q, c, paces[i], calls, &sent, &number);
        cr_assert_gt(received, calls * 6 / 10, "pace %d: %d of %d calls", (int)paces[i],
                     (int)received, (int)calls);
        cr_assert_eq(cast_participant(q, SHMRING_CONSUMER).missed + received, number);

        /* It keeps up: after the next lap it misses as little as after the first. */
        cr_assert_geq(shmring_skip(c), 0);
        if (i == 0) { /* it never finds the ring empty */
            cast_send(q, sent++, 1);
            for (int n = 0; n < 2 * CAST_RING / CAST_RECORD; n++) {
                cast_send(q, sent, 1);
                cast_receives(c, sent++ - 1, 1);
            }
        } else {
            cast_is_empty(c);
        }
        cast_send(q, sent, 60);
        assert_refused(shmring_recv(c, NULL, 0), EOVERFLOW, "has missed");
        cr_assert_geq(cast_participant(q, SHMRING_CONSUMER).lag, CAST_LEFT);
        shmring_close(&c);
        shmring_close(&q);
    }
}

Test(broadcast_lapped, a_batch_ends_before_the_lap)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    uint8_t bufs[2][CAST_LEN];
    struct iovec in[2] = {{bufs[0], CAST_LEN}, {bufs[1], CAST_LEN}};

    cast_send(q, 0, 100);
    assert_refused(shmring_recv_batch(c, in, 2), EOVERFLOW, "has missed");
    const uint64_t next = cast_missed(c);
    cr_assert_eq(shmring_recv_batch(c, in, 2), 2);
    cr_assert(cast_is(next, bufs[0], CAST_LEN) && cast_is(next + 1, bufs[1], CAST_LEN));
    shmring_close(&c);
    shmring_close(&q);
}
