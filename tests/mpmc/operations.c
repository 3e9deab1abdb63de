/* SPDX-License-Identifier: MIT */
/* Every operation on an mpmc queue, and every result that shmring.h promises. handles.c tests
 * which handle may make a call, and wrong parameters. */
#include <config.h>

#include "pair.h"

/* ---- Sending and receiving ------------------------------------------------------------------- */

Test(mpmc, every_length_arrives, .init = open_both, .fini = close_both)
{
    for (uint32_t len = 0; len <= LONGEST; len++) {
        cr_assert_eq(send_number(len, len), 0);
        assert_receives(len, len);
    }
    assert_empty();
}

Test(mpmc, one_byte_too_long_is_refused, .init = open_both, .fini = close_both)
{
    void *msg = producer;

    assert_refused(shmring_send(producer, NULL, LONGEST + 1), EMSGSIZE, "at most 100");
    assert_refused(shmring_reserve(producer, LONGEST + 1, &msg), EMSGSIZE, "at most 100");
    assert_refused(shmring_send(producer, NULL, SIZE_MAX), EMSGSIZE, "at most 100");
    /* cut off to 32 bits, this length would be correct */
    assert_refused(shmring_send(producer, NULL, (size_t)1 << 32), EMSGSIZE, "at most 100");
    cr_assert_eq(msg, producer, "the place for the reservation was written to");
    assert_empty();
    assert_fits(producer, CAPACITY);
}

Test(mpmc, a_message_too_long_for_the_buffer_stays, .init = open_both, .fini = close_both)
{
    uint8_t buf[LONGEST];
    struct iovec one = {buf, 9};

    send_numbers(0, 2);
    for (int i = 0; i < 3; i++) {
        assert_refused(shmring_recv(consumer, buf, 9), EMSGSIZE, "9 bytes");
        assert_refused(shmring_recv_batch(consumer, &one, 1), EMSGSIZE, "9 bytes");
    }
    cr_assert_eq(stat_of(consumer).depth, 2);
    assert_receives(0, 10);
    const void *msg = peek_number(1, 10, 1); /* the failed receive does not count as a delivery */
    cr_assert_eq(shmring_release(consumer, msg), 0);
    assert_empty();
}

Test(mpmc, first_in_first_out_with_any_producer)
{
    shmring_t *handles[4], *q = test_create_mpmc("memfd:test", BOTH, CAPACITY, LONGEST);
    uint64_t sent = 0, received = 0, number;

    for (int i = 0; i < 4; i++)
        handles[i] = attach(q, BOTH);
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < round % 10; i++) {
            int r = shmring_send(handles[(round * 3 + i) % 4], &sent, sizeof sent);
            cr_assert_eq(r, sent - received == CAPACITY ? -EAGAIN : 0);
            sent += r == 0;
        }
        for (int i = 0; i < round % 7; i++) {
            ssize_t n = shmring_recv(handles[(round + i) % 4], &number, sizeof number);
            cr_assert_eq(n, sent == received ? -EAGAIN : (ssize_t)sizeof number);
            if (n > 0)
                cr_assert_eq(number, received++);
        }
    }
    for (int i = 0; i < 4; i++)
        shmring_close(&handles[i]);
    shmring_close(&q);
}

/* The queue takes exactly `capacity` messages, at every position of the ring. */
Test(mpmc, full_is_exact_for_every_capacity)
{
    for (uint64_t capacity = 2; capacity <= 64; capacity *= 2) {
        producer = test_create_mpmc("memfd:test", BOTH, capacity, 1);
        for (uint64_t start = 0; start <= capacity; start++) {
            assert_fits(producer, capacity);
            cr_assert_eq(stat_of(producer).depth, capacity);
            for (uint64_t i = 0; i < capacity; i++)
                cr_assert_eq(shmring_recv(producer, &(char){0}, 1), 1);
            cr_assert_eq(shmring_recv(producer, &(char){0}, 1), -EAGAIN);
            cr_assert_eq(shmring_send(producer, "x", 1), 0);
            cr_assert_eq(shmring_recv(producer, &(char){0}, 1), 1);
        }
        shmring_close(&producer);
    }
}

/* Held messages take room, wherever their blocks are. A send finds each of the other blocks,
 * however many blocks it must examine. */
Test(mpmc, every_block_that_is_free_is_found)
{
    enum { BLOCKS = 1024, EACH = 64 };
    const void *held[EACH];
    shmring_t *others[BLOCKS / EACH];

    producer = test_create_mpmc("memfd:test", BOTH, BLOCKS, 1);
    assert_fits(producer, BLOCKS);
    for (int i = 0; i < BLOCKS / EACH; i++) {
        others[i] = attach(producer, SHMRING_CONSUMER);
        for (int j = 0; j < EACH; j++)
            cr_assert_eq(shmring_peek(others[i], &held[j], NULL), 1);
        if (i == 11) /* one block is free, between blocks that are held */
            cr_assert_eq(shmring_release(others[i], held[17]), 0);
    }
    int tries = 0;
    while (shmring_send(producer, "x", 1) == -EAGAIN)
        cr_assert_lt(tries++, BLOCKS);
    for (tries = 0; tries < BLOCKS; tries++)
        cr_assert_eq(shmring_send(producer, "x", 1), -EAGAIN);
    for (int i = 0; i < BLOCKS / EACH; i++)
        shmring_close(&others[i]);
    shmring_close(&producer);
}

Test(mpmc, nothing_to_receive_is_eagain, .init = open_both, .fini = close_both)
{
    struct iovec one = {NULL, 0};
    const void *msg;

    assert_empty();
    cr_assert_eq(shmring_recv_batch(consumer, &one, 1), -EAGAIN);
    cr_assert_eq(shmring_peek(consumer, &msg, NULL), -EAGAIN);
    assert_fits(producer, CAPACITY);
    cr_assert_eq(shmring_send_batch(producer, &one, 1), -EAGAIN);
    cr_assert_eq(shmring_reserve(producer, 1, &(void *){NULL}), -EAGAIN);
}

Test(mpmc, full_and_empty_are_counted_once_after_a_success, .init = open_both, .fini = close_both)
{
    struct shmring_stat st;

    assert_empty();
    for (int i = 0; i < 3; i++) {
        assert_fits(producer, CAPACITY);
        cr_assert_eq(shmring_send(producer, "x", 1), -EAGAIN);
        for (int j = 0; j < CAPACITY; j++)
            cr_assert_eq(shmring_recv(consumer, &(char){0}, 1), 1);
        assert_empty();
        assert_empty();
    }
    st = stat_of(consumer);
    cr_assert_eq(st.full_events, 3);
    cr_assert_eq(st.empty_events, 3);
    cr_assert_eq(st.sent, 3 * CAPACITY);
    cr_assert_eq(st.received, 3 * CAPACITY);
    cr_assert_eq(st.sent_bytes, 3 * CAPACITY);
    cr_assert_eq(st.received_bytes, 3 * CAPACITY);
}

/* ---- Reservations ---------------------------------------------------------------------------- */

Test(mpmc, reservations_are_seen_in_the_order_of_their_commits, .init = open_both,
     .fini = close_both)
{
    static const int order[] = {2, 0, 3, 1};
    void *reserved[4];

    for (uint64_t i = 0; i < 4; i++)
        reserved[i] = reserve_number(i, 50);
    assert_empty();
    cr_assert_eq(stat_of(consumer).depth, 0);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(shmring_commit(producer, reserved[order[i]], 50), 0);
    for (int i = 0; i < 4; i++)
        assert_receives((uint64_t)order[i], 50);
    assert_empty();
}

Test(mpmc, others_send_while_a_reservation_is_open, .init = open_both, .fini = close_both)
{
    void *reserved = reserve_number(0, 50);

    /* 99 laps while the reservation is open, from the same handle. */
    for (uint64_t i = 1; i < 100; i++) {
        cr_assert_eq(send_number(i, 10), 0);
        assert_receives(i, 10);
    }
    assert_fits(producer, CAPACITY - 1);
    assert_refused(shmring_commit(producer, reserved, 51), EMSGSIZE, "at most 50");
    cr_assert_eq(shmring_commit(producer, reserved, 7), 0);
    for (int i = 0; i < CAPACITY - 1; i++)
        cr_assert_eq(shmring_recv(consumer, &(char){0}, 1), 1);
    assert_receives(0, 7);
    assert_empty();
}

Test(mpmc, only_what_is_reserved_is_committed_or_cancelled, .init = open_both, .fini = close_both)
{
    void *first = reserve_number(0, 10), *second = reserve_number(1, 10);
    char elsewhere;

    for (int i = 0; i < 2; i++) {
        assert_refused(shmring_commit(producer, &elsewhere, 1), EINVAL, "reservation");
        assert_refused(shmring_commit(producer, NULL, 1), EINVAL, "reservation");
        assert_refused(shmring_commit(producer, (char *)second + 1, 1), EINVAL, "reservation");
        assert_refused(shmring_cancel(producer, &elsewhere), EINVAL, "reservation");
        if (i == 0)
            cr_assert_eq(shmring_commit(producer, first, 10), 0);
        assert_refused(shmring_commit(producer, first, 10), EINVAL, "reservation");
        assert_refused(shmring_cancel(producer, first), EINVAL, "reservation");
    }
    cr_assert_eq(shmring_cancel(producer, second), 0);
    assert_refused(shmring_commit(producer, second, 10), EINVAL, "reservation");
    assert_refused(shmring_cancel(producer, second), EINVAL, "reservation");
    assert_receives(0, 10);
    assert_empty();
}

Test(mpmc, what_is_cancelled_leaves_nothing, .init = open_both, .fini = close_both)
{
    for (int round = 0; round < 3 * CAPACITY; round++) {
        void *reserved[CAPACITY];
        for (uint64_t i = 0; i < CAPACITY; i++)
            reserved[i] = reserve_number(i, LONGEST);
        cr_assert_eq(shmring_send(producer, "x", 1), -EAGAIN);
        for (int i = 0; i < CAPACITY; i++)
            cr_assert_eq(shmring_cancel(producer, reserved[(i * 3 + round) % CAPACITY]), 0);
        assert_empty();
        send_numbers(0, 1);
        assert_receives(0, 10);
    }
    assert_fits(producer, CAPACITY);
}

Test(mpmc, so_many_can_be_reserved_and_no_more)
{
    void *reserved[SHMRING_RESERVED_MAX], *another;

    producer = test_create_mpmc("memfd:test", BOTH, 4 * SHMRING_RESERVED_MAX, LONGEST);
    consumer = producer;
    for (uint64_t i = 0; i < SHMRING_RESERVED_MAX; i++)
        reserved[i] = reserve_number(i, 10);
    assert_refused(shmring_reserve(producer, 1, &another), ENOBUFS, "64 reservations");
    for (int i = 0; i < SHMRING_RESERVED_MAX; i++)
        cr_assert_eq(shmring_commit(producer, reserved[i], 10), 0);
    cr_assert_eq(shmring_reserve(producer, 1, &another), 0);
    shmring_close(&producer);
}

/* ---- Held messages --------------------------------------------------------------------------- */

Test(mpmc, as_many_can_be_held_as_there_are)
{
    enum { MANY = 1024 };
    const void *held[MANY], *more;

    producer = test_create_mpmc("memfd:test", BOTH, MANY, LONGEST);
    consumer = producer;
    for (uint64_t lap = 0; lap < 3; lap++) {
        send_numbers(lap * MANY, MANY);
        for (uint64_t i = 0; i < MANY; i++)
            held[i] = peek_number(lap * MANY + i, 10, 1);
        cr_assert_eq(shmring_peek(consumer, &more, NULL), -EAGAIN);
        for (uint64_t i = 0; i < MANY; i++)
            cr_assert_eq(shmring_release(consumer, held[(i * 7 + lap) % MANY]), 0);
    }
    assert_fits(producer, MANY);
    shmring_close(&producer);
}

static uint64_t peek_position(shmring_t *q, uint32_t deliveries)
{
    struct shmring_info info;
    const void *msg;

    cr_assert_eq(shmring_peek(q, &msg, &info), 10);
    cr_assert_eq(info.deliveries, deliveries);
    return info.position;
}

/* A message keeps its position, also when other messages were delivered meanwhile, and whichever
 * consumer had it. */
Test(mpmc, a_message_keeps_its_position_when_it_is_delivered_again, .init = open_both,
     .fini = close_both)
{
    send_numbers(0, 3);
    assert_receives(0, 10);
    for (uint32_t times = 1; times <= 3; times++) {
        cr_assert_eq(peek_position(consumer, times), 1);
        shmring_close(&consumer);
        consumer = attach(producer, SHMRING_CONSUMER);
        if (times == 1)
            assert_receives(2, 10);
        send_numbers(100 + times, 1);
        if (times > 1)
            assert_receives(100 + times - 1, 10);
    }
    cr_assert_eq(peek_position(consumer, 4), 1);
    /* The redeliveries took the positions 3, 5 and 7. */
    cr_assert_eq(peek_position(consumer, 1), 8);
}

Test(mpmc, messages_are_released_in_any_order_and_once, .init = open_both, .fini = close_both)
{
    static const int order[] = {2, 0, 3, 1};
    const void *held[4];
    char elsewhere;

    send_numbers(0, 4);
    for (uint64_t i = 0; i < 4; i++)
        held[i] = peek_number(i, 10, 1);
    assert_refused(shmring_release(consumer, &elsewhere), EINVAL, "not a message held");
    assert_refused(shmring_release(consumer, NULL), EINVAL, "not a message held");
    assert_refused(shmring_release(consumer, (const char *)held[0] + 1), EINVAL,
                   "not a message held");
    for (int i = 0; i < 4; i++) {
        cr_assert(message_is((uint64_t)order[i], held[order[i]], 10));
        cr_assert_eq(shmring_release(consumer, held[order[i]]), 0);
        assert_refused(shmring_release(consumer, held[order[i]]), EINVAL, "not a message held");
        cr_assert_eq(stat_of(consumer).received, (uint64_t)i + 1);
    }
    assert_fits(producer, CAPACITY);
}

/* A second release does nothing to the block when another consumer has it. */
Test(mpmc, a_message_of_another_handle_is_not_released, .init = open_both, .fini = close_both)
{
    shmring_t *other = attach(producer, SHMRING_CONSUMER);
    const void *mine, *theirs;

    send_numbers(0, 1);
    mine = peek_number(0, 10, 1);
    cr_assert_eq(shmring_release(consumer, mine), 0);
    for (uint64_t i = 1; i <= CAPACITY; i++) { /* one lap: the same block is used again */
        cr_assert_eq(send_number(i, 10), 0);
        cr_assert_eq(shmring_peek(other, &theirs, NULL), 10);
        assert_refused(shmring_release(consumer, mine), EINVAL, "not a message held");
        cr_assert_eq(send_number(i, 10), 0);
        cr_assert(message_is(i, theirs, 10));
        cr_assert_eq(shmring_release(other, theirs), 0);
        assert_receives(i, 10);
    }
    shmring_close(&other);
}

Test(mpmc, what_is_held_is_not_overwritten, .init = open_both, .fini = close_both)
{
    send_numbers(0, 3);
    const void *held = peek_number(0, 10, 1);
    assert_receives(1, 10); /* while a message is held, other messages can be received */
    assert_receives(2, 10);
    for (uint64_t i = 3; i < 200; i++) {
        cr_assert_eq(send_number(i, LONGEST), 0);
        assert_receives(i, LONGEST);
    }
    assert_fits(producer, CAPACITY - 1);
    cr_assert(message_is(0, held, 10));
    cr_assert_eq(shmring_release(consumer, held), 0);
    assert_fits(producer, 1);
}

Test(mpmc, the_info_may_be_left_out, .init = open_both, .fini = close_both)
{
    const void *msg;

    send_numbers(0, 1);
    cr_assert_eq(shmring_peek(consumer, &msg, NULL), 10);
    cr_assert_eq(shmring_release(consumer, msg), 0);
}

Test(mpmc, what_was_held_at_close_comes_again_last_and_flagged, .init = open_both,
     .fini = close_both)
{
    send_numbers(0, 3);
    for (uint32_t deliveries = 1; deliveries < 6; deliveries++) {
        (void)peek_number((deliveries - 1) % 3, 10, deliveries <= 3 ? 1 : 2);
        shmring_close(&consumer);
        consumer = attach(producer, SHMRING_CONSUMER);
    }
    cr_assert_eq(stat_of(consumer).redelivered, 5);
    cr_assert_eq(stat_of(consumer).takeovers, 0, "no participant died");
    (void)peek_number(2, 10, 2);
    (void)peek_number(0, 10, 3);
    (void)peek_number(1, 10, 3);
    assert_empty();
}

Test(mpmc, close_cancels_reservations, .init = open_both, .fini = close_both)
{
    shmring_t *other = attach(producer, SHMRING_PRODUCER);
    void *msg;

    for (int i = 0; i < CAPACITY; i++)
        cr_assert_eq(shmring_reserve(other, LONGEST, &msg), 0);
    shmring_close(&other);
    assert_empty();
    assert_fits(producer, CAPACITY);
}

Test(mpmc, at_most_once_what_was_held_at_close_is_dropped)
{
    producer =
        test_create_mpmc("memfd:test", SHMRING_PRODUCER | SHMRING_AT_MOST_ONCE, CAPACITY, LONGEST);
    consumer = attach(producer, SHMRING_CONSUMER);
    send_numbers(0, 3);
    (void)peek_number(0, 10, 1);
    (void)peek_number(1, 10, 1);
    shmring_close(&consumer);
    consumer = attach(producer, SHMRING_CONSUMER);
    cr_assert_eq(stat_of(consumer).dropped, 2);
    cr_assert_eq(stat_of(consumer).redelivered, 0);
    assert_receives(2, 10);
    assert_empty();
    assert_fits(producer, CAPACITY);
    close_both();
}

/* ---- Batches --------------------------------------------------------------------------------- */

Test(mpmc, a_batch_arrives_in_order, .init = open_both, .fini = close_both)
{
    uint8_t bufs[CAPACITY + 2][LONGEST];
    struct iovec out[CAPACITY + 2], in[CAPACITY + 2];

    for (uint64_t round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < CAPACITY + 2; i++) {
            out[i] = (struct iovec){(void *)(uintptr_t)message_content(i), i};
            in[i] = (struct iovec){bufs[i], LONGEST};
        }
        cr_assert_eq(shmring_send_batch(producer, out, CAPACITY + 2), CAPACITY);
        cr_assert_eq(shmring_send_batch(producer, out, 1), -EAGAIN);
        cr_assert_eq(shmring_recv_batch(consumer, in, 3), 3);
        cr_assert_eq(shmring_recv_batch(consumer, in + 3, CAPACITY - 1), CAPACITY - 3);
        for (uint64_t i = 0; i < CAPACITY; i++) {
            cr_assert_eq(in[i].iov_len, i);
            cr_assert(message_is(i, bufs[i], i));
        }
    }
    cr_assert_eq(stat_of(producer).received, 20 * CAPACITY);
}

Test(mpmc, a_batch_ends_where_a_message_does_not_fit, .init = open_both, .fini = close_both)
{
    uint8_t content[LONGEST + 1] = {0};
    struct iovec out[3] = {{content, 5}, {content, LONGEST + 1}, {content, 5}};
    struct iovec in[3] = {{content, 10}, {content, 9}, {content, 10}};

    cr_assert_eq(shmring_send_batch(producer, out, 3), 1);
    assert_refused(shmring_send_batch(producer, out + 1, 2), EMSGSIZE, "at most 100");
    assert_refused(shmring_send_batch(producer, out, 0), EINVAL, "at least one");
    assert_refused(shmring_recv_batch(consumer, in, 0), EINVAL, "at least one");
    assert_refused(shmring_recv_batch(consumer, in, -1), EINVAL, "at least one");
    cr_assert_eq(shmring_recv(consumer, content, 5), 5);
    send_numbers(0, 3);
    cr_assert_eq(shmring_recv_batch(consumer, in, 3), 1);
    assert_refused(shmring_recv_batch(consumer, in + 1, 2), EMSGSIZE, "9 bytes");
    assert_receives(1, 10);
    assert_receives(2, 10);
    assert_empty();
}
