/* SPDX-License-Identifier: MIT */
/* Handles of an mpmc queue: what each may do, with which parameters a program makes and opens a
 * queue, and what handles see of each other. */
#include <config.h>

#include <sys/resource.h>
#include <unistd.h>

#include "pair.h"

/* ---- Roles ----------------------------------------------------------------------------------- */

static void assert_may_not_send(shmring_t *q, int error, const char *words)
{
    struct iovec one = {NULL, 0};
    void *msg;

    assert_refused(shmring_send(q, "x", 1), error, words);
    assert_refused(shmring_send_batch(q, &one, 1), error, words);
    assert_refused(shmring_reserve(q, 1, &msg), error, words);
    assert_refused(shmring_commit(q, NULL, 0), error, words);
    assert_refused(shmring_cancel(q, NULL), error, words);
}

static void assert_may_not_receive(shmring_t *q, int error, const char *words)
{
    struct iovec one = {NULL, 0};
    const void *msg;

    assert_refused(shmring_recv(q, NULL, 0), error, words);
    assert_refused(shmring_recv_batch(q, &one, 1), error, words);
    assert_refused(shmring_peek(q, &msg, NULL), error, words);
    assert_refused(shmring_release(q, NULL), error, words);
}

Test(mpmc_handles, each_role_has_its_operations, .init = open_both, .fini = close_both)
{
    shmring_t *observer = attach(producer, SHMRING_OBSERVER);

    send_numbers(0, 2);
    assert_may_not_send(consumer, EPERM, "SHMRING_PRODUCER");
    assert_may_not_receive(producer, EPERM, "SHMRING_CONSUMER");
    assert_may_not_send(observer, EPERM, "SHMRING_PRODUCER");
    assert_may_not_receive(observer, EPERM, "SHMRING_CONSUMER");
    assert_refused(shmring_recover(observer, NULL), EPERM, "observer");
    assert_receives(0, 10);
    cr_assert_eq(stat_of(observer).depth, 1);
    cr_assert_eq(stat_of(observer).participants, 2);
    shmring_close(&observer);
}

Test(mpmc_handles, a_closed_handle_is_ebadf)
{
    assert_may_not_send(NULL, EBADF, "closed");
    assert_may_not_receive(NULL, EBADF, "closed");
    assert_refused(shmring_recover(NULL, NULL), EBADF, "closed");
}

static int use_parents_handle(void *unused)
{
    shmring_t *mine;
    const void *msg;

    (void)unused;
    child_assert(shmring_send(producer, "x", 1) == -ENOTCONN);
    child_assert(shmring_peek(consumer, &msg, NULL) == -ENOTCONN);
    child_assert(shmring_release(consumer, NULL) == -ENOTCONN);
    child_assert(shmring_recover(consumer, NULL) == -ENOTCONN);
    child_assert(shmring_dup(&mine, consumer, SHMRING_CONSUMER) == 0);
    /* The parent's handle stays attached, with the messages that it holds. */
    shmring_close(&consumer);
    shmring_close(&producer);
    child_assert(shmring_peek(mine, &msg, NULL) == 10 && message_is(1, msg, 10));
    child_assert(shmring_release(mine, msg) == 0);
    child_assert(shmring_recv(mine, NULL, 0) == -EAGAIN);
    shmring_close(&mine);
    return 0;
}

Test(mpmc_handles, a_child_attaches_anew, .init = open_both, .fini = close_both)
{
    send_numbers(0, 2);
    const void *held = peek_number(0, 10, 1);
    cr_assert_eq(test_run(use_parents_handle, NULL), 0);
    cr_assert(message_is(0, held, 10));
    cr_assert_eq(shmring_release(consumer, held), 0);
    assert_empty();
    cr_assert_eq(stat_of(producer).redelivered, 0);
}

Test(mpmc_handles, what_the_table_does_not_hold_is_eusers)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = BOTH,
                                          .capacity = CAPACITY,
                                          .max_message = LONGEST,
                                          .max_participants = 3};
    shmring_t *q, *second, *third, *observer, *none;

    cr_assert_eq(shmring_create(&q, "memfd:test", &config), 0);
    second = attach(q, SHMRING_PRODUCER);
    third = attach(q, SHMRING_CONSUMER);
    const struct holdings before = test_holdings();
    for (int i = 0; i < 10; i++) {
        assert_refused(shmring_dup(&none, q, SHMRING_CONSUMER), EUSERS, "all 3");
        cr_assert_null(none);
    }
    assert_holds_no_more_than(&before, 1 << 20);
    observer = attach(q, SHMRING_OBSERVER); /* takes no row */
    cr_assert_eq(stat_of(observer).participants, 3);
    cr_assert_eq(stat_of(observer).max_participants, 3);
    shmring_close(&second);
    second = attach(q, SHMRING_CONSUMER);
    assert_refused(shmring_dup(&none, q, SHMRING_CONSUMER), EUSERS, "all 3");
    shmring_close(&observer);
    shmring_close(&third);
    shmring_close(&second);
    shmring_close(&q);
}

Test(mpmc_handles, the_largest_table_can_be_filled)
{
    static shmring_t *all[SHMRING_PARTICIPANTS_MAX];
    static struct shmring_participant rows[SHMRING_PARTICIPANTS_MAX];
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = BOTH,
                                          .capacity = CAPACITY,
                                          .max_message = LONGEST,
                                          .max_participants = SHMRING_PARTICIPANTS_MAX};
    struct rlimit files;
    shmring_t *none;
    const void *msg;
    int count = 1;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < SHMRING_PARTICIPANTS_MAX + 100)
        cr_skip_test("too few descriptors");
    cr_assert_eq(shmring_create(&all[0], "memfd:test", &config), 0);
    for (; count < SHMRING_PARTICIPANTS_MAX; count++)
        all[count] = attach(all[0], BOTH);
    assert_refused(shmring_dup(&none, all[0], BOTH), EUSERS, "all 1024");
    /* A descriptor has enough bits for the owner in the highest row. */
    cr_assert_eq(shmring_send(all[count - 1], "x", 1), 0);
    cr_assert_eq(shmring_peek(all[count - 2], &msg, NULL), 1);
    shmring_close(&all[count - 1]);
    cr_assert_eq(shmring_participants(all[0], rows, SHMRING_PARTICIPANTS_MAX), count - 1);
    for (int i = 0; i < count - 1; i++)
        cr_assert_eq(rows[i].held, i == count - 2);
    for (int i = 0; i < count - 1; i++)
        shmring_close(&all[i]);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

#define MPMC_CONFIG(...)                                                                           \
    (&(struct shmring_config){.kind = SHMRING_MPMC, .flags = BOTH, __VA_ARGS__})

Test(mpmc_handles, the_smallest_queue_works)
{
    producer = test_create_mpmc("memfd:test", BOTH, 2, 1);
    consumer = producer;
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(send_number(i, 1), 0);
        if (i % 2)
            assert_fits(producer, 1);
        if (i % 2)
            cr_assert_eq(shmring_recv(consumer, &(char){0}, 1), 1);
        cr_assert_eq(shmring_recv(consumer, &(char){0}, 1), 1);
        assert_empty();
    }
    shmring_close(&producer);
}

Test(mpmc_handles, what_exists_is_opened_only_with_the_same_parameters)
{
    struct shmring_config config = *MPMC_CONFIG(.capacity = 8, .max_message = 100);
    char name[TEST_NAME_SIZE];
    shmring_t *first, *second;

    test_name(name);
    config.flags |= SHMRING_OPEN_OR_CREATE;
    cr_assert_eq(shmring_create(&first, name, &config), 0);
    config.max_participants = 64; /* the same as 0, the default */
    cr_assert_eq(shmring_create(&second, name, &config), 0, "%s", shmring_strerror_detail());
    shmring_close(&second);

    struct shmring_config other = config;
    other.capacity = 16;
    assert_refused(shmring_create(&second, name, &other), EEXIST, "capacity 8, not 16");
    other = config;
    other.max_message = 101;
    assert_refused(shmring_create(&second, name, &other), EEXIST, "max_message 100, not 101");
    other = config;
    other.max_participants = 65;
    assert_refused(shmring_create(&second, name, &other), EEXIST, "max_participants 64, not 65");
    other = config;
    other.flags |= SHMRING_AT_MOST_ONCE;
    assert_refused(shmring_create(&second, name, &other), EEXIST, "without SHMRING_AT_MOST_ONCE");
    other = config;
    other.mode = 0640;
    assert_refused(shmring_create(&second, name, &other), EEXIST, "mode");
    other = config;
    other.kind = SHMRING_SPSC;
    other.capacity = 4096;
    other.max_participants = 0;
    assert_refused(shmring_create(&second, name, &other), EEXIST, "kind");
    cr_assert_eq(stat_of(first).participants, 1);
    shmring_close(&first);
}

Test(mpmc_handles, what_was_committed_after_the_name_went_can_be_received)
{
    char name[TEST_NAME_SIZE];
    void *reserved;

    test_name(name);
    producer = test_create_mpmc(name, SHMRING_PRODUCER, CAPACITY, LONGEST);
    consumer = attach(producer, SHMRING_CONSUMER);
    reserved = reserve_number(1, 10);
    cr_assert_eq(shmring_unlink(name), 0);
    cr_assert_eq(shmring_commit(producer, reserved, 10), 0);
    cr_assert_eq(shmring_check(consumer), -ESTALE);
    cr_assert(stat_of(consumer).flags & SHMRING_STALE);
    assert_receives(1, 10);
    int r, tries = 0;
    while ((r = (int)shmring_recv(consumer, NULL, 0)) == -EAGAIN)
        cr_assert_lt(tries++, 65536);
    cr_assert_eq(r, -ESTALE);
    close_both();
}

/* ---- Observing ------------------------------------------------------------------------------- */

Test(mpmc_handles, the_table_shows_what_each_holds, .init = open_both, .fini = close_both)
{
    struct shmring_participant rows[3];
    shmring_t *observer = attach(producer, SHMRING_OBSERVER);

    cr_assert_eq(shmring_participants(observer, rows, 3), 2);
    cr_assert_eq(rows[0].role, SHMRING_PRODUCER);
    cr_assert_eq(rows[1].role, SHMRING_CONSUMER);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(rows[i].alive, 1);
        cr_assert_eq(rows[i].pid, (uint32_t)getpid());
        cr_assert_eq(rows[i].held, 0);
        cr_assert_eq(rows[i].held_ns, 0);
    }
    send_numbers(0, 3);
    void *reserved = reserve_number(3, 10);
    const void *first = peek_number(0, 10, 1), *second = peek_number(1, 10, 1);
    cr_assert_eq(shmring_participants(observer, rows, 3), 2);
    cr_assert_eq(rows[0].sent, 3);
    cr_assert_eq(rows[0].held, 1);
    cr_assert_eq(rows[1].received, 0);
    cr_assert_eq(rows[1].held, 2);
    cr_assert_gt(rows[0].held_ns, 0);
    cr_assert_gt(rows[1].held_ns, 0);
    cr_assert_eq(shmring_cancel(producer, reserved), 0);
    cr_assert_eq(shmring_release(consumer, first), 0);
    cr_assert_eq(shmring_release(consumer, second), 0);
    cr_assert_eq(shmring_participants(observer, rows, 3), 2);
    cr_assert_eq(rows[1].received, 2);
    cr_assert_eq(rows[0].held + rows[1].held, 0);
    cr_assert_eq(rows[0].held_ns + rows[1].held_ns, 0);
    shmring_close(&observer);
}

Test(mpmc_handles, an_observer_takes_nothing, .init = open_both, .fini = close_both)
{
    shmring_t *observer = attach(producer, SHMRING_OBSERVER);
    const uint64_t block = stat_of(observer).segment_bytes;

    cr_assert_gt(block, CAPACITY * (LONGEST + 24));
    for (uint64_t sent = 1; sent <= 5 * CAPACITY; sent++) {
        cr_assert_eq(send_number(sent, 10), 0);
        for (uint64_t i = 0; i < 3; i++)
            cr_assert_eq(stat_of(observer).depth, 1);
        cr_assert_eq(stat_of(observer).depth_bytes, 128, "100 and 24 bytes, rounded up to 64");
        assert_receives(sent, 10);
        cr_assert_eq(stat_of(observer).depth, 0);
        cr_assert_eq(stat_of(observer).sent, sent);
        cr_assert_eq(stat_of(observer).received, sent);
    }
    shmring_close(&observer);
}
