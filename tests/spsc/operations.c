/* SPDX-License-Identifier: MIT */
/* Every operation on an spsc queue, and every result that shmring.h promises. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "messages.h"
#include "support.h"

enum { CAPACITY = 4096, LONGEST = CAPACITY - 16 };

static shmring_t *producer, *consumer;

static void attach_consumer(void)
{
    cr_assert_eq(shmring_dup(&consumer, producer, SHMRING_CONSUMER), 0);
}

static void open_both(void)
{
    producer = test_create("memfd:test", SHMRING_PRODUCER, CAPACITY);
    attach_consumer();
}

static void close_both(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
}

static int send_number(uint64_t number, uint32_t len)
{
    return shmring_send(producer, message_content(number), len);
}

/* Assert that the next message is that one. */
static void assert_receives(uint64_t number, uint32_t len)
{
    uint8_t buf[CAPACITY];

    cr_assert_eq(shmring_recv(consumer, buf, len), len);
    cr_assert(message_is(number, buf, len));
}

static void assert_empty(void)
{
    cr_assert_eq(shmring_recv(consumer, NULL, 0), -EAGAIN);
}

static void assert_peeks(uint64_t number, uint32_t len, const void **msg, uint32_t deliveries)
{
    struct shmring_info info;

    cr_assert_eq(shmring_peek(consumer, msg, &info), len);
    cr_assert(message_is(number, *msg, len));
    cr_assert_eq((uintptr_t)*msg % 8, 0);
    cr_assert_eq(info.deliveries, deliveries, "%u deliveries", info.deliveries);
    cr_assert_eq(info.flags, deliveries > 1 ? SHMRING_REDELIVERED : 0);
}

static struct iovec message(uint64_t number, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)message_content(number), len};
}

/* ---- send and recv --------------------------------------------------------------------------- */

Test(spsc, every_length_arrives, .init = open_both, .fini = close_both)
{
    for (uint32_t len = 0; len <= LONGEST; len++) {
        cr_assert_eq(send_number(len, len), 0);
        assert_receives(len, len);
    }
    assert_empty();
}

Test(spsc, messages_of_no_bytes_are_messages, .init = open_both, .fini = close_both)
{
    for (int i = 0; i < 3; i++)
        cr_assert_eq(shmring_send(producer, NULL, 0), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(shmring_recv(consumer, NULL, 0), 0);
    assert_empty();
}

Test(spsc, one_byte_too_long_is_refused, .init = open_both, .fini = close_both)
{
    struct iovec batch = message(0, LONGEST + 1);
    void *msg;

    assert_refused(send_number(0, LONGEST + 1), EMSGSIZE, "4081 bytes: at most 4080");
    assert_refused(shmring_reserve(producer, LONGEST + 1, &msg), EMSGSIZE, "at most 4080");
    assert_refused(shmring_send_batch(producer, &batch, 1), EMSGSIZE, "at most 4080");
    assert_refused(shmring_send(producer, NULL, SIZE_MAX), EMSGSIZE, "at most 4080");
    assert_empty();
}

Test(spsc, max_message_limits_the_length)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .flags = SHMRING_PRODUCER, .capacity = CAPACITY, .max_message = 100};

    cr_assert_eq(shmring_create(&producer, "memfd:test", &config), 0);
    attach_consumer();
    assert_refused(send_number(0, 101), EMSGSIZE, "101 bytes: at most 100");
    cr_assert_eq(send_number(1, 100), 0);
    assert_receives(1, 100);
    close_both();
}

Test(spsc, a_message_too_long_for_the_buffer_stays, .init = open_both, .fini = close_both)
{
    uint8_t buf[100];
    struct iovec batch = {buf, 99};

    cr_assert_eq(send_number(1, 100), 0);
    cr_assert_eq(send_number(2, 10), 0);
    assert_refused(shmring_recv(consumer, buf, 99), EMSGSIZE, "the buffer has 99 bytes");
    assert_refused(shmring_recv(consumer, NULL, 0), EMSGSIZE, "the buffer has 0 bytes");
    assert_refused(shmring_recv_batch(consumer, &batch, 1), EMSGSIZE, "the buffer has 99 bytes");
    cr_assert_eq(batch.iov_len, 99);
    assert_receives(1, 100);
    assert_receives(2, 10);
}

Test(spsc, nothing_to_receive_is_eagain, .init = open_both, .fini = close_both)
{
    struct iovec batch = {NULL, 0};
    const void *msg;

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(shmring_recv(consumer, NULL, 0), -EAGAIN);
        cr_assert_eq(shmring_recv_batch(consumer, &batch, 1), -EAGAIN);
        cr_assert_eq(shmring_peek(consumer, &msg, NULL), -EAGAIN);
        cr_assert_eq(send_number(0, 10), 0);
        assert_receives(0, 10);
    }
}

/* ---- Full ------------------------------------------------------------------------------------ */

/* The number of messages of that length for which an empty ring has room, by the formula in
 * shmring.h. */
static uint32_t room_for(uint32_t len)
{
    return (uint32_t)((CAPACITY - 8) / shmring_record_size(len));
}

static void assert_full(uint32_t len)
{
    struct iovec batch = message(0, len);
    void *msg;

    cr_assert_eq(send_number(0, len), -EAGAIN);
    cr_assert_eq(shmring_reserve(producer, len, &msg), -EAGAIN);
    cr_assert_eq(shmring_send_batch(producer, &batch, 1), -EAGAIN);
}

Test(spsc, full_is_exact_for_every_length, .init = open_both, .fini = close_both)
{
    for (uint32_t len = 0; len <= LONGEST; len += len < 300 ? 1 : 61) {
        for (uint32_t i = 0; i < room_for(len); i++)
            cr_assert_eq(send_number(i, len), 0, "%u of %u bytes", i, len);
        assert_full(len);
        /* Each message that is received makes room for one. */
        for (uint32_t i = 0; i < room_for(len) + 3; i++) {
            assert_receives(i, len);
            cr_assert_eq(send_number(i + room_for(len), len), 0, "%u of %u bytes", i, len);
            assert_full(len);
        }
        for (uint32_t i = 0; i < room_for(len); i++)
            assert_receives(room_for(len) + 3 + i, len);
        assert_empty();
    }
}

Test(spsc, a_shorter_message_may_still_fit, .init = open_both, .fini = close_both)
{
    const uint32_t all = CAPACITY - 8 - 16; /* the ring, minus a record of 16 bytes */

    cr_assert_eq(send_number(1, all - 4), 0);
    assert_full(13);
    cr_assert_eq(send_number(2, 12), 0);
    assert_full(0);
    assert_receives(1, all - 4);
    assert_receives(2, 12);
}

Test(spsc, what_is_held_is_not_overwritten, .init = open_both, .fini = close_both)
{
    enum { LEN = 500 };
    const void *msgs[8];

    for (uint32_t i = 0; i < 8; i++)
        cr_assert_eq(send_number(i, LEN), 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_peeks(i, LEN, &msgs[i], 1);
    for (uint32_t i = 0; i < 8; i++) {
        assert_full(LEN);
        for (uint32_t j = i; j < 8; j++)
            cr_assert(message_is(j, msgs[j], LEN));
        cr_assert_eq(shmring_release(consumer, msgs[i]), 0);
        cr_assert_eq(send_number(8 + i, LEN), 0);
    }
    for (uint32_t i = 0; i < 8; i++)
        assert_receives(8 + i, LEN);
}

/* ---- reserve, commit, cancel ----------------------------------------------------------------- */

static void *reserve(uint32_t len)
{
    void *msg = NULL;

    cr_assert_eq(shmring_reserve(producer, len, &msg), 0);
    cr_assert_eq((uintptr_t)msg % 8, 0);
    return msg;
}

Test(spsc, a_reservation_is_seen_when_committed, .init = open_both, .fini = close_both)
{
    void *msg = reserve(100);

    memcpy(msg, message_content(1), 100);
    assert_empty();
    cr_assert_eq(shmring_commit(producer, msg, 100), 0);
    assert_receives(1, 100);
}

Test(spsc, every_length_can_be_reserved, .init = open_both, .fini = close_both)
{
    for (uint32_t len = 0; len <= LONGEST; len++) {
        void *msg = reserve(len);
        memcpy(msg, message_content(len), len);
        cr_assert_eq(shmring_commit(producer, msg, len), 0);
        assert_receives(len, len);
    }
}

Test(spsc, less_than_reserved_can_be_committed, .init = open_both, .fini = close_both)
{
    static const uint32_t lengths[] = {99, 50, 8, 1, 0};

    for (int i = 0; i < 5; i++) {
        void *msg = reserve(100);
        memcpy(msg, message_content(7), 100);
        cr_assert_eq(shmring_commit(producer, msg, lengths[i]), 0);
    }
    for (int i = 0; i < 5; i++)
        assert_receives(7, lengths[i]);
    assert_empty();
}

Test(spsc, committing_less_gives_the_rest_back, .init = open_both, .fini = close_both)
{
    void *msg = reserve(LONGEST);

    cr_assert_eq(shmring_commit(producer, msg, 0), 0);
    for (uint32_t i = 1; i < room_for(0); i++)
        cr_assert_eq(send_number(i, 0), 0);
    assert_full(0);
}

Test(spsc, more_than_reserved_is_refused, .init = open_both, .fini = close_both)
{
    void *msg = reserve(100);

    assert_refused(shmring_commit(producer, msg, 101), EMSGSIZE, "101 bytes: at most 100");
    assert_empty();
    memcpy(msg, message_content(1), 100);
    cr_assert_eq(shmring_commit(producer, msg, 100), 0, "the reservation is still open");
    assert_receives(1, 100);
}

Test(spsc, one_reservation_at_a_time, .init = open_both, .fini = close_both)
{
    struct iovec batch = message(0, 1);
    void *msg, *other;

    cr_assert_eq(send_number(7, 1), 0, "the next one would be as short and quick");
    assert_receives(7, 1);
    msg = reserve(100);
    assert_refused(send_number(0, 1), EINPROGRESS, "commit or cancel");
    assert_refused(send_number(0, LONGEST + 1), EINPROGRESS, "commit or cancel");
    assert_refused(shmring_send_batch(producer, &batch, 1), EINPROGRESS, "commit or cancel");
    assert_refused(shmring_reserve(producer, 1, &other), EINPROGRESS, "commit or cancel");
    cr_assert_eq(shmring_cancel(producer, msg), 0);
    cr_assert_eq(send_number(2, 5), 0);
    assert_receives(2, 5);
}

Test(spsc, only_the_open_reservation_is_committed, .init = open_both, .fini = close_both)
{
    uint8_t *msg = reserve(100);
    uint8_t elsewhere[8];

    assert_refused(shmring_commit(producer, msg + 8, 10), EINVAL, "not the open reservation");
    assert_refused(shmring_commit(producer, elsewhere, 8), EINVAL, "not the open reservation");
    assert_refused(shmring_commit(producer, NULL, 0), EINVAL, "not the open reservation");
    assert_refused(shmring_cancel(producer, msg + 8), EINVAL, "not the open reservation");
    assert_refused(shmring_cancel(producer, NULL), EINVAL, "not the open reservation");
    memcpy(msg, message_content(1), 100);
    cr_assert_eq(shmring_commit(producer, msg, 100), 0);
    assert_refused(shmring_commit(producer, msg, 100), EINVAL, "not the open reservation");
    assert_refused(shmring_cancel(producer, msg), EINVAL, "not the open reservation");
    assert_receives(1, 100);
    assert_empty();
}

Test(spsc, a_cancelled_reservation_leaves_nothing, .init = open_both, .fini = close_both)
{
    for (uint32_t len = 0; len < 100; len++) {
        void *msg = reserve(len);
        memset(msg, 0xff, len);
        cr_assert_eq(shmring_cancel(producer, msg), 0);
        assert_refused(shmring_cancel(producer, msg), EINVAL, "not the open reservation");
        assert_refused(shmring_commit(producer, msg, len), EINVAL, "not the open reservation");
        assert_empty();
        cr_assert_eq(send_number(len, len / 2), 0);
        assert_receives(len, len / 2);
    }
}

Test(spsc, close_cancels_a_reservation, .init = open_both, .fini = close_both)
{
    shmring_t *next;

    cr_assert_eq(send_number(1, 20), 0);
    memset(reserve(100), 0xff, 100);
    cr_assert_eq(shmring_dup(&next, producer, SHMRING_PRODUCER), -EBUSY);
    cr_assert_eq(shmring_dup(&next, consumer, SHMRING_OBSERVER), 0);
    shmring_close(&producer);
    cr_assert_eq(shmring_dup(&producer, next, SHMRING_PRODUCER), 0);
    shmring_close(&next);
    assert_receives(1, 20);
    assert_empty();
    cr_assert_eq(send_number(2, 30), 0);
    assert_receives(2, 30);
}

/* ---- peek and release ------------------------------------------------------------------------ */

Test(spsc, several_messages_can_be_held, .init = open_both, .fini = close_both)
{
    const void *msgs[10];

    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(send_number(i, i * 5), 0);
    for (uint32_t i = 0; i < 10; i++)
        assert_peeks(i, i * 5, &msgs[i], 1);
    cr_assert_eq(shmring_peek(consumer, &msgs[0], NULL), -EAGAIN);
    cr_assert(message_is(0, msgs[0], 0));
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(shmring_release(consumer, msgs[i]), 0);
    assert_empty();
}

Test(spsc, the_info_may_be_left_out, .init = open_both, .fini = close_both)
{
    const void *msg;

    cr_assert_eq(send_number(1, 10), 0);
    cr_assert_eq(shmring_peek(consumer, &msg, NULL), 10);
    cr_assert(message_is(1, msg, 10));
    cr_assert_eq(shmring_release(consumer, msg), 0);
}

Test(spsc, messages_are_released_in_turn_and_once, .init = open_both, .fini = close_both)
{
    const void *first, *second;

    assert_refused(shmring_release(consumer, NULL), EINVAL, "not the oldest");
    cr_assert_eq(send_number(1, 10), 0);
    cr_assert_eq(send_number(2, 10), 0);
    assert_peeks(1, 10, &first, 1);
    assert_peeks(2, 10, &second, 1);
    assert_refused(shmring_release(consumer, second), EINVAL, "out of turn");
    assert_refused(shmring_release(consumer, NULL), EINVAL, "not the oldest");
    assert_refused(shmring_release(consumer, (const char *)first + 1), EINVAL, "not the oldest");
    cr_assert_eq(shmring_release(consumer, first), 0);
    assert_refused(shmring_release(consumer, first), EINVAL, "released already");
    cr_assert_eq(shmring_release(consumer, second), 0);
    assert_refused(shmring_release(consumer, second), EINVAL, "released already");
    /* The place of the next message: no handle holds it. */
    cr_assert_eq(send_number(3, 10), 0);
    assert_refused(shmring_release(consumer, (const char *)second + 16), EINVAL, "not the oldest");
    assert_receives(3, 10);
}

Test(spsc, no_copying_while_messages_are_held, .init = open_both, .fini = close_both)
{
    uint8_t buf[100];
    struct iovec batch = {buf, sizeof buf};
    const void *msg;

    cr_assert_eq(send_number(1, 10), 0);
    cr_assert_eq(send_number(2, 10), 0);
    cr_assert_eq(send_number(3, 20), 0);
    assert_peeks(1, 10, &msg, 1);
    assert_refused(shmring_recv(consumer, buf, sizeof buf), EINPROGRESS, "release them first");
    assert_refused(shmring_recv_batch(consumer, &batch, 1), EINPROGRESS, "release them first");
    cr_assert_eq(shmring_release(consumer, msg), 0);
    assert_receives(2, 10);
    assert_receives(3, 20);
}

Test(spsc, as_many_can_be_held_as_there_are, .init = open_both, .fini = close_both)
{
    const void *msgs[CAPACITY / 8];
    uint32_t many = 0;

    while (send_number(many, many % 40) == 0)
        many++;
    cr_assert_gt(many, 100);
    for (uint32_t i = 0; i < many; i++)
        assert_peeks(i, i % 40, &msgs[i], 1);
    cr_assert_eq(shmring_peek(consumer, &msgs[0], NULL), -EAGAIN);
    for (uint32_t i = 0; i < many; i++) {
        cr_assert(message_is(i, msgs[i], i % 40));
        cr_assert_eq(shmring_release(consumer, msgs[i]), 0);
    }
    cr_assert_eq(shmring_release(consumer, msgs[0]), -EINVAL);
}

/* ---- Taken and not released ------------------------------------------------------------------ */

static void next_consumer(void)
{
    shmring_close(&consumer);
    attach_consumer();
}

Test(spsc, what_was_held_at_close_comes_again_flagged, .init = open_both, .fini = close_both)
{
    const void *msgs[4];

    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(send_number(i, 10 + i), 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_peeks(i, 10 + i, &msgs[i], 1);
    cr_assert_eq(shmring_release(consumer, msgs[0]), 0);
    next_consumer();
    for (uint32_t i = 1; i < 4; i++)
        assert_peeks(i, 10 + i, &msgs[i], 2);
    assert_peeks(4, 14, &msgs[0], 1);
}

static int take_nothing_and_die(void *unused)
{
    (void)unused;
    child_assert(shmring_dup(&consumer, producer, SHMRING_CONSUMER) == 0);
    return 0;
}

/* The consumer may have died in the middle of a receive. */
Test(spsc, what_the_dead_may_have_seen_comes_flagged, .init = open_both, .fini = close_both)
{
    const void *msgs[3];

    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(send_number(i, 10 + i), 0);
    shmring_close(&consumer);
    cr_assert_eq(test_run(take_nothing_and_die, NULL), 0);
    attach_consumer();
    assert_peeks(0, 10, &msgs[0], 2);
    for (uint32_t i = 1; i < 3; i++)
        assert_peeks(i, 10 + i, &msgs[i], 1);
}

Test(spsc, deliveries_are_counted, .init = open_both, .fini = close_both)
{
    const void *msg;

    cr_assert_eq(send_number(1, 10), 0);
    cr_assert_eq(send_number(2, 20), 0);
    for (uint32_t i = 1; i <= 5; i++) {
        assert_peeks(1, 10, &msg, i);
        next_consumer();
    }
    assert_peeks(1, 10, &msg, 6);
    cr_assert_eq(shmring_release(consumer, msg), 0);
    assert_peeks(2, 20, &msg, 1);
    cr_assert_eq(shmring_release(consumer, msg), 0);
    /* The count starts from 0 again for another message. */
    cr_assert_eq(send_number(3, 30), 0);
    assert_peeks(3, 30, &msg, 1);
    next_consumer();
    assert_peeks(3, 30, &msg, 2);
}

Test(spsc, a_consumer_that_takes_nothing_forgets_nothing, .init = open_both, .fini = close_both)
{
    const void *msg;

    cr_assert_eq(send_number(1, 10), 0);
    assert_peeks(1, 10, &msg, 1);
    next_consumer();
    next_consumer();
    assert_peeks(1, 10, &msg, 2);
}

Test(spsc, what_was_received_or_released_is_gone, .init = open_both, .fini = close_both)
{
    uint8_t bufs[2][100];
    struct iovec batch[] = {{bufs[0], 100}, {bufs[1], 100}};
    const void *msg;

    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(send_number(i, 10 + i), 0);
    assert_receives(0, 10);
    cr_assert_eq(shmring_recv_batch(consumer, batch, 2), 2);
    next_consumer();
    assert_peeks(3, 13, &msg, 1);
    cr_assert_eq(shmring_release(consumer, msg), 0);
    next_consumer();
    assert_peeks(4, 14, &msg, 1);
}

Test(spsc, what_comes_again_can_be_received, .init = open_both, .fini = close_both)
{
    const void *msg;

    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(send_number(i, 10 + i), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_peeks(i, 10 + i, &msg, 1);
    next_consumer();
    for (uint32_t i = 0; i < 3; i++)
        assert_receives(i, 10 + i);
    assert_empty();
    next_consumer();
    assert_empty();
}

/* ---- Batches --------------------------------------------------------------------------------- */

Test(spsc, a_batch_arrives_in_order, .init = open_both, .fini = close_both)
{
    struct iovec batch[20];

    for (uint32_t i = 0; i < 20; i++)
        batch[i] = message(i, i * 7 % 50);
    cr_assert_eq(shmring_send_batch(producer, batch, 20), 20);
    for (uint32_t i = 0; i < 20; i++)
        assert_receives(i, i * 7 % 50);
    assert_empty();
}

/* A long batch of messages that are not short goes into the ring together or one by one: the
 * producer measures which is faster. */
Test(spsc, long_batches_arrive_whole)
{
    enum { N = 40, ROUNDS = 50, MOST = 4000 };
    static uint8_t bufs[N][MOST];
    struct iovec out[N], in[N];

    producer = test_create("memfd:test", SHMRING_PRODUCER, 65536);
    attach_consumer();
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < N; i++) {
            const uint64_t number = round * N + i;
            /* A short message, which ends a run of long ones. */
            out[i] = message(number, number % 29 == 0   ? 20
                                     : number % 97 == 0 ? MOST
                                                        : 1000 + number % 101);
            in[i] = (struct iovec){bufs[i], MOST};
        }
        cr_assert_eq(shmring_send_batch(producer, out, N), N);
        cr_assert_eq(shmring_recv_batch(consumer, in, N), N);
        for (uint64_t i = 0; i < N; i++) {
            cr_assert_eq(in[i].iov_len, out[i].iov_len);
            cr_assert(message_is(round * N + i, bufs[i], in[i].iov_len));
        }
    }
    close_both();
}

Test(spsc, a_batch_has_at_least_one_message, .init = open_both, .fini = close_both)
{
    struct iovec batch = message(0, 1);

    assert_refused(shmring_send_batch(producer, &batch, 0), EINVAL, "at least one");
    assert_refused(shmring_send_batch(producer, &batch, -1), EINVAL, "at least one");
    assert_refused(shmring_recv_batch(consumer, &batch, 0), EINVAL, "at least one");
    assert_refused(shmring_recv_batch(consumer, &batch, INT32_MIN), EINVAL, "at least one");
}

Test(spsc, of_a_batch_is_sent_what_fits, .init = open_both, .fini = close_both)
{
    enum { LEN = 500, N = 20 };
    struct iovec batch[N];

    for (uint32_t i = 0; i < N; i++)
        batch[i] = message(i, LEN);
    cr_assert_eq(shmring_send_batch(producer, batch, N), (int)room_for(LEN));
    cr_assert_eq(shmring_send_batch(producer, batch, N), -EAGAIN);
    for (uint32_t i = 0; i < room_for(LEN); i++)
        assert_receives(i, LEN);
    assert_empty();
}

Test(spsc, a_batch_ends_before_a_message_too_long, .init = open_both, .fini = close_both)
{
    struct iovec batch[] = {message(0, 10), message(1, 20), message(2, LONGEST + 1), message(3, 5)};

    cr_assert_eq(shmring_send_batch(producer, batch, 4), 2);
    assert_receives(0, 10);
    assert_receives(1, 20);
    assert_empty();
    assert_refused(shmring_send_batch(producer, batch + 2, 2), EMSGSIZE, "at most 4080");
    assert_empty();
}

Test(spsc, a_batch_is_received_as_far_as_there_is_one, .init = open_both, .fini = close_both)
{
    static uint8_t bufs[8][100];
    struct iovec batch[8];

    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(send_number(i, i * 10), 0);
    for (int i = 0; i < 8; i++)
        batch[i] = (struct iovec){bufs[i], 100};
    cr_assert_eq(shmring_recv_batch(consumer, batch, 3), 3);
    cr_assert_eq(shmring_recv_batch(consumer, batch + 3, 5), 2);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(batch[i].iov_len, i * 10);
        cr_assert(message_is(i, bufs[i], i * 10));
    }
    for (int i = 5; i < 8; i++)
        cr_assert_eq(batch[i].iov_len, 100, "not a message: left alone");
    cr_assert_eq(shmring_recv_batch(consumer, batch, 8), -EAGAIN);
}

Test(spsc, a_batch_received_ends_where_one_does_not_fit, .init = open_both, .fini = close_both)
{
    uint8_t bufs[3][100];
    struct iovec batch[] = {{bufs[0], 100}, {bufs[1], 19}, {bufs[2], 100}};

    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(send_number(i, 20), 0);
    cr_assert_eq(shmring_recv_batch(consumer, batch, 3), 1);
    cr_assert_eq(batch[0].iov_len, 20);
    cr_assert_eq(batch[1].iov_len, 19);
    cr_assert(message_is(0, bufs[0], 20));
    assert_refused(shmring_recv_batch(consumer, batch + 1, 2), EMSGSIZE, "the buffer has 19 bytes");
    assert_receives(1, 20);
    assert_receives(2, 20);
}

/* ---- Who may do what ------------------------------------------------------------------------- */

static void assert_cannot_send(shmring_t *q, int error, const char *words)
{
    struct iovec batch = message(0, 1);
    void *msg;

    assert_refused(shmring_send(q, "", 1), error, words);
    assert_refused(shmring_send_batch(q, &batch, 1), error, words);
    assert_refused(shmring_send_batch(q, &batch, 0), error, words);
    assert_refused(shmring_reserve(q, 1, &msg), error, words);
    assert_refused(shmring_commit(q, &batch, 1), error, words);
    assert_refused(shmring_cancel(q, &batch), error, words);
}

static void assert_cannot_receive(shmring_t *q, int error, const char *words)
{
    char buf[1];
    struct iovec batch = {buf, 1};
    const void *msg;

    assert_refused(shmring_recv(q, buf, 1), error, words);
    assert_refused(shmring_recv_batch(q, &batch, 1), error, words);
    assert_refused(shmring_recv_batch(q, &batch, 0), error, words);
    assert_refused(shmring_peek(q, &msg, NULL), error, words);
    assert_refused(shmring_release(q, buf), error, words);
}

Test(spsc, each_role_has_its_operations, .init = open_both, .fini = close_both)
{
    shmring_t *observer;

    cr_assert_eq(shmring_dup(&observer, producer, SHMRING_OBSERVER), 0);
    assert_cannot_send(consumer, EPERM, "not a producer's");
    assert_cannot_receive(producer, EPERM, "not a consumer's");
    assert_cannot_send(observer, EPERM, "not a producer's");
    assert_cannot_receive(observer, EPERM, "not a consumer's");
    shmring_close(&observer);
}

Test(spsc, a_closed_handle_is_ebadf, .init = open_both, .fini = close_both)
{
    shmring_t *closed = producer;

    shmring_close(&closed);
    cr_assert_null(closed);
    producer = NULL;
    assert_cannot_send(closed, EBADF, "NULL");
    assert_cannot_receive(closed, EBADF, "NULL");
}

static int use_inherited(void *unused)
{
    (void)unused;
    child_assert(shmring_send(producer, "", 1) == -ENOTCONN);
    child_assert(strstr(shmring_strerror_detail(), "shmring_dup"));
    child_assert(shmring_send_batch(producer, NULL, 0) == -ENOTCONN);
    child_assert(shmring_reserve(producer, 1, NULL) == -ENOTCONN);
    child_assert(shmring_commit(producer, NULL, 0) == -ENOTCONN);
    child_assert(shmring_cancel(producer, NULL) == -ENOTCONN);
    child_assert(shmring_recv(consumer, NULL, 0) == -ENOTCONN);
    child_assert(shmring_recv_batch(consumer, NULL, 0) == -ENOTCONN);
    child_assert(shmring_peek(consumer, NULL, NULL) == -ENOTCONN);
    child_assert(shmring_release(consumer, NULL) == -ENOTCONN);
    close_both();
    return 0;
}

Test(spsc, a_parents_handle_is_refused_in_a_child, .init = open_both, .fini = close_both)
{
    cr_assert_eq(test_run(use_inherited, NULL), 0);
    cr_assert_eq(send_number(1, 10), 0);
    assert_receives(1, 10);
}

Test(spsc, one_handle_can_be_both)
{
    shmring_t *q = test_create("memfd:test", SHMRING_PRODUCER | SHMRING_CONSUMER, CAPACITY);
    char buf[CAPACITY];

    for (uint32_t len = 0; len <= LONGEST; len += 17) {
        cr_assert_eq(shmring_send(q, message_content(len), len), 0);
        cr_assert_eq(shmring_recv(q, buf, sizeof buf), len);
        cr_assert(message_is(len, buf, len));
    }
    shmring_close(&q);
}
