/* SPDX-License-Identifier: MIT */
/* The judge of the other suites notices whatever a queue could do wrong, and nothing else. */
#include <config.h>

#include <criterion/criterion.h>
#include <string.h>

#include "oracle.h"

enum { LONGEST = 50, NUMBERS = 16 };

static struct oracle *o;
static struct oracle_reader all, some;

/* Two senders have sent ten messages each, and are in the middle of two more. */
static void setup(void)
{
    o = oracle_new(2, NUMBERS);
    cr_assert_not_null(o);
    for (int i = 0; i < 2; i++) {
        oracle_settle(&o->sent[i], 10);
        oracle_begin(&o->sent[i], 12);
    }
    all = oracle_reader(true);
    some = oracle_reader(false);
}

static void teardown(void)
{
    oracle_free(o);
}

TestSuite(oracle, .init = setup, .fini = teardown);

static void expect(enum oracle_verdict verdict, enum oracle_verdict wanted)
{
    cr_assert_eq(verdict, wanted, "'%s' in place of '%s'", oracle_says(verdict),
                 oracle_says(wanted));
}

static void receive(struct oracle_reader *r, uint32_t stream, uint64_t number,
                    enum oracle_verdict wanted)
{
    expect(oracle_receive(o, r, oracle_name(stream, number), false), wanted);
}

static void receive_again(struct oracle_reader *r, uint64_t number, enum oracle_verdict wanted)
{
    expect(oracle_receive(o, r, oracle_name(0, number), true), wanted);
}

static void receive_range(struct oracle_reader *r, uint32_t stream, uint64_t from, uint64_t to)
{
    for (; from < to; from++)
        receive(r, stream, from, ORACLE_RIGHT);
}

/* ---- Messages -------------------------------------------------------------------------------- */

Test(oracle, every_message_is_read_as_it_was_written)
{
    uint8_t bytes[LONGEST];
    uint64_t name;

    for (uint64_t n = 0; n < 1000; n++) {
        const uint32_t length = oracle_length(oracle_name(1, n), LONGEST);
        cr_assert(length >= 8 && length <= LONGEST);
        oracle_write(oracle_name(1, n), bytes, length);
        expect(oracle_read(&name, bytes, length, LONGEST), ORACLE_RIGHT);
        cr_assert(oracle_stream(name) == 1 && oracle_number(name) == n);
    }
}

Test(oracle, a_message_with_one_wrong_bit_is_torn)
{
    uint8_t bytes[LONGEST] = {0};
    uint64_t name;

    expect(oracle_read(&name, bytes, LONGEST, 0), ORACLE_TORN);
    oracle_write(oracle_name(0, 3), bytes, LONGEST);
    for (int bit = 0; bit < 8 * LONGEST; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect(oracle_read(&name, bytes, LONGEST, 0), ORACLE_TORN);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    expect(oracle_read(&name, bytes, LONGEST, 0), ORACLE_RIGHT);
}

Test(oracle, a_message_of_a_wrong_length_is_torn)
{
    uint8_t bytes[LONGEST + 1];
    const uint64_t sent = oracle_name(0, 3);
    const uint32_t length = oracle_length(sent, LONGEST);
    uint64_t name;

    oracle_write(sent, bytes, sizeof bytes);
    for (uint32_t i = 0; i <= LONGEST; i++)
        expect(oracle_read(&name, bytes, i, LONGEST), i == length ? ORACLE_RIGHT : ORACLE_TORN);
}

/* ---- Receivers ------------------------------------------------------------------------------- */

Test(oracle, what_comes_as_it_was_sent_is_right)
{
    uint64_t lost, came;

    receive_range(&all, 0, 0, 11); /* one of the two in doubt */
    receive_range(&all, 1, 0, 10);
    expect(oracle_end(o, &all), ORACLE_RIGHT);
    receive_range(&some, 0, 0, 10);
    receive_range(&some, 1, 0, 12);
    expect(oracle_end_all(o, &lost, &came), ORACLE_RIGHT);
    cr_assert_eq(came, 20, "%d counted, all that were certainly sent", (int)came);
}

Test(oracle, a_message_from_nowhere)
{
    receive(&some, 0, 12, ORACLE_NOWHERE);
    oracle_settle(&o->sent[2], 10); /* there are two streams */
    receive(&some, 2, 0, ORACLE_NOWHERE);
    receive(&all, 0, 12, ORACLE_NOWHERE);
    oracle_settle(&o->sent[0], 20); /* more than it has marks for */
    receive(&some, 0, NUMBERS, ORACLE_NOWHERE);
}

Test(oracle, a_loss)
{
    uint64_t lost, came;

    receive_range(&all, 0, 0, 4);
    receive(&all, 0, 5, ORACLE_EARLY);
    receive_range(&all, 0, 4, 9);
    receive_range(&all, 1, 0, 10);
    expect(oracle_end(o, &all), ORACLE_LOST);
    receive(&all, 0, 9, ORACLE_RIGHT);
    expect(oracle_end(o, &all), ORACLE_RIGHT);

    receive_range(&some, 0, 0, 10);
    receive_range(&some, 1, 0, 4);
    receive_range(&some, 1, 5, 10);
    expect(oracle_end_all(o, &lost, &came), ORACLE_LOST);
    cr_assert_eq(lost, oracle_name(1, 4));
}

Test(oracle, a_repetition)
{
    struct oracle_reader other = oracle_reader(false);

    receive_range(&all, 0, 0, 4);
    receive(&all, 0, 3, ORACLE_TWICE);
    receive(&some, 0, 3, ORACLE_RIGHT);
    receive(&some, 0, 3, ORACLE_TWICE);
    receive(&other, 0, 3, ORACLE_TWICE);
    receive_again(&other, 3, ORACLE_FLAGGED);
    oracle_receiver_may_die(o);
    receive_again(&other, 3, ORACLE_RIGHT);
    receive_again(&other, 3, ORACLE_RIGHT);
    receive(&other, 0, 3, ORACLE_TWICE);
    receive_again(&other, 4, ORACLE_RIGHT); /* one who died had it, and could not say so */
    o->noted = true;
    receive_again(&other, 4, ORACLE_RIGHT);
    receive_again(&other, 5, ORACLE_FLAGGED);
}

Test(oracle, a_flag_where_the_only_receiver_knows_who_had_it)
{
    oracle_receiver_may_die(o);
    all.must_flag = 2;
    all.may_flag = 4;
    receive(&all, 0, 0, ORACLE_TWICE);
    receive_again(&all, 0, ORACLE_RIGHT);
    receive_again(&all, 1, ORACLE_RIGHT);
    receive(&all, 0, 2, ORACLE_RIGHT);
    receive_again(&all, 3, ORACLE_RIGHT);
    receive_again(&all, 4, ORACLE_FLAGGED);
    receive(&all, 0, 4, ORACLE_RIGHT);
}

Test(oracle, another_order)
{
    receive(&some, 0, 5, ORACLE_RIGHT);
    receive(&some, 0, 4, ORACLE_LATE);
    receive(&some, 1, 4, ORACLE_RIGHT);
    oracle_receiver_may_die(o);
    receive_again(&some, 2, ORACLE_RIGHT); /* it has no place in the order */
    receive(&some, 0, 6, ORACLE_RIGHT);
}

Test(oracle, another_order_of_streams)
{
    o->later[0] = 1 << 1;
    receive(&some, 0, 0, ORACLE_RIGHT);
    receive(&some, 1, 0, ORACLE_RIGHT);
    receive(&some, 0, 1, ORACLE_LATE);
    receive(&some, 1, 1, ORACLE_RIGHT);
}

/* ---- Senders that died ----------------------------------------------------------------------- */

Test(oracle, what_a_killed_sender_had_begun_may_be_missing)
{
    uint64_t lost, came;

    oracle_sender_died(o, 0);
    expect(oracle_resume(&o->sent[0], 11), ORACLE_LOST); /* its successor begins at 12 */
    oracle_settle(&o->sent[0], 13);
    receive_range(&all, 0, 0, 10);
    receive(&all, 0, 11, ORACLE_RIGHT);
    receive(&all, 0, 13, ORACLE_NOWHERE);
    receive(&all, 0, 12, ORACLE_RIGHT);
    receive_range(&all, 1, 0, 10);
    expect(oracle_end(o, &all), ORACLE_RIGHT);

    receive_range(&some, 0, 0, 10);
    receive_range(&some, 1, 0, 10);
    expect(oracle_end_all(o, &lost, &came), ORACLE_LOST);
    cr_assert_eq(lost, oracle_name(0, 12));
    receive(&some, 0, 12, ORACLE_RIGHT);
    expect(oracle_end_all(o, &lost, &came), ORACLE_RIGHT);
    cr_assert_eq(came, 21);
}

Test(oracle, where_a_successor_begins)
{
    expect(oracle_resume(&o->sent[0], 9), ORACLE_LOST);
    expect(oracle_resume(&o->sent[0], 13), ORACLE_NOWHERE);
    expect(oracle_resume(&o->sent[0], 12), ORACLE_RIGHT);
    expect(oracle_resume(&o->sent[0], 11), ORACLE_LOST);
    oracle_begin(&o->sent[1], 11); /* it was at 12 */
    oracle_reach(&o->sent[1], 9);  /* ... and at 10 */
    expect(oracle_resume(&o->sent[1], 9), ORACLE_LOST);
    expect(oracle_resume(&o->sent[1], 12), ORACLE_RIGHT);
}

/* ---- Messages that a queue says were missed -------------------------------------------------- */

Test(oracle, as_many_are_missing_as_the_queue_says)
{
    receive_range(&all, 0, 0, 2);
    oracle_missed(&all, 3);
    receive(&all, 0, 6, ORACLE_EARLY);
    receive(&all, 0, 4, ORACLE_RIGHT); /* 2 and 3 */
    receive_range(&all, 0, 5, 10);
    receive_range(&all, 1, 0, 8);
    expect(oracle_end(o, &all), ORACLE_LOST);
    oracle_missed(&all, 1); /* 8 and 9 of the other */
    expect(oracle_end(o, &all), ORACLE_RIGHT);
    oracle_missed(&all, 4); /* the four in doubt */
    expect(oracle_end(o, &all), ORACLE_RIGHT);
    oracle_missed(&all, 1);
    expect(oracle_end(o, &all), ORACLE_MISCOUNTED);
}
