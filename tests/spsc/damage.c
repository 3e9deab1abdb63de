/* SPDX-License-Identifier: MIT */
/*
 * Words that no correct participant writes: the handle that finds one reports it and is poisoned
 * for good; no other handle is.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "lib/core/handle.h"
#include "lib/core/rows.h"
#include "messages.h"
#include "spsc_pages.h"
#include "support.h"

enum { CAPACITY = 4096, LEN = 100, RECORD = 104, ROOM = (CAPACITY - 8) / RECORD };
static_assert(ROOM * RECORD + 8 <= CAPACITY, "so many messages fill the ring");

static shmring_t *observer, *producer, *consumer;
static struct pages pages;
static uint8_t *before;

static void setup(void)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = CAPACITY, .max_message = 1000};

    cr_assert_eq(shmring_create(&observer, "memfd:test", &config), 0);
    cr_assert_eq(shmring_dup(&producer, observer, SHMRING_PRODUCER), 0);
    cr_assert_eq(shmring_dup(&consumer, observer, SHMRING_CONSUMER), 0);
    pages_map(&pages, observer);
    before = malloc(pages.segment_size);
    cr_assert_not_null(before);
}

static void teardown(void)
{
    free(before);
    pages_unmap(&pages);
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_close(&observer);
}

static void remember_segment(void)
{
    memcpy(before, pages.segment, pages.segment_size);
}

static void send_numbers(uint64_t first, uint32_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        cr_assert_eq(shmring_send(producer, message_content(i), LEN), 0);
}

static void assert_receives(uint64_t number)
{
    uint8_t buf[LEN];

    cr_assert_eq(shmring_recv(consumer, buf, LEN), LEN);
    cr_assert(message_is(number, buf, LEN));
}

/* The header of the record at that offset: its length + 1. */
static _Atomic uint32_t *header_at(uint32_t offset)
{
    return (_Atomic uint32_t *)(void *)(pages.data + offset % CAPACITY + 4);
}

/* ---- The consumer ---------------------------------------------------------------------------- */

static ssize_t by_recv(void)
{
    uint8_t buf[2000];

    return shmring_recv(consumer, buf, sizeof buf);
}

static ssize_t by_recv_batch(void)
{
    uint8_t buf[2000];
    struct iovec msg = {buf, sizeof buf};

    return shmring_recv_batch(consumer, &msg, 1);
}

static ssize_t by_peek(void)
{
    const void *msg;

    return shmring_peek(consumer, &msg, NULL);
}

static ssize_t by_release(void)
{
    return shmring_release(consumer, pages.data);
}

static ssize_t (*const receiving[])(void) = {by_recv, by_recv_batch, by_peek, by_release};

static void assert_consumer_poisoned(void)
{
    for (int i = 0; i < 4; i++)
        assert_refused(receiving[i](), EBADMSG, "found corrupt before");
    assert_refused(shmring_check(consumer), EBADMSG, "found corrupt before");
}

static void header_poisons(ssize_t (*receive)(void), uint32_t header)
{
    struct shmring_stat st;

    setup();
    send_numbers(0, 3);
    assert_receives(0);
    *header_at(RECORD) = header;
    remember_segment();
    assert_refused(receive(), EBADMSG, "longer than max_message");
    cr_assert_arr_eq(pages.segment, before, pages.segment_size);

    *header_at(RECORD) = LEN + 1;
    assert_consumer_poisoned();

    send_numbers(3, 1);
    cr_assert_eq(shmring_stat(observer, &st), 0);
    cr_assert_eq(st.depth, 3);
    shmring_close(&consumer);
    cr_assert_eq(shmring_dup(&consumer, observer, SHMRING_CONSUMER), 0);
    for (uint64_t i = 1; i < 4; i++)
        assert_receives(i);
    teardown();
}

Test(spsc_damage, a_record_longer_than_any_message)
{
    for (int i = 0; i < 3; i++) {
        header_poisons(receiving[i], 1000 + 2);
        header_poisons(receiving[i], CAPACITY);
        header_poisons(receiving[i], UINT32_MAX);
    }
}

Test(spsc_damage, a_record_as_long_as_a_message_may_be, .init = setup, .fini = teardown)
{
    send_numbers(0, 1);
    *header_at(0) = 1000 + 1;
    cr_assert_eq(by_recv(), 1000, "it cannot be told from a good one");
}

Test(spsc_damage, a_batch_ends_before_the_damage, .init = setup, .fini = teardown)
{
    uint8_t bufs[4][LEN];
    struct iovec batch[4];

    for (int i = 0; i < 4; i++)
        batch[i] = (struct iovec){bufs[i], LEN};
    send_numbers(0, 4);
    *header_at(2 * RECORD) = UINT32_MAX;
    cr_assert_eq(shmring_recv_batch(consumer, batch, 4), 2);
    cr_assert(message_is(1, bufs[1], LEN));
    assert_refused(shmring_recv_batch(consumer, batch, 4), EBADMSG, "longer than max_message");
    assert_consumer_poisoned();
}

Test(spsc_damage, what_a_poisoned_consumer_held_comes_again, .init = setup, .fini = teardown)
{
    const void *msg;
    struct shmring_info info;

    send_numbers(0, 2);
    cr_assert_eq(shmring_peek(consumer, &msg, NULL), LEN);
    *header_at(RECORD) = UINT32_MAX;
    cr_assert_eq(by_peek(), -EBADMSG);
    assert_refused(shmring_release(consumer, msg), EBADMSG, "found corrupt before");
    *header_at(RECORD) = LEN + 1;
    shmring_close(&consumer);
    cr_assert_eq(shmring_dup(&consumer, observer, SHMRING_CONSUMER), 0);
    cr_assert_eq(shmring_peek(consumer, &msg, &info), LEN);
    cr_assert(message_is(0, msg, LEN));
    cr_assert_eq(info.flags, SHMRING_REDELIVERED);
}

/* The consumer holds one or three messages; the header of the first changes to that of another
 * length. */
static void overwrite_held(int held, uint32_t header)
{
    const void *msg[3];

    setup();
    send_numbers(0, 3);
    for (int i = 0; i < held; i++)
        cr_assert_eq(shmring_peek(consumer, &msg[i], NULL), LEN);
    *header_at(0) = header;
    assert_refused(shmring_release(consumer, msg[0]), EBADMSG, "held was overwritten");
    assert_consumer_poisoned();
    teardown();
}

Test(spsc_damage, a_held_message_of_another_length)
{
    static const uint32_t headers[] = {0, 1, LEN - 10, LEN + 20, 3 * RECORD, 1002, UINT32_MAX};

    for (int i = 0; i < 7; i++)
        overwrite_held(1, headers[i]);
    overwrite_held(3, 3 * RECORD - 3); /* as long as all three records together */
    overwrite_held(3, 3 * RECORD + 1);
    overwrite_held(3, UINT32_MAX);
}

Test(spsc_damage, a_handle_with_both_roles_loses_both, .init = setup, .fini = teardown)
{
    shmring_close(&producer);
    shmring_close(&consumer);
    cr_assert_eq(shmring_dup(&producer, observer, SHMRING_PRODUCER | SHMRING_CONSUMER), 0);
    send_numbers(0, 1);
    *header_at(0) = UINT32_MAX;
    cr_assert_eq(shmring_recv(producer, NULL, 0), -EBADMSG);
    assert_refused(shmring_send(producer, "", 1), EBADMSG, "found corrupt before");
}

/* ---- The producer ---------------------------------------------------------------------------- */

static int by_send(void)
{
    return shmring_send(producer, message_content(0), LEN);
}

static int by_send_batch(void)
{
    struct iovec msg = {(void *)(uintptr_t)message_content(0), LEN};

    return shmring_send_batch(producer, &msg, 1);
}

static int by_reserve(void)
{
    void *msg;

    return shmring_reserve(producer, LEN, &msg);
}

static int by_commit(void)
{
    return shmring_commit(producer, pages.data, 0);
}

static int by_cancel(void)
{
    return shmring_cancel(producer, pages.data);
}

static int (*const sending[])(void) = {by_send, by_send_batch, by_reserve, by_commit, by_cancel};

/* The words of the consumer's page that a producer reads. */
static _Atomic uint64_t *position_word(int i)
{
    return i == 0 ? &pages.consumer->head : &pages.consumer->progress[i - 1].position;
}

static void position_poisons(int (*send)(void), int word, uint64_t position)
{
    setup();
    send_numbers(0, ROOM);
    cr_assert_eq(send(), -EAGAIN);
    const uint64_t good = *position_word(word);
    *position_word(word) = position;
    remember_segment();
    assert_refused(send(), EBADMSG, "the consumer's head is not in the ring");
    cr_assert_arr_eq(pages.data, before + (pages.data - pages.segment), CAPACITY);

    *position_word(word) = good;
    for (int i = 0; i < 5; i++)
        assert_refused(sending[i](), EBADMSG, "found corrupt before");
    assert_refused(shmring_check(producer), EBADMSG, "found corrupt before");

    for (uint64_t i = 0; i < ROOM; i++)
        assert_receives(i);
    cr_assert_eq(by_recv(), -EAGAIN);
    shmring_close(&producer);
    cr_assert_eq(shmring_dup(&producer, observer, SHMRING_PRODUCER), 0);
    send_numbers(7, 1);
    assert_receives(7);
    teardown();
}

Test(spsc_damage, a_consumer_ahead_of_the_producer)
{
    static const uint64_t ahead[] = {8, 1, CAPACITY, UINT64_C(1) << 62};

    for (int send = 0; send < 3; send++)
        for (int word = 0; word < 3; word++)
            for (int i = 0; i < 4; i++)
                position_poisons(sending[send], word, ROOM * RECORD + ahead[i]);
}

Test(spsc_damage, a_consumer_that_went_back_is_not_believed, .init = setup, .fini = teardown)
{
    send_numbers(0, ROOM);
    for (uint64_t i = 0; i < ROOM; i++)
        assert_receives(i);
    send_numbers(0, ROOM);
    cr_assert_eq(by_send(), -EAGAIN);
    assert_receives(0);
    for (int word = 0; word < 3; word++)
        *position_word(word) = 0;
    cr_assert_eq(by_send(), -EAGAIN);
    *position_word(0) = UINT64_MAX - CAPACITY;
    cr_assert_eq(by_send(), -EAGAIN);
}

Test(spsc_damage, a_batch_is_sent_before_the_damage_is_met, .init = setup, .fini = teardown)
{
    struct iovec batch[ROOM + 1];

    for (int i = 0; i <= ROOM; i++)
        batch[i] = (struct iovec){(void *)(uintptr_t)message_content((uint64_t)i), LEN};
    pages.consumer->head = 8 * CAPACITY;
    cr_assert_eq(shmring_send_batch(producer, batch, ROOM + 1), ROOM);
    for (uint64_t i = 0; i < ROOM; i++)
        assert_receives(i);
    /* Meanwhile the consumer has overwritten it with its own head. */
    pages.consumer->head = 8 * CAPACITY;
    assert_refused(by_send(), EBADMSG, "the consumer's head is not in the ring");
}

/* ---- Taking a role --------------------------------------------------------------------------- */

static void assert_not_attached(unsigned role, const char *words)
{
    struct shmring_stat st;
    shmring_t *q;

    assert_refused(shmring_dup(&q, observer, role), EBADMSG, words);
    cr_assert_null(q);
    cr_assert_eq(shmring_stat(observer, &st), 0);
    cr_assert_eq(st.participants, 0);
    cr_assert_eq(st.dead, 0);
}

static void leave(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
}

/* Wrong positions, when the other side is at BASE. */
static const uint64_t wrong[] = {1, 4, CAPACITY + 8, UINT64_C(0) - CAPACITY - 8, UINT64_C(1) << 63};

static void no_attaching_at(uint64_t base)
{
    setup();
    leave();
    const struct holdings held = test_holdings();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        pages_start_at(&pages, base);
        for (int j = 0; j < 2; j++)
            pages.producer->progress[j].position = base + wrong[i];
        assert_not_attached(SHMRING_PRODUCER, "producer's page");
        if (wrong[i] % 8 == 0)
            assert_not_attached(SHMRING_CONSUMER, "consumer's page");

        pages_start_at(&pages, base);
        for (int j = 0; j < 2; j++)
            pages.consumer->progress[j].position = base + wrong[i];
        assert_not_attached(SHMRING_CONSUMER, "consumer's page");
        assert_not_attached(SHMRING_PRODUCER, "producer's page");
        assert_not_attached(SHMRING_PRODUCER | SHMRING_CONSUMER, "producer's page");
    }
    assert_holds_no_more_than(&held, 1 << 20);
    pages_start_at(&pages, base);
    cr_assert_eq(shmring_dup(&producer, observer, SHMRING_PRODUCER), 0);
    cr_assert_eq(shmring_dup(&consumer, observer, SHMRING_CONSUMER), 0);
    send_numbers(5, 1);
    assert_receives(5);
    teardown();
}

Test(spsc_damage, positions_that_cannot_be)
{
    static const uint64_t bases[] = {0,
                                     64,
                                     CAPACITY,
                                     UINT64_C(1) << 32,
                                     UINT64_C(1) << 63,
                                     (UINT64_C(1) << 63) - 8,
                                     UINT64_C(0) - 8,
                                     UINT64_C(0) - CAPACITY};

    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++)
        no_attaching_at(bases[i]);
}

/* The producer's last records lie before the consumer's position, and do not end at it. */
Test(spsc_damage, a_producer_behind_the_consumer, .init = setup, .fini = teardown)
{
    leave();
    pages_start_at(&pages, 64);
    for (int i = 0; i < 2; i++)
        pages.producer->progress[i].position = 56;
    assert_not_attached(SHMRING_PRODUCER, "producer's page");
}

/* A program may print the name of another process on a terminal, so the detail must not have its
 * control characters. */
Test(spsc_damage, a_name_that_is_no_word, .init = setup, .fini = teardown)
{
    static const char comm[16] = "\x1b]0;h\nd\xff\x7f\r";
    struct shmr_row *row = shmr_row_at(consumer->map.table, SHMR_ROW_CONSUMER);
    shmring_t *second;

    memcpy((void *)row->comm, comm, sizeof comm);
    row->pid_ns ^= 1;
    assert_refused(
        shmring_dup(&second, observer, SHMRING_CONSUMER), EBUSY,
        "of another pid namespace (?]0;h?d??" /* split, because ??" would be part of a trigraph */
        "?)");
}

Test(spsc_damage, a_damaged_record_after_the_producers_last, .init = setup, .fini = teardown)
{
    send_numbers(0, 2);
    leave();
    *header_at(2 * RECORD) = 1000 + 2;
    assert_not_attached(SHMRING_PRODUCER, "last records is longer than max_message");
    *header_at(2 * RECORD) = 0;
    cr_assert_eq(shmring_dup(&producer, observer, SHMRING_PRODUCER), 0);
}

Test(spsc_damage, records_without_end, .init = setup, .fini = teardown)
{
    send_numbers(0, 2);
    leave();
    for (uint32_t i = 0; i < CAPACITY; i += 8)
        *header_at(i) = 1;
    assert_not_attached(SHMRING_PRODUCER, "last records are longer than the ring");
}

Test(spsc_damage, records_to_the_end_of_the_ring_are_good, .init = setup, .fini = teardown)
{
    struct shmring_stat st;

    leave();
    for (uint32_t i = 0; i < CAPACITY - 8; i += 8)
        *header_at(i) = 1;
    cr_assert_eq(shmring_dup(&producer, observer, SHMRING_PRODUCER), 0);
    cr_assert_eq(shmring_stat(observer, &st), 0);
    cr_assert_eq(st.sent, CAPACITY / 8 - 1);
    cr_assert_eq(shmring_send(producer, NULL, 0), -EAGAIN);
}

Test(spsc_damage, a_damaged_record_next_for_a_consumer, .init = setup, .fini = teardown)
{
    send_numbers(0, 2);
    assert_receives(0);
    leave();
    *header_at(RECORD) = UINT32_MAX;
    assert_not_attached(SHMRING_CONSUMER, "the next record");
    *header_at(RECORD) = LEN + 1;
    cr_assert_eq(shmring_dup(&consumer, observer, SHMRING_CONSUMER), 0);
    assert_receives(1);
}

/* Words that only say which messages may have been seen before: no value of them makes a call
 * fail. */
Test(spsc_damage, marks_of_redelivery_that_cannot_be, .init = setup, .fini = teardown)
{
    static const uint64_t marks[] = {1, CAPACITY + 8, UINT64_MAX, UINT64_C(1) << 63};
    struct shmring_info info;
    const void *msg;

    send_numbers(0, 2);
    assert_receives(0);
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        shmring_close(&consumer);
        pages.consumer->taken = marks[i];
        pages.consumer->redelivered_until = marks[i];
        pages.consumer->redeliveries = UINT64_MAX - i;
        cr_assert_eq(shmring_dup(&consumer, observer, SHMRING_CONSUMER), 0);
        cr_assert_eq(shmring_peek(consumer, &msg, &info), LEN);
        cr_assert_eq(info.deliveries > 1, info.flags == SHMRING_REDELIVERED);
        cr_assert(message_is(1, msg, LEN));
    }
}
