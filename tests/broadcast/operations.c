/* SPDX-License-Identifier: MIT */
/* Broadcast queues through the public interface, one call after the other. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue.h"

/* ---- Creating and opening -------------------------------------------------------------------- */

static int create(struct shmring_config config)
{
    shmring_t *q;
    int r = shmring_create(&q, "memfd:test", &config);

    shmring_close(&q);
    return r;
}

Test(broadcast, parameters)
{
    const struct shmring_config good = {
        .kind = SHMRING_BROADCAST, .capacity = 4096, .flags = SHMRING_PRODUCER};
    struct shmring_config c = good;

    cr_assert_eq(create(good), 0);
    c.max_message = 4096 / 4 - 8;
    cr_assert_eq(create(c), 0);
    c.max_message++;
    assert_refused(create(c), EINVAL, "at most 1016");
    c = good;
    c.capacity = 2048;
    assert_refused(create(c), EINVAL, "less than 4096");
    c = good;
    c.max_participants = 1023;
    cr_assert_eq(create(c), 0);
    c.max_participants = 1024;
    assert_refused(create(c), EINVAL, "at most 1023");
    c = good;
    c.flags |= SHMRING_AT_MOST_ONCE;
    assert_refused(create(c), EINVAL, "AT_MOST_ONCE");
    c = good;
    c.flags |= SHMRING_RELIABLE;
    assert_refused(create(c), EINVAL, "give SHMRING_CONSUMER");
    c = good;
    c.flags = SHMRING_CONSUMER | SHMRING_RELIABLE;
    assert_refused(create(c), EUSERS, "max_participants 0");
    c.max_participants = 1;
    cr_assert_eq(create(c), 0);
}

Test(broadcast, options_are_for_this_kind_and_for_consumers)
{
    const unsigned options[] = {SHMRING_RELIABLE, SHMRING_FROM_OLDEST, SHMRING_FROM_KEY};
    shmring_t *spsc, *q = cast_create("memfd:test", CAST_RING, 4), *other;
    const struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = 4096};

    cr_assert_eq(shmring_create(&spsc, "memfd:spsc", &config), 0);
    for (int i = 0; i < 3; i++) {
        assert_refused(shmring_dup(&other, spsc, SHMRING_CONSUMER | options[i]), EINVAL,
                       "only a consumer of a broadcast queue");
        assert_refused(shmring_dup(&other, q, SHMRING_OBSERVER | options[i]), EINVAL,
                       "give SHMRING_CONSUMER");
        other = cast_attach(q, SHMRING_CONSUMER | options[i]);
        shmring_close(&other);
    }
    shmring_close(&spsc);
    shmring_close(&q);
}

Test(broadcast, one_producer)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 4), *other;

    assert_refused(shmring_dup(&other, q, SHMRING_PRODUCER), EBUSY, "broadcast) has one producer");
    shmring_t *observer = cast_attach(q, SHMRING_OBSERVER);
    shmring_close(&q);
    q = cast_attach(observer, SHMRING_PRODUCER);
    shmring_close(&q);
    shmring_close(&observer);
}

Test(broadcast, one_handle_may_be_both)
{
    shmring_t *observer = cast_create("memfd:test", CAST_RING, 2);
    shmring_t *q;

    assert_refused(shmring_dup(&q, observer, SHMRING_PRODUCER | SHMRING_CONSUMER), EBUSY,
                   "producer");
    shmring_t *other = cast_attach(observer, SHMRING_OBSERVER);
    shmring_close(&observer);
    q = cast_attach(other, SHMRING_PRODUCER | SHMRING_CONSUMER | SHMRING_RELIABLE);
    cr_assert_eq(shmring_participants(other, NULL, 0), 2);
    for (int i = 0; i < 200; i++) {
        cast_send(q, (uint64_t)i, 1);
        cast_receives(q, (uint64_t)i, 1);
    }
    shmring_close(&q);
    cr_assert_eq(shmring_participants(other, NULL, 0), 0);
    shmring_close(&other);
}

/* ---- Every consumer gets every message ------------------------------------------------------- */

Test(broadcast, each_consumer_gets_each_message)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 8), *c[10];
    struct shmring_stat st;

    for (int i = 0; i < 10; i++) /* eight of them have a row */
        c[i] = cast_attach(q, SHMRING_CONSUMER);
    cr_assert_eq(shmring_participants(q, NULL, 0), 1 + 8);
    for (uint64_t n = 0; n < 300; n += 3) { /* several times round */
        cast_send(q, n, 3);
        for (int i = 0; i < 10; i++) {
            cast_receives(c[i], n, 3);
            cast_is_empty(c[i]);
        }
    }
    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_eq(st.kind, SHMRING_BROADCAST);
    cr_assert_eq(st.sent, 300);
    cr_assert_eq(st.sent_bytes, 300 * CAST_LEN);
    cr_assert_eq(st.received, 8 * 300, "two have no row");
    cr_assert_eq(st.received_bytes, 8 * 300 * CAST_LEN);
    cr_assert_eq(st.empty_events, 8 * 100);
    cr_assert_eq(st.missed, 0);
    cr_assert_eq(st.depth, 0);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(cast_missed(c[i]), 0);
        shmring_close(&c[i]);
    }
    shmring_close(&q);
}

Test(broadcast, messages_of_every_length)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    uint8_t bytes[1024], buf[1024];

    for (size_t len = 0; len <= 1016; len++) {
        cast_fill(len, bytes, len);
        cr_assert_eq(shmring_send(q, bytes, len), 0);
        cr_assert_eq(shmring_recv(c, buf, sizeof buf), (ssize_t)len);
        cr_assert_eq(memcmp(buf, bytes, len), 0);
    }
    assert_refused(shmring_send(q, bytes, 1017), EMSGSIZE, "1017 bytes: at most 1016");
    void *msg;
    assert_refused(shmring_reserve(q, 1017, &msg), EMSGSIZE, "at most 1016");
    struct iovec batch = {bytes, 1017};
    assert_refused(shmring_send_batch(q, &batch, 1), EMSGSIZE, "at most 1016");
    assert_refused(shmring_send_batch(q, &batch, 0), EINVAL, "at least one");
    assert_refused(shmring_recv_batch(c, &batch, 0), EINVAL, "at least one");
    cast_is_empty(c);
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, a_message_that_does_not_fit_stays)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    uint8_t buf[CAST_LEN];

    cast_send(q, 0, 2);
    assert_refused(shmring_recv(c, buf, CAST_LEN - 1), EMSGSIZE, "99 bytes");
    cast_receives(c, 0, 1);
    struct iovec batch[2] = {{buf, CAST_LEN - 1}, {buf, CAST_LEN}};
    assert_refused(shmring_recv_batch(c, batch, 2), EMSGSIZE, "99 bytes");
    cast_receives(c, 1, 1);
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, batches)
{
    enum { BATCH = 64 };
    static uint8_t bytes[BATCH][CAST_LEN], bufs[BATCH][CAST_LEN];
    shmring_t *q = cast_create("memfd:test", 16384, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    struct iovec out[BATCH], in[BATCH];

    for (uint64_t round = 0, n = 0, next = 0; round < 40; round++) {
        for (int i = 0; i < BATCH; i++) {
            cast_fill(n + (uint64_t)i, bytes[i], CAST_LEN);
            out[i] = (struct iovec){bytes[i], CAST_LEN};
        }
        cr_assert_eq(shmring_send_batch(q, out, BATCH), BATCH, "more than a quarter of the ring");
        n += BATCH;
        while (next < n) {
            for (int i = 0; i < BATCH; i++)
                in[i] = (struct iovec){bufs[i], CAST_LEN};
            const int r = shmring_recv_batch(c, in, 24);
            cr_assert_gt(r, 0);
            for (int i = 0; i < r; i++, next++)
                cr_assert(in[i].iov_len == CAST_LEN && cast_is(next, bufs[i], CAST_LEN));
        }
    }
    out[1].iov_len = 16384;
    cr_assert_eq(shmring_send_batch(q, out, 3), 1, "the second one is too long");
    assert_refused(shmring_send_batch(q, out + 1, 3), EMSGSIZE, "16384 bytes");
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, reserve_and_commit)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    struct iovec batch = {"", 1};
    void *msg, *again;

    for (uint64_t n = 0; n < 100; n++) {
        cr_assert_eq(shmring_reserve(q, 300, &msg), 0);
        cr_assert_eq((uintptr_t)msg % 8, 0);
        memset(msg, 0xff, 300);
        cast_is_empty(c);
        if (n % 3 == 0) {
            cr_assert_eq(shmring_cancel(q, msg), 0);
            cr_assert_eq(shmring_reserve(q, CAST_LEN, &msg), 0);
        }
        cast_fill(n, msg, CAST_LEN);
        cr_assert_eq(shmring_commit(q, msg, CAST_LEN), 0);
        cast_receives(c, n, 1);
    }
    cr_assert_eq(shmring_reserve(q, 10, &msg), 0);
    assert_refused(shmring_reserve(q, 10, &again), EINPROGRESS, "reservation");
    assert_refused(shmring_send(q, "", 1), EINPROGRESS, "reservation");
    assert_refused(shmring_send_flags(q, "", 1, SHMRING_KEY), EINPROGRESS, "reservation");
    assert_refused(shmring_send_batch(q, &batch, 1), EINPROGRESS, "reservation");
    assert_refused(shmring_commit(q, msg, 11), EMSGSIZE, "at most 10");
    assert_refused(shmring_commit_flags(q, msg, 11, SHMRING_KEY), EMSGSIZE, "at most 10");
    assert_refused(shmring_commit(q, (char *)msg + 8, 10), EINVAL, "not the open reservation");
    assert_refused(shmring_cancel(q, (char *)msg + 8), EINVAL, "not the open reservation");
    cr_assert_eq(shmring_cancel(q, msg), 0);
    assert_refused(shmring_cancel(q, msg), EINVAL, "not the open reservation");
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, roles)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    const void *msg;
    char buf[8];

    assert_refused(shmring_recv(q, buf, sizeof buf), EPERM, "not a consumer's");
    assert_refused(shmring_peek(q, &msg, NULL), EPERM, "not a consumer's");
    assert_refused(shmring_skip(q), EPERM, "not a consumer's");
    assert_refused(shmring_send(c, buf, 1), EPERM, "not a producer's");
    assert_refused(shmring_send_flags(c, buf, 1, SHMRING_KEY), EPERM, "not a producer's");
    assert_refused(shmring_commit_flags(c, buf, 1, SHMRING_KEY), EPERM, "not a producer's");
    assert_refused(shmring_skip(NULL), EBADF, "NULL");
    assert_refused(shmring_send_flags(NULL, buf, 1, 0), EBADF, "NULL");
    assert_refused(shmring_commit_flags(NULL, buf, 1, 0), EBADF, "NULL");
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, peek_is_speculative)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    const void *msg[3];
    struct shmring_info info;
    uint8_t buf[CAST_LEN];

    cast_send(q, 0, 3);
    for (uint64_t i = 0; i < 3; i++) {
        cr_assert_eq(shmring_peek(c, &msg[i], &info), CAST_LEN);
        cr_assert(cast_is(i, msg[i], CAST_LEN));
        cr_assert_eq(info.number, i);
        cr_assert_eq(info.position, i * CAST_RECORD);
        cr_assert_eq(info.deliveries, 1);
        cr_assert_eq(info.flags, 0);
        cr_assert_eq(info.missed, 0);
    }
    assert_refused(shmring_recv(c, buf, sizeof buf), EINPROGRESS, "held");
    assert_refused(shmring_skip(c), EINPROGRESS, "held");
    assert_refused(shmring_release(c, msg[1]), EINVAL, "out of turn");
    cr_assert_eq(shmring_release(c, msg[0]), 0);
    cast_send(q, 3, 100); /* nothing holds the producer */
    assert_refused(shmring_release(c, msg[1]), EOVERFLOW, "missed 1 messages");
    assert_refused(shmring_release(c, msg[1]), EINVAL, "released already");
    assert_refused(shmring_peek(c, &msg[0], &info), EOVERFLOW, "missed");
    assert_refused(shmring_release(c, msg[2]), EOVERFLOW, "missed 1 messages");
    cr_assert_eq(shmring_peek(c, &msg[0], &info), CAST_LEN);
    cr_assert_eq(info.number, info.missed + 1, "one was received");
    cr_assert(cast_is(info.number, msg[0], CAST_LEN));
    cr_assert_eq(info.missed, cast_missed(c));
    cr_assert_eq(shmring_release(c, msg[0]), 0);
    const struct shmring_participant row = cast_participant(q, SHMRING_CONSUMER);
    cr_assert_eq(row.received, 2);
    cr_assert_eq(row.lag, 103 - row.received - row.missed);
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, a_consumer_holds_so_many)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    const void *msg[SHMRING_PEEKED_MAX + 1];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i <= SHMRING_PEEKED_MAX; i++)
            cr_assert_eq(shmring_send(q, &i, sizeof i), 0);
        for (int i = 0; i < SHMRING_PEEKED_MAX; i++)
            cr_assert_eq(shmring_peek(c, &msg[i], NULL), sizeof i);
        assert_refused(shmring_peek(c, &msg[SHMRING_PEEKED_MAX], NULL), ENOBUFS,
                       "64 messages are held");
        for (int i = 0; i < SHMRING_PEEKED_MAX; i++)
            cr_assert_eq(shmring_release(c, msg[i]), 0);
        cr_assert_eq(shmring_peek(c, &msg[0], NULL), sizeof(int));
        cr_assert_eq(*(const int *)msg[0], SHMRING_PEEKED_MAX);
        cr_assert_eq(shmring_release(c, msg[0]), 0);
    }
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, skip)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1), *c = cast_attach(q, SHMRING_CONSUMER);
    shmring_t *spsc;
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = 4096, .flags = SHMRING_CONSUMER};

    cr_assert_eq(shmring_skip(c), 0);
    cast_send(q, 0, 10);
    cast_receives(c, 0, 2);
    cr_assert_eq(shmring_skip(c), 8);
    cr_assert_eq(shmring_skip(c), 0);
    cast_is_empty(c);
    cast_send(q, 10, 1);
    cast_receives(c, 10, 1);
    cast_send(q, 11, 200);
    cr_assert_eq(shmring_skip(c), 200, "also when it was lapped meanwhile");
    cast_is_empty(c);
    cast_send(q, 211, 1);
    cast_receives(c, 211, 1);
    const struct shmring_participant row = cast_participant(q, SHMRING_CONSUMER);
    cr_assert_eq(row.received, 4);
    cr_assert_eq(row.missed, 0);
    cr_assert_eq(row.lag, 0);
    cr_assert_eq(shmring_create(&spsc, "memfd:spsc", &config), 0);
    assert_refused(shmring_skip(spsc), EOPNOTSUPP, "broadcast");
    shmring_close(&spsc);
    shmring_close(&c);
    shmring_close(&q);
}

/* ---- Where a consumer starts ----------------------------------------------------------------- */

static uint64_t first_number(const shmring_t *q, unsigned flags, uint32_t *info_flags)
{
    shmring_t *c = cast_attach(q, SHMRING_CONSUMER | flags);
    struct shmring_info info = {.number = UINT64_MAX};
    const void *msg;
    const ssize_t r = shmring_peek(c, &msg, &info);

    cr_assert(r == CAST_LEN || r == -EAGAIN);
    if (r > 0)
        cr_assert(cast_is(info.number, msg, CAST_LEN));
    if (info_flags)
        *info_flags = info.flags;
    shmring_close(&c);
    return info.number;
}

Test(broadcast, starts)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 2);
    uint8_t bytes[CAST_LEN];
    uint32_t flags;

    cr_assert_eq(first_number(q, SHMRING_FROM_OLDEST, NULL), UINT64_MAX, "there is none");
    cr_assert_eq(first_number(q, SHMRING_FROM_KEY, NULL), UINT64_MAX, "there is none");
    cast_send(q, 0, 7);
    cr_assert_eq(first_number(q, 0, NULL), UINT64_MAX, "the next one");
    cr_assert_eq(first_number(q, SHMRING_FROM_OLDEST, NULL), 0);
    cr_assert_eq(first_number(q, SHMRING_FROM_KEY, NULL), UINT64_MAX, "no key: the next one");
    cr_assert_eq(first_number(q, SHMRING_FROM_KEY | SHMRING_FROM_OLDEST, NULL), 0);

    cast_fill(7, bytes, CAST_LEN);
    cr_assert_eq(shmring_send_flags(q, bytes, CAST_LEN, SHMRING_KEY), 0);
    cast_fill(8, bytes, CAST_LEN);
    cr_assert_eq(shmring_send_flags(q, bytes, CAST_LEN, 0), 0);
    cr_assert_eq(first_number(q, SHMRING_FROM_KEY, &flags), 7);
    cr_assert_eq(flags, SHMRING_KEY);
    cr_assert_eq(first_number(q, SHMRING_FROM_OLDEST, &flags), 0);
    cr_assert_eq(flags, 0);
    for (uint64_t n = 9; n < 20; n++) {
        void *msg;
        cr_assert_eq(shmring_reserve(q, CAST_LEN, &msg), 0);
        cast_fill(n, msg, CAST_LEN);
        assert_refused(shmring_commit_flags(q, msg, CAST_LEN, 4), EINVAL, "only SHMRING_KEY");
        cr_assert_eq(shmring_commit_flags(q, msg, CAST_LEN, n % 3 ? 0 : SHMRING_KEY), 0);
        cr_assert_eq(first_number(q, SHMRING_FROM_KEY | SHMRING_RELIABLE, NULL), n / 3 * 3);
    }
    assert_refused(shmring_send_flags(q, bytes, CAST_LEN, 4), EINVAL, "only SHMRING_KEY");

    cast_send(q, 20, 100); /* the key message is overwritten */
    cr_assert_eq(first_number(q, SHMRING_FROM_KEY, NULL), UINT64_MAX);
    const uint64_t oldest = first_number(q, SHMRING_FROM_OLDEST, NULL);
    cr_assert(oldest > 20 && oldest <= 120 - CAST_LEFT, "%d", (int)oldest);
    cr_assert_eq(first_number(q, SHMRING_FROM_KEY | SHMRING_FROM_OLDEST, NULL), oldest);
    shmring_close(&q);
}

Test(broadcast, keys_are_only_for_this_kind)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = 4096, .flags = SHMRING_PRODUCER};
    shmring_t *q;
    void *msg;

    cr_assert_eq(shmring_create(&q, "memfd:spsc", &config), 0);
    assert_refused(shmring_send_flags(q, "", 1, SHMRING_KEY), EINVAL, "send without SHMRING_KEY");
    cr_assert_eq(shmring_send_flags(q, "", 1, 0), 0);
    cr_assert_eq(shmring_reserve(q, 1, &msg), 0);
    assert_refused(shmring_commit_flags(q, msg, 1, SHMRING_KEY), EINVAL,
                   "send without SHMRING_KEY");
    cr_assert_eq(shmring_commit_flags(q, msg, 1, 0), 0);
    shmring_close(&q);
}

/* ---- Reliable -------------------------------------------------------------------------------- */

static uint64_t send_until_full(shmring_t *q, uint64_t next)
{
    uint8_t bytes[CAST_LEN];
    int r;

    for (;; next++) {
        cast_fill(next, bytes, CAST_LEN);
        r = shmring_send(q, bytes, CAST_LEN);
        if (r != 0)
            break;
        cr_assert_lt(next, 100000);
    }
    cr_assert_eq(r, -EAGAIN);
    return next;
}

/* A producer that only polls, and seldom: the first call after its patience has ended strikes the
 * consumer off, and the next one sends. */
Test(broadcast, patience_ends_for_a_producer_that_polls)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1);
    shmring_t *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    const struct shmring_waiting impatient = {.patience_ms = 1};
    char message[CAST_LEN] = "";

    cr_assert_eq(shmring_set_waiting(q, &impatient), 0);
    (void)send_until_full(q, 0); /* its last call was refused */
    usleep(2000);
    cr_assert_eq(shmring_send(q, message, sizeof message), -EAGAIN);
    cr_assert_eq(shmring_send(q, message, sizeof message), 0);
    assert_refused(shmring_recv(c, message, sizeof message), EOVERFLOW, "missed");
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, a_consumer_is_told_that_it_is_no_longer_reliable)
{
    const struct shmring_waiting w = {.patience_ms = 1};
    const uint32_t n = 2 * CAST_RING / CAST_RECORD;
    shmring_t *q = cast_create("memfd:test", CAST_RING, 2);
    shmring_t *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    shmring_t *other = cast_attach(q, SHMRING_CONSUMER);
    uint8_t bytes[CAST_LEN] = {0};

    cr_assert_eq(shmring_set_waiting(q, &w), 0);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(shmring_send_wait(q, bytes, sizeof bytes, NULL), 0);
    assert_refused(shmring_recv(c, bytes, sizeof bytes), EOVERFLOW, "open the queue again");
    assert_refused(shmring_recv(other, bytes, sizeof bytes), EOVERFLOW, "has missed");
    cr_assert_null(strstr(shmring_strerror_detail(), "reliable"));
    shmring_close(&c);

    /* It does so: and is. */
    c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    struct shmring_participant rows[3];
    cr_assert_eq(shmring_participants(q, rows, 3), 3);
    cr_assert_eq(rows[1].flags, SHMRING_RELIABLE);
    shmring_close(&c);
    shmring_close(&other);
    shmring_close(&q);
}

Test(broadcast, a_reliable_consumer_holds_the_producer)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 2);
    shmring_t *plain = cast_attach(q, SHMRING_CONSUMER);
    shmring_t *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    uint64_t sent = send_until_full(q, 0), received = 0;
    struct shmring_stat st;
    void *msg;

    cr_assert_geq(sent, CAST_RING * 15 / 16 / CAST_RECORD - 1);
    cr_assert_eq(shmring_reserve(q, CAST_LEN, &msg), -EAGAIN);
    struct iovec batch = {"", 1};
    cr_assert_eq(shmring_send_batch(q, &batch, 1), 1, "room for a short one");
    sent++;
    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_eq(st.depth, sent);
    cr_assert_eq(st.full_events, 1);
    cr_assert_geq(st.high_water, CAST_RECORD * (sent - 2));
    cr_assert_leq(st.high_water, CAST_RING);
    struct shmring_participant rows[3];
    cr_assert_eq(shmring_participants(q, rows, 3), 3);
    cr_assert_eq(rows[1].flags, 0);
    cr_assert_eq(rows[2].flags, SHMRING_RELIABLE);
    cr_assert_eq(rows[2].lag, sent);

    cast_receives(c, 0, (uint32_t)sent - 1);
    char buf[CAST_LEN];
    cr_assert_eq(shmring_recv(c, buf, sizeof buf), 1);
    received = sent;
    for (int round = 0; round < 20; round++) {
        sent = send_until_full(q, sent);
        cast_receives(c, received, (uint32_t)(sent - received));
        received = sent;
        cast_is_empty(c);
    }
    cr_assert_eq(cast_missed(c), 0);
    assert_refused(shmring_recv(plain, buf, sizeof buf), EOVERFLOW, "missed");
    shmring_close(&c);
    cast_send(q, sent, 1000);
    shmring_close(&plain);
    shmring_close(&q);
}

Test(broadcast, what_a_reliable_consumer_holds_is_not_overwritten)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1);
    shmring_t *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    const void *msg[64];
    uint64_t sent = 0;

    for (int round = 0; round < 10; round++) {
        const uint64_t first = sent;
        sent = send_until_full(q, sent);
        const uint64_t n = sent - first;
        for (uint64_t i = 0; i < n; i++)
            cr_assert_eq(shmring_peek(c, &msg[i], NULL), CAST_LEN);
        cr_assert_eq(send_until_full(q, sent), sent, "all of it is held");
        for (uint64_t i = 0; i < n; i++) {
            cr_assert(cast_is(first + i, msg[i], CAST_LEN));
            cr_assert_eq(shmring_release(c, msg[i]), 0);
        }
    }
    sent = send_until_full(q, sent);
    cr_assert_gt(shmring_skip(c), 0);
    cr_assert_gt(send_until_full(q, sent), sent, "skipping makes room");
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, the_longest_message_fits_when_all_was_received)
{
    enum { LONGEST = CAST_RING / 4 - 8 };
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1);
    shmring_t *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    static uint8_t bytes[LONGEST];
    uint8_t buf[LONGEST];

    for (size_t i = 0; i < 1000; i++) {
        const size_t len = i % 2 ? i * 37 % 200 : LONGEST;
        cr_assert_eq(shmring_send(q, bytes, len), 0, "%zu", i);
        cr_assert_eq(shmring_recv(c, buf, sizeof buf), (ssize_t)len);
    }
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast, more_reliable_ones_than_rows)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 2), *c[3];

    c[0] = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    c[1] = cast_attach(q, SHMRING_CONSUMER);
    assert_refused(shmring_dup(&c[2], q, SHMRING_CONSUMER | SHMRING_RELIABLE), EUSERS,
                   "all 2 consumers' rows");
    c[2] = cast_attach(q, SHMRING_CONSUMER);
    cr_assert_eq(shmring_participants(q, NULL, 0), 3);
    cast_send(q, 0, 3);
    for (int i = 0; i < 3; i++) {
        cast_receives(c[i], 0, 3);
        shmring_close(&c[i]);
    }
    c[0] = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    shmring_close(&c[0]);
    shmring_close(&q);
    q = cast_create("memfd:test", CAST_RING, 0);
    assert_refused(shmring_dup(&c[0], q, SHMRING_CONSUMER | SHMRING_RELIABLE), EUSERS,
                   "max_participants 0");
    shmring_close(&q);
}

/* ---- A new producer -------------------------------------------------------------------------- */

Test(broadcast, a_successor_goes_on)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 2);
    shmring_t *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    struct shmring_info info;
    const void *msg;

    for (uint64_t n = 0; n < 500; n++) {
        cast_send(q, n, 1);
        cr_assert_eq(shmring_peek(c, &msg, &info), CAST_LEN);
        cr_assert(cast_is(n, msg, CAST_LEN));
        cr_assert_eq(info.number, n);
        cr_assert_eq(shmring_release(c, msg), 0);
        shmring_close(&q);
        q = cast_attach(c, SHMRING_PRODUCER);
    }
    struct shmring_stat st;
    cr_assert_eq(shmring_stat(c, &st), 0);
    cr_assert_eq(st.sent, 500);
    cr_assert_eq(st.sent_bytes, 500 * CAST_LEN);
    cr_assert_eq(st.takeovers, 0);
    shmring_close(&c);
    shmring_close(&q);
}

/* ---- Inspecting ------------------------------------------------------------------------------ */

static int count_dumped(void *arg, const struct shmring_message *m)
{
    uint64_t *next = arg;

    if (m->length != CAST_LEN || !cast_is(*next, m->data, CAST_LEN) ||
        m->position != *next * CAST_RECORD || m->state != SHMRING_WAITING || m->deliveries != 0)
        return 1;
    ++*next;
    return 0;
}

Test(broadcast, dump_shows_what_is_in_the_ring)
{
    shmring_t *q = cast_create("memfd:test", CAST_RING, 1);
    uint64_t next = 0;

    cr_assert_eq(shmring_dump(q, count_dumped, &next), 0);
    cr_assert_eq(next, 0);
    cast_send(q, 0, 20);
    cr_assert_eq(shmring_dump(q, count_dumped, &next), 0);
    cr_assert_eq(next, 20);
    cast_send(q, 20, 100);
    next = first_number(q, SHMRING_FROM_OLDEST, NULL);
    cr_assert_eq(shmring_dump(q, count_dumped, &next), 0);
    cr_assert_eq(next, 120);
    shmring_close(&q);
}

Test(broadcast, the_same_queue_again)
{
    char name[TEST_NAME_SIZE];
    shmring_t *q, *other;
    struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                    .capacity = 4096,
                                    .max_participants = 3,
                                    .flags = SHMRING_PRODUCER | SHMRING_OPEN_OR_CREATE};

    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0);
    config.flags =
        SHMRING_CONSUMER | SHMRING_RELIABLE | SHMRING_FROM_OLDEST | SHMRING_OPEN_OR_CREATE;
    cast_send(q, 0, 2);
    cr_assert_eq(shmring_create(&other, name, &config), 0);
    cast_receives(other, 0, 2);
    cr_assert_eq(cast_participant(q, SHMRING_CONSUMER).flags, SHMRING_RELIABLE);
    shmring_close(&other);
    config.max_participants = 4;
    assert_refused(shmring_create(&other, name, &config), EEXIST, "max_participants");
    config.max_participants = 3;
    config.kind = SHMRING_SPSC;
    assert_refused(shmring_create(&other, name, &config), EINVAL, "");
    shmring_close(&q);
}
