/* SPDX-License-Identifier: MIT */
/*
 * What no correct participant writes into a broadcast queue. The call that meets it returns an
 * error at once, and no call returns a torn message.
 */
#include <config.h>

#include <stdlib.h>

#include "lib/core/handle.h"
#include "lib/core/rows.h"
#include "pages.h"
#include "queue.h"

enum { CHUNK = CAST_RING / 16 };

static shmring_t *producer, *consumer, *observer;
static struct pages pages;

static void setup(void)
{
    producer = cast_create("memfd:test", CAST_RING, 4);
    observer = cast_attach(producer, SHMRING_OBSERVER);
    consumer = cast_attach(producer, SHMRING_CONSUMER);
    pages_map(&pages, producer); /* whose descriptor may write */
}

static void teardown(void)
{
    pages_unmap(&pages);
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_close(&observer);
}

static _Atomic uint32_t *header_at(uint64_t position)
{
    return (_Atomic uint32_t *)(void *)(pages.data + position % CAST_RING + 4);
}

static struct shmr_broadcast_row *row_at(uint32_t row)
{
    return shmr_broadcast_row_at(pages.table, row);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

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

static ssize_t (*const receiving[])(void) = {by_recv, by_recv_batch, by_peek};

/* Put the damage in, and each way to receive says what is wrong, and poisons the handle. */
static void each_way_refuses(uint32_t sent, uint32_t received, void (*damage)(void),
                             const char *words)
{
    for (int i = 0; i < 3; i++) {
        setup();
        cast_send(producer, 0, received);
        cast_receives(consumer, 0, received);
        cast_send(producer, received, sent - received);
        damage();
        assert_refused(receiving[i](), EBADMSG, words);
        assert_refused(receiving[i](), EBADMSG, "found corrupt before");
        teardown();
    }
}

static void too_long(void)
{
    *header_at(3 * CAST_RECORD) = 1016 + 2;
}

static void much_too_long(void)
{
    *header_at(3 * CAST_RECORD) = UINT32_MAX;
}

static void only_a_key(void)
{
    *header_at(3 * CAST_RECORD) = SHMR_BROADCAST_KEY;
}

Test(broadcast_damage, a_header_that_is_garbage)
{
    each_way_refuses(6, 3, too_long, "longer than max_message");
    each_way_refuses(6, 3, much_too_long, "longer than max_message");
    each_way_refuses(6, 3, only_a_key, "longer than max_message");
}

/* A batch ends before the garbage, which the next call reports. */
Test(broadcast_damage, garbage_behind_the_first_message_of_a_batch)
{
    void (*const damages[])(void) = {too_long, much_too_long, only_a_key};
    uint8_t bytes[2][2000];

    for (int i = 0; i < 3; i++) {
        struct iovec batch[] = {{bytes[0], 2000}, {bytes[1], 2000}};
        setup();
        cast_send(producer, 0, 6);
        cast_receives(consumer, 0, 2);
        damages[i]();
        cr_assert_eq(shmring_recv_batch(consumer, batch, 2), 1);
        cr_assert(cast_is(2, bytes[0], CAST_LEN));
        assert_refused(shmring_recv_batch(consumer, batch, 2), EBADMSG, "longer than max_message");
        teardown();
    }
}

/* Nothing is copied for a length that no message has, though the caller's buffer is longer. */
Test(broadcast_damage, a_batch_copies_no_more_than_a_message, .init = setup, .fini = teardown)
{
    static uint8_t bytes[2][CAST_RING], before[CAST_RING];
    struct iovec batch[] = {{bytes[0], CAST_RING}, {bytes[1], CAST_RING}};

    memset(bytes[1], 0xee, CAST_RING);
    memcpy(before, bytes[1], CAST_RING);
    cast_send(producer, 0, 6);
    *header_at(CAST_RECORD) = CAST_RING / 2 + 1;
    cr_assert_eq(shmring_recv_batch(consumer, batch, 2), 1);
    cr_assert_eq(memcmp(bytes[1], before, CAST_RING), 0);
    assert_refused(shmring_recv_batch(consumer, batch, 2), EBADMSG, "longer than max_message");
}

static void crooked_horizon(void)
{
    pages.page->horizon += 8;
}

static void earlier_horizon(void)
{
    pages.page->horizon -= CHUNK;
}

static void no_horizon(void)
{
    pages.page->horizon = 0;
}

Test(broadcast_damage, a_horizon_that_is_crooked_or_goes_back)
{
    each_way_refuses(6, 3, crooked_horizon, "not at the end of a chunk");
    each_way_refuses(6, 5, earlier_horizon, "gone back");
    each_way_refuses(6, 3, no_horizon, "gone back");
    each_way_refuses(6, 6, crooked_horizon, "not at the end of a chunk");
}

/* A consumer that has not seen the horizon yet does not go on behind it. */
static void horizon_at_the_message(void)
{
    pages.page->horizon = CHUNK;
}

Test(broadcast_damage, a_message_behind_the_horizon)
{
    setup();
    shmring_close(&consumer);
    pages.page->horizon = 0;
    consumer = cast_attach(observer, SHMRING_CONSUMER);
    cast_send(producer, 0, 6);
    horizon_at_the_message();
    cast_receives(consumer, 0, 2);
    assert_refused(by_recv(), EBADMSG, "not before the horizon");
    teardown();
}

/* The horizon jumps ahead: the consumer takes itself for lapped, and there is no mark that it could
 * go on with. */
static void far_horizon(void)
{
    pages.page->horizon += 16 * CAST_RING;
}

Test(broadcast_damage, a_horizon_that_jumps_ahead)
{
    each_way_refuses(6, 3, far_horizon, "no mark names a message");
    each_way_refuses(6, 6, far_horizon, "no mark names a message");
}

static void lapped_with_marks(uint64_t position, uint64_t number)
{
    for (uint64_t i = 0; i < SHMR_BROADCAST_CHUNKS; i++) {
        const uint64_t mark = pages.page->mark[i].position;
        pages.page->mark[i].position = position ? position : mark;
        pages.page->mark[i].number = number;
    }
}

static void marks_nowhere(void)
{
    lapped_with_marks(13, 50);
}

static void marks_in_other_chunks(void)
{
    lapped_with_marks(pages.page->horizon - 8, 70);
    pages.page->mark[(pages.page->horizon - 8) % CAST_RING / CHUNK].position = 0;
}

static void marks_that_count_back(void)
{
    lapped_with_marks(0, 1);
}

static void marks_that_do_not_count(void)
{
    lapped_with_marks(0, 3);
}

static void marks_that_count_too_much(void)
{
    lapped_with_marks(0, 1000000);
}

/* Each is whole and in its chunk, but at a multiple of 4 that is none of 8. */
static void marks_that_are_crooked(void)
{
    lapped_with_marks(0, 100);
    for (uint64_t i = 0; i < SHMR_BROADCAST_CHUNKS; i++)
        pages.page->mark[i].position |= 4;
}

Test(broadcast_damage, marks_that_lie)
{
    each_way_refuses(150, 3, marks_nowhere, "no mark names a message");
    each_way_refuses(150, 3, marks_in_other_chunks, "no mark names a message");
    each_way_refuses(150, 3, marks_that_are_crooked, "no mark names a message");
    each_way_refuses(150, 3, marks_that_count_back, "does not fit its position");
    each_way_refuses(150, 3, marks_that_do_not_count, "does not fit its position");
    each_way_refuses(150, 3, marks_that_count_too_much, "does not fit its position");
}

/* A consumer accepts a horizon that is just short of 2^63 ahead of the last one. A mark before that
 * horizon may be more than 2^63 ahead of the consumer: such a position counts as behind it. */
Test(broadcast_damage, a_mark_that_leads_back)
{
    const uint64_t half = UINT64_C(1) << 63;
    uint8_t byte;

    for (int i = 0; i < 3; i++) {
        setup();
        cast_send(producer, 0, (CAST_RING - CHUNK / 2) / CAST_RECORD);
        cr_assert_eq(pages.page->horizon, CAST_RING);
        cr_assert_eq(shmring_recv(consumer, &byte, 1), -EMSGSIZE); /* it has seen the horizon */
        pages.page->horizon += half - CHUNK;
        pages.page->mark[0].position = half + 8;
        pages.page->mark[0].number = 5;
        assert_refused(receiving[i](), EBADMSG, "does not fit its position");
        teardown();
    }
}

Test(broadcast_damage, garbage_where_the_place_is_not_whole_is_only_a_lap)
{
    for (uint32_t header = 0; header < 3; header++)
        for (int i = 0; i < 3; i++) {
            setup();
            cast_send(producer, 0, 5);
            cast_receives(consumer, 0, 3);
            cast_send(producer, 5, 100);
            *header_at(3 * CAST_RECORD) = header == 0 ? 0 : header == 1 ? 1 : UINT32_MAX;
            cr_assert_eq(receiving[i](), -EOVERFLOW);
            cr_assert_eq(receiving[i](), receiving[i] == by_recv_batch ? 1 : CAST_LEN);
            teardown();
        }
}

Test(broadcast_damage, a_held_message_is_not_read_again, .init = setup, .fini = teardown)
{
    const void *msg;

    cast_send(producer, 0, 2);
    cr_assert_eq(shmring_peek(consumer, &msg, NULL), CAST_LEN);
    *header_at(0) = UINT32_MAX;
    cr_assert_eq(shmring_release(consumer, msg), 0);
    cast_receives(consumer, 1, 1);
}

/* ---- The producer ---------------------------------------------------------------------------- */

static bool is_held_up(void)
{
    for (int i = 0; i < 100; i++) {
        const int r = shmring_send(producer, "x", 1);
        cr_assert(r == 0 || r == -EAGAIN, "%d: %s", r, shmring_strerror_detail());
        if (r == -EAGAIN)
            return true;
        for (int j = 0; j < 10; j++) {
            uint8_t bytes[CAST_LEN] = {0};
            (void)shmring_send(producer, bytes, sizeof bytes);
        }
    }
    return false;
}

/* A row whose position no consumer can have does not hold up the producer. A row whose position
 * never moves does. */
Test(broadcast_damage, a_reliable_row_that_lies)
{
    const struct {
        uint64_t position;
        bool holds;
    } cases[] = {{0, true},
                 {8, true},
                 {4, false},
                 {CAST_RECORD * 1000, false},
                 {UINT64_MAX - 7 - 3 * CAST_RING, false},
                 {UINT64_C(1) << 63, false}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setup();
        shmring_close(&consumer);
        consumer = cast_attach(observer, SHMRING_CONSUMER | SHMRING_RELIABLE);
        const uint32_t row = cast_participant(observer, SHMRING_CONSUMER).row;
        row_at(row)->position = cases[i].position;
        cr_assert_eq(is_held_up(), cases[i].holds, "case %zu", i);
        cr_assert_eq(row_at(row)->reliable != 0, cases[i].holds, "struck off");
        teardown();
    }
}

/* If a row without an owner says that it is reliable, the producer strikes it off like that of a
 * dead consumer. */
Test(broadcast_damage, a_reliable_row_without_an_owner, .init = setup, .fini = teardown)
{
    row_at(3)->position = 0;
    row_at(3)->reliable = 77;
    cast_send(producer, 0, 1000 > 30 ? 30 : 0);
    for (uint64_t n = 30; n < 1000; n++) {
        uint8_t bytes[CAST_LEN];
        int r;
        cast_fill(n, bytes, sizeof bytes);
        while ((r = shmring_send(producer, bytes, sizeof bytes)) == -EAGAIN)
            ;
        cr_assert_eq(r, 0);
    }
    cr_assert_eq(row_at(3)->reliable, 0);
}

static void successor_is_refused(const char *words)
{
    shmring_close(&producer);
    assert_refused(shmring_dup(&producer, observer, SHMRING_PRODUCER), EBADMSG, words);
}

Test(broadcast_damage, a_successor_checks_what_it_finds)
{
    setup();
    pages.page->progress[0].position = 12;
    successor_is_refused("not a multiple of 8");
    teardown();

    setup();
    cast_send(producer, 0, 1);
    *header_at(CAST_RECORD) = 1016 + 2;
    successor_is_refused("longer than max_message");
    teardown();

    const struct {
        void (*damage)(void);
    } cases[] = {{crooked_horizon}, {far_horizon}, {no_horizon}};
    for (size_t i = 0; i < 3; i++) {
        setup();
        cast_send(producer, 0, 20);
        cases[i].damage();
        successor_is_refused("horizon does not fit");
        teardown();
    }
}

/* ---- Attaching as a consumer ----------------------------------------------------------------- */

static int attach(unsigned flags)
{
    shmring_t *q;
    int r = shmring_dup(&q, observer, SHMRING_CONSUMER | flags);

    if (r == 0)
        shmring_close(&q);
    return r;
}

Test(broadcast_damage, a_consumer_checks_where_it_starts)
{
    setup();
    cast_send(producer, 0, 5);
    *header_at(5 * CAST_RECORD) = UINT32_MAX;
    assert_refused(attach(0), EBADMSG, "longer than max_message");
    assert_refused(attach(SHMRING_RELIABLE), EBADMSG, "longer than max_message");
    cr_assert_eq(attach(SHMRING_FROM_OLDEST), 0);
    teardown();

    setup();
    cast_send(producer, 0, 5);
    pages.page->progress[0].position = pages.page->progress[1].position = 4;
    assert_refused(attach(0), EBADMSG, "not a multiple of 8");
    teardown();

    setup();
    cast_send(producer, 0, 5);
    pages.page->horizon = 256;
    assert_refused(attach(0), EBADMSG, "behind messages");
    pages.page->horizon = 257;
    assert_refused(attach(0), EBADMSG, "not at the end of a chunk");
    assert_refused(attach(SHMRING_FROM_OLDEST), EBADMSG, "not at the end of a chunk");
    teardown();

    setup();
    cast_send(producer, 0, 5);
    far_horizon();
    assert_refused(attach(0), EBADMSG, "a ring ahead");
    assert_refused(attach(SHMRING_RELIABLE), EBADMSG, "a ring ahead");
    assert_refused(attach(SHMRING_FROM_OLDEST), EBADMSG, "no mark names");
    assert_refused(shmring_skip(consumer), EBADMSG, "a ring ahead");
    teardown();

    setup();
    cast_send(producer, 0, 100);
    lapped_with_marks(12, 0);
    assert_refused(attach(SHMRING_FROM_OLDEST), EBADMSG, "no mark names");
    teardown();

    setup();
    cast_send(producer, 0, 5);
    lapped_with_marks(3 * CHUNK, 3);
    assert_refused(attach(SHMRING_FROM_OLDEST), EBADMSG, "a mark is not behind the horizon");
    teardown();

    setup();
    cr_assert_eq(shmring_send_flags(producer, "k", 1, SHMRING_KEY), 0);
    cr_assert_eq(attach(SHMRING_FROM_KEY), 0);
    pages.page->key[0].position = pages.page->key[1].position = 12;
    assert_refused(attach(SHMRING_FROM_KEY), EBADMSG, "key message");
    pages.page->key[0].position = pages.page->key[1].position = 64;
    assert_refused(attach(SHMRING_FROM_KEY), EBADMSG, "key message");
    pages.page->key[0].position = pages.page->key[1].position = UINT64_C(1) << 62;
    assert_refused(attach(SHMRING_FROM_KEY), EBADMSG, "key message");
    teardown();
}

/* A record ends with a chunk, so the terminator behind it is the first of the next chunk: the
 * horizon was moved past it. */
Test(broadcast_damage, a_horizon_at_the_producers_position)
{
    static const uint8_t bytes[CHUNK - 4];

    setup();
    cr_assert_eq(shmring_send(producer, bytes, sizeof bytes), 0);
    cr_assert_eq(pages.page->horizon, 2 * CHUNK);
    pages.page->horizon = CHUNK;
    assert_refused(attach(0), EBADMSG, "behind messages");
    successor_is_refused("horizon does not fit");
    teardown();
}

static void endless_records(void)
{
    for (uint64_t p = 0; p < CAST_RING; p += 8)
        *header_at(p) = 1;
}

Test(broadcast_damage, records_without_end)
{
    setup();
    cast_send(producer, 0, 1);
    endless_records();
    assert_refused(attach(0), EBADMSG, "behind messages");
    assert_refused(shmring_skip(consumer), EBADMSG, "behind messages");
    successor_is_refused("longer than a quarter");
    teardown();
}

static void last_key_is(uint64_t position, uint32_t header)
{
    *header_at(position) = header;
    pages.page->key[0].position = pages.page->key[1].position = position;
}

/* Each of these has all but one of what the last key message has. */
Test(broadcast_damage, a_last_key_message_that_is_none, .init = setup, .fini = teardown)
{
    const uint32_t good = SHMR_BROADCAST_KEY | 2;

    cr_assert_eq(shmring_send_flags(producer, "k", 1, SHMRING_KEY), 0);
    last_key_is(64, good);
    cr_assert_eq(attach(SHMRING_FROM_KEY), 0);
    last_key_is(68, good);
    assert_refused(attach(SHMRING_FROM_KEY), EBADMSG, "key message");
    last_key_is(64, 2);
    assert_refused(attach(SHMRING_FROM_KEY), EBADMSG, "key message");
    last_key_is(64, SHMR_BROADCAST_KEY | (1016 + 2));
    assert_refused(attach(SHMRING_FROM_KEY), EBADMSG, "key message");
    last_key_is(CHUNK, good);
    assert_refused(attach(SHMRING_FROM_KEY), EBADMSG, "key message");
    last_key_is(64, good);
    crooked_horizon();
    assert_refused(attach(SHMRING_FROM_KEY), EBADMSG, "key message");
}

static void progress_is(uint64_t position, uint64_t messages)
{
    for (int i = 0; i < 2; i++) {
        pages.page->progress[i].position = position;
        pages.page->progress[i].messages = messages;
    }
}

/* A consumer that skips goes to no place before its own, and past no more messages than fit. */
Test(broadcast_damage, a_consumer_checks_where_it_skips_to)
{
    setup();
    cast_send(producer, 0, 20);
    cast_receives(consumer, 0, 20);
    progress_is(0, 0);
    assert_refused(shmring_skip(consumer), EBADMSG, "do not fit this consumer's");
    teardown();

    setup(); /* the position goes back, and the number does not */
    cast_send(producer, 0, 20);
    cast_receives(consumer, 0, 20);
    progress_is(0, 20);
    *header_at(0) = 0;
    assert_refused(shmring_skip(consumer), EBADMSG, "do not fit this consumer's");
    teardown();

    setup(); /* the horizon goes back, and is still ahead of the messages */
    cast_send(producer, 0, 20);
    pages.page->horizon += CHUNK;
    cast_receives(consumer, 0, 20);
    pages.page->horizon -= CHUNK;
    assert_refused(shmring_skip(consumer), EBADMSG, "do not fit this consumer's");
    teardown();

    setup();
    cast_send(producer, 0, 20);
    progress_is(0, 1000000);
    assert_refused(shmring_skip(consumer), EBADMSG, "do not fit this consumer's");
    teardown();

    setup();
    cast_send(producer, 0, 20);
    progress_is(4, 0);
    assert_refused(shmring_skip(consumer), EBADMSG, "not a multiple of 8");
    teardown();
}

/* ---- Dumping --------------------------------------------------------------------------------- */

static int count_one(void *arg, const struct shmring_message *m)
{
    (void)m;
    ++*(int *)arg;
    return 0;
}

static int then_leads_back(void *arg, const struct shmring_message *m)
{
    const uint64_t half = UINT64_C(1) << 63;

    pages.page->horizon = half + CAST_RING;
    pages.page->mark[2].position = half + 2 * CHUNK;
    pages.page->mark[2].number = 5;
    return count_one(arg, m);
}

static void dump_is_refused(int told, int (*each)(void *, const struct shmring_message *),
                            const char *words)
{
    int n = 0;

    assert_refused(shmring_dump(observer, each, &n), EBADMSG, words);
    cr_assert_eq(n, told);
}

Test(broadcast_damage, a_dump_checks_what_it_reads)
{
    void (*const headers[])(void) = {too_long, much_too_long, only_a_key};

    for (size_t i = 0; i < 3; i++) {
        setup();
        cast_send(producer, 0, 6);
        headers[i]();
        dump_is_refused(3, count_one, "a record is longer than max_message");
        teardown();
    }

    setup();
    cast_send(producer, 0, 6);
    pages.page->horizon = CHUNK;
    dump_is_refused(2, count_one, "not before the horizon");
    teardown();

    setup();
    cast_send(producer, 0, 6);
    far_horizon();
    dump_is_refused(0, count_one, "no mark names a message");
    teardown();

    setup();
    cast_send(producer, 0, 6);
    dump_is_refused(1, then_leads_back, "marks have gone back");
    teardown();
}

/* ---- Random damage --------------------------------------------------------------------------- */

static int count(void *arg, const struct shmring_message *m)
{
    (void)m;
    return ++*(int *)arg > 1000000;
}

/* Any words anywhere: every call returns, and none returns what it may not. */
Test(broadcast_damage, any_words_at_all)
{
    uint64_t random = 88172645463325252;
    uint8_t bytes[1024];

    for (int round = 0; round < 3000; round++) {
        setup();
        shmring_t *reliable = cast_attach(observer, SHMRING_CONSUMER | SHMRING_RELIABLE);
        cast_send(producer, 0, 10 + (uint32_t)round % 25);
        for (int step = 0; step < 8; step++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            const uint64_t where = random >> 8;
            uint64_t *words[] = {(uint64_t *)(void *)pages.page + where % 64,
                                 (uint64_t *)(void *)row_at(1) + where % 16,
                                 (uint64_t *)(void *)row_at(2) + where % 16,
                                 (uint64_t *)(void *)pages.data + where % (CAST_RING / 8)};
            const uint64_t values[] = {0, random, random & 0xff8, UINT64_MAX,
                                       4096 + (random & 0xff00)};
            *words[random % 4] = values[random / 4 % 5];

            shmring_t *const readers[] = {consumer, reliable};
            const void *msg;
            struct shmring_stat st;
            struct shmring_participant rows[8];
            int n = 0;
            for (int i = 0; i < 2; i++) {
                const ssize_t r = shmring_recv(readers[i], bytes, sizeof bytes);
                cr_assert(r <= 1016 &&
                          (r >= 0 || r == -EAGAIN || r == -EOVERFLOW || r == -EBADMSG));
                const ssize_t p = shmring_peek(readers[i], &msg, NULL);
                if (p >= 0)
                    (void)shmring_release(readers[i], msg);
                (void)shmring_skip(readers[i]);
            }
            (void)shmring_send(producer, bytes, 8 + random % 500);
            cr_assert_eq(shmring_stat(observer, &st), 0);
            cr_assert_geq(shmring_participants(observer, rows, 8), 0);
            (void)shmring_dump(observer, count, &n);
            (void)attach(SHMRING_FROM_OLDEST);
            (void)attach(SHMRING_FROM_KEY | SHMRING_RELIABLE);
        }
        shmring_close(&reliable);
        teardown();
    }
}
