/* SPDX-License-Identifier: MIT */
/* What a killed participant of an mpmc queue held can be used again, whichever participant recovers
 * it. */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "messages.h"
#include "oracle.h"
#include "support.h"

enum { CAPACITY = 16, LONGEST = 100, LENGTH = 20 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static shmring_t *q;

static void open_queue(void)
{
    q = test_create_mpmc("memfd:test", BOTH, CAPACITY, LONGEST);
}

static void close_queue(void)
{
    shmring_close(&q);
}

static void send_numbers(uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++)
        cr_assert_eq(shmring_send(q, message_content(i), LENGTH), 0);
}

static void assert_next(uint64_t number, uint32_t deliveries)
{
    struct shmring_info info;
    const void *msg;

    cr_assert_eq(shmring_peek(q, &msg, &info), LENGTH);
    cr_assert(message_is(number, msg, LENGTH), "not message %d", (int)number);
    cr_assert_eq(info.deliveries, deliveries, "%u deliveries", info.deliveries);
    cr_assert_eq(info.flags, deliveries > 1 ? SHMRING_REDELIVERED : 0);
    cr_assert_eq(shmring_release(q, msg), 0);
}

static void assert_empty(void)
{
    cr_assert_eq(shmring_recv(q, NULL, 0), -EAGAIN);
}

static void assert_all_blocks_are_free(void)
{
    for (int i = 0; i <= CAPACITY; i++)
        cr_assert_eq(shmring_send(q, "x", 1), i < CAPACITY ? 0 : -EAGAIN, "%d fit", i);
}

static struct shmring_stat stat_now(void)
{
    struct shmring_stat st;

    cr_assert_eq(shmring_stat(q, &st), 0);
    return st;
}

/* ---- A participant that holds messages ------------------------------------------------------- */

struct holder {
    int taken, reserved; /* how many messages it takes, and how many places it reserves */
    int holds[2];        /* a pipe by which it tells that it holds them */
    int (*then)(shmring_t *);
};

static int hold(void *argument)
{
    struct holder *holder = argument;
    const void *msg;
    shmring_t *mine;
    void *block;

    prctl(PR_SET_NAME, "holder");
    child_assert(shmring_dup(&mine, q, BOTH) == 0);
    for (int i = 0; i < holder->taken; i++)
        child_assert(shmring_peek(mine, &msg, NULL) == LENGTH);
    for (int i = 0; i < holder->reserved; i++)
        child_assert(shmring_reserve(mine, LONGEST, &block) == 0);
    test_tell(holder->holds[1]);
    if (holder->then)
        return holder->then(mine);
    pause();
    return 1;
}

static pid_t start_holder(struct holder *holder)
{
    test_pipe(holder->holds);
    const pid_t pid = test_fork(hold, holder);
    test_hear(holder->holds[0]);
    close(holder->holds[0]);
    close(holder->holds[1]);
    return pid;
}

/* A participant takes and reserves this many, and is killed. */
static void die_holding(int taken, int reserved)
{
    struct holder holder = {.taken = taken, .reserved = reserved};

    test_kill(start_holder(&holder));
}

/* ---- By shmring_recover() -------------------------------------------------------------------- */

Test(mpmc_deaths, messages_come_again_last_and_flagged, .init = open_queue, .fini = close_queue)
{
    send_numbers(0, 4);
    die_holding(2, 0);
    cr_assert_eq(shmring_recover(q, NULL), 1);
    cr_assert_eq(shmring_recover(q, NULL), 0);
    send_numbers(4, 1);
    assert_next(2, 1);
    assert_next(3, 1);
    assert_next(0, 2);
    assert_next(1, 2);
    assert_next(4, 1);
    assert_empty();
    assert_all_blocks_are_free();
}

Test(mpmc_deaths, every_death_counts_as_a_delivery, .init = open_queue, .fini = close_queue)
{
    send_numbers(0, 1);
    for (int i = 0; i < 5; i++) {
        die_holding(1, 0);
        cr_assert_eq(shmring_recover(q, NULL), 1);
    }
    assert_next(0, 6);
    /* The count of deliveries belongs to the message, not to its block. */
    send_numbers(1, CAPACITY);
    for (uint64_t i = 1; i <= CAPACITY; i++)
        assert_next(i, 1);
}

Test(mpmc_deaths, what_was_only_reserved_is_gone, .init = open_queue, .fini = close_queue)
{
    die_holding(0, CAPACITY);
    cr_assert_eq(shmring_recover(q, NULL), 1);
    assert_empty();
    assert_all_blocks_are_free();
}

static int send_and_die(void *unused)
{
    shmring_t *mine;
    void *block;

    (void)unused;
    child_assert(shmring_dup(&mine, q, BOTH) == 0);
    for (uint64_t i = 0; i < CAPACITY - 1; i++)
        child_assert(shmring_send(mine, message_content(i), LENGTH) == 0);
    child_assert(shmring_reserve(mine, LENGTH, &block) == 0);
    raise(SIGKILL);
    return 1;
}

/* The dead producer's messages wait in blocks with its tag, and it had a reservation: only that is
 * freed. The next producer gets the same row. */
Test(mpmc_deaths, a_dead_producers_messages_stay, .init = open_queue, .fini = close_queue)
{
    for (int i = 0; i < 3; i++) {
        struct shmring_recovery report;
        cr_assert_eq(test_run(send_and_die, NULL), -SIGKILL);
        cr_assert_eq(shmring_recover(q, &report), 1);
        cr_assert_eq(report.freed, 1);
        cr_assert_eq(report.redelivered, 0);
        cr_assert_eq(stat_now().depth, CAPACITY - 1);
        for (uint64_t n = 0; n < CAPACITY - 1; n++)
            assert_next(n, 1);
        assert_empty();
    }
    assert_all_blocks_are_free();
}

Test(mpmc_deaths, at_most_once_they_are_dropped)
{
    struct shmring_recovery report;

    q = test_create_mpmc("memfd:test", BOTH | SHMRING_AT_MOST_ONCE, CAPACITY, LONGEST);
    send_numbers(0, 4);
    die_holding(3, 2);
    cr_assert_eq(shmring_recover(q, &report), 1);
    cr_assert_eq(report.dropped, 3);
    cr_assert_eq(report.freed, 2);
    cr_assert_eq(report.redelivered, 0);
    cr_assert_eq(stat_now().dropped, 3);
    assert_next(3, 1);
    assert_empty();
    assert_all_blocks_are_free();
    close_queue();
}

Test(mpmc_deaths, the_report_says_who_and_what, .init = open_queue, .fini = close_queue)
{
    struct shmring_recovery report;
    struct shmring_participant rows[4];
    struct holder first = {.taken = 2, .reserved = 1}, second = {.reserved = 3};

    send_numbers(0, 4);
    const pid_t a = start_holder(&first), b = start_holder(&second);
    test_kill(a);
    test_kill(b);
    cr_assert_eq(stat_now().participants, 1);
    cr_assert_eq(stat_now().dead, 2);
    cr_assert_eq(shmring_participants(q, rows, 4), 3);
    cr_assert_eq(rows[0].alive, 1);
    cr_assert_eq(rows[1].alive, 0);
    cr_assert_eq(rows[1].held, 3);
    cr_assert_eq(rows[1].pid, (uint32_t)a);
    cr_assert_eq(rows[2].held, 3);

    cr_assert_eq(shmring_recover(q, &report), 2);
    cr_assert_eq(report.participants, 2);
    cr_assert_eq(report.freed, 4);
    cr_assert_eq(report.redelivered, 2);
    cr_assert_eq(report.who[0].row, 1);
    cr_assert_eq(report.who[0].pid, (uint32_t)a);
    cr_assert_str_eq(report.who[0].comm, "holder");
    cr_assert_eq(report.who[0].freed, 1);
    cr_assert_eq(report.who[0].redelivered, 2);
    cr_assert_eq(report.who[1].row, 2);
    cr_assert_eq(report.who[1].pid, (uint32_t)b);
    cr_assert_eq(report.who[1].freed, 3);
    cr_assert_eq(stat_now().dead, 0);
    cr_assert_eq(stat_now().takeovers, 2);
    cr_assert_eq(stat_now().redelivered, 2);
    cr_assert_eq(shmring_recover(q, &report), 0);
    cr_assert_eq(report.participants + report.freed + report.redelivered, 0);
    cr_assert_eq(shmring_participants(q, rows, 4), 1);
}

Test(mpmc_deaths, more_than_the_report_names_are_counted, .init = open_queue, .fini = close_queue)
{
    enum { DEAD = SHMRING_RECOVERED_MAX + 2 };
    struct holder holder = {0};
    struct shmring_recovery report;
    pid_t pids[DEAD];

    for (int i = 0; i < DEAD; i++)
        pids[i] = start_holder(&holder);
    for (int i = 0; i < DEAD; i++)
        test_kill(pids[i]);
    cr_assert_eq(shmring_recover(q, &report), DEAD);
    cr_assert_eq(report.participants, DEAD);
    cr_assert_eq(report.who[SHMRING_RECOVERED_MAX - 1].pid,
                 (uint32_t)pids[SHMRING_RECOVERED_MAX - 1]);
}

/* ---- By sends and receives ------------------------------------------------------------------- */

Test(mpmc_deaths, opening_recovers, .init = open_queue, .fini = close_queue)
{
    shmring_t *another;

    send_numbers(0, 1);
    die_holding(1, 2);
    cr_assert_eq(shmring_dup(&another, q, SHMRING_PRODUCER), 0);
    assert_next(0, 2);
    assert_empty();
    assert_all_blocks_are_free();
    shmring_close(&another);
}

Test(mpmc_deaths, finding_nothing_recovers, .init = open_queue, .fini = close_queue, .timeout = 60)
{
    uint8_t buf[LONGEST];

    for (int i = 0; i < 3; i++) {
        send_numbers(0, 1);
        die_holding(1, 0);
        while (shmring_recv(q, buf, sizeof buf) == -EAGAIN)
            ;
        cr_assert(message_is(0, buf, LENGTH));
    }
}

Test(mpmc_deaths, finding_it_full_recovers, .init = open_queue, .fini = close_queue, .timeout = 60)
{
    for (int i = 0; i < 3; i++) {
        die_holding(0, CAPACITY);
        while (shmring_send(q, message_content(0), LENGTH) == -EAGAIN)
            ;
        assert_next(0, 1);
    }
}

/* The queue is never full and never empty. */
Test(mpmc_deaths, a_busy_participant_recovers, .init = open_queue, .fini = close_queue,
     .timeout = 60)
{
    uint8_t buf[LONGEST];
    struct iovec out[2] = {{buf, 1}, {buf, 1}}, in[2];

    for (int batches = 0; batches < 2; batches++) {
        send_numbers(0, 4);
        die_holding(1, 1);
        while (stat_now().redelivered == (uint64_t)batches) {
            in[0] = in[1] = (struct iovec){buf, sizeof buf};
            if (batches) {
                cr_assert_eq(shmring_send_batch(q, out, 2), 2);
                cr_assert_eq(shmring_recv_batch(q, in, 2), 2);
            } else {
                cr_assert_eq(shmring_send(q, "x", 1), 0);
                cr_assert_gt(shmring_recv(q, buf, sizeof buf), 0);
            }
        }
        while (shmring_recv(q, buf, sizeof buf) > 0)
            ;
        assert_all_blocks_are_free();
        while (shmring_recv(q, buf, sizeof buf) > 0)
            ;
    }
}

/* ---- Which participant is dead --------------------------------------------------------------- */

static int go_on_later(shmring_t *mine)
{
    raise(SIGSTOP);
    shmring_close(&mine);
    return 0;
}

Test(mpmc_deaths, a_stopped_participant_keeps_its_messages, .init = open_queue, .fini = close_queue)
{
    struct holder holder = {.taken = 2, .reserved = 1, .then = go_on_later};
    siginfo_t info;

    send_numbers(0, 3);
    const pid_t pid = start_holder(&holder);
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
    cr_assert_eq(shmring_recover(q, NULL), 0);
    assert_next(2, 1);
    /* No send or receive waits for the stopped participant, laps later. */
    for (uint64_t i = 0; i < 200; i++) {
        send_numbers(i, CAPACITY - 3);
        cr_assert_eq(shmring_send(q, "x", 1), -EAGAIN);
        for (uint64_t k = i; k < i + CAPACITY - 3; k++)
            assert_next(k, 1);
        assert_empty();
    }
    kill(pid, SIGCONT);
    cr_assert_eq(test_wait(pid), 0);
    assert_next(0, 2); /* it has closed, and so given the messages back */
    assert_next(1, 2);
    assert_all_blocks_are_free();
}

static int grandchild[2];

static int die_before_a_child(shmring_t *mine)
{
    const pid_t pid = fork(); /* the child inherits every descriptor and mapping that a child can */

    if (pid == 0) {
        alarm(60); /* ends the child if the test does not */
        pause();
        _exit(1);
    }
    child_assert(write(grandchild[1], &pid, sizeof pid) == sizeof pid);
    raise(SIGKILL);
    shmring_close(&mine);
    return 1;
}

Test(mpmc_deaths, a_child_of_the_dead_does_not_hide_its_death, .init = open_queue,
     .fini = close_queue)
{
    struct holder holder = {.taken = 1, .reserved = 1, .then = die_before_a_child};
    pid_t pid;

    test_pipe(grandchild);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* the orphan becomes a child of this process */
    send_numbers(0, 1);
    cr_assert_eq(test_wait(start_holder(&holder)), -SIGKILL);
    cr_assert_eq(read(grandchild[0], &pid, sizeof pid), sizeof pid);
    cr_assert_eq(shmring_recover(q, NULL), 1);
    assert_next(0, 2);
    assert_all_blocks_are_free();
    test_kill(pid);
}

/* ---- Rows, and recoverers that die ----------------------------------------------------------- */

Test(mpmc_deaths, the_rows_of_the_dead_are_used_again)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = BOTH,
                                          .capacity = CAPACITY,
                                          .max_message = LONGEST,
                                          .max_participants = 2};
    struct shmring_participant row[2];

    cr_assert_eq(shmring_create(&q, "memfd:test", &config), 0);
    send_numbers(0, 3);
    for (uint32_t i = 0; i < 50; i++) {
        /* There is one row for the holders: the next holder recovers what the last one held. */
        struct holder holder = {.taken = 1 + (int)i % 3, .reserved = 4};
        const pid_t pid = start_holder(&holder);
        cr_assert_eq(shmring_participants(q, row, 2), 2);
        cr_assert_eq(row[1].row, 1);
        cr_assert_eq(row[1].pid, (uint32_t)pid);
        cr_assert_eq(row[1].generation, i + 1);
        cr_assert_eq(row[1].held, (uint64_t)holder.taken + 4);
        test_kill(pid);
    }
    cr_assert_eq(shmring_recover(q, NULL), 1);
    cr_assert_eq(stat_now().takeovers, 50);
    cr_assert_eq(stat_now().depth, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(shmring_recv(q, &(char[LONGEST]){0}, LONGEST), LENGTH);
    assert_all_blocks_are_free();
    close_queue();
}

static int recover_when_told(void *argument)
{
    const int *ends = argument;
    shmring_t *mine;

    child_assert(shmring_dup(&mine, q, BOTH) == 0);
    test_tell(ends[1]);
    raise(SIGSTOP);
    child_assert(shmring_recover(mine, NULL) >= 0);
    pause();
    return 1;
}

static void send_named(uint64_t count)
{
    uint8_t bytes[LENGTH];

    for (uint64_t i = 0; i < count; i++) {
        oracle_write(oracle_name(0, i), bytes, LENGTH);
        cr_assert_eq(shmring_send(q, bytes, LENGTH), 0);
    }
}

/* A recoverer is killed at a random moment: the messages then belong to it or still to the first
 * dead one. The next recoverer finds each message once. */
Test(mpmc_deaths, a_recoverer_may_die, .timeout = 60)
{
    enum { BLOCKS = 128, HELD = 64 };
    uint64_t state = test_seed();

    q = test_create_mpmc("memfd:test", BOTH, BLOCKS, LONGEST);
    for (int round = 0; round < 100; round++) {
        struct holder victim = {.taken = HELD, .reserved = HELD / 2};
        struct oracle *oracle = oracle_new(1, HELD);
        struct oracle_reader reader = oracle_reader(false);
        struct shmring_info info;
        uint64_t message, came;
        const void *msg;
        siginfo_t stopped;
        int ends[2];

        cr_assert_not_null(oracle);
        oracle_receiver_may_die(oracle);
        oracle_settle(&oracle->sent[0], HELD);
        test_pipe(ends);
        send_named(HELD);
        const pid_t dead = start_holder(&victim), recoverer = test_fork(recover_when_told, ends);
        test_hear(ends[0]);
        cr_assert_eq(waitid(P_PID, (id_t)recoverer, &stopped, WSTOPPED | WNOWAIT), 0);
        test_kill(dead);
        kill(recoverer, SIGCONT);
        /* A random moment of the recovery. */
        for (uint32_t i = test_random_below(&state, 30000); i > 0; i--)
            __asm__ volatile("");
        test_kill(recoverer);
        close(ends[0]);
        close(ends[1]);

        cr_assert_geq(shmring_recover(q, NULL), 1);
        for (int i = 0; i < HELD; i++) {
            cr_assert_eq(shmring_peek(q, &msg, &info), LENGTH);
            cr_assert_eq(oracle_read(&message, msg, LENGTH, 0), ORACLE_RIGHT);
            cr_assert_eq(oracle_receive(oracle, &reader, message, info.flags), ORACLE_RIGHT);
            cr_assert_eq(info.flags, SHMRING_REDELIVERED);
            cr_assert_geq(info.deliveries, 2);
            cr_assert_eq(shmring_release(q, msg), 0);
        }
        cr_assert_eq(oracle_end_all(oracle, &message, &came), ORACLE_RIGHT);
        oracle_free(oracle);
        assert_empty();
        for (int i = 0; i <= BLOCKS; i++)
            cr_assert_eq(shmring_send(q, "x", 1), i < BLOCKS ? 0 : -EAGAIN);
        for (int i = 0; i < BLOCKS; i++)
            cr_assert_eq(shmring_recv(q, &(char){0}, 1), 1);
    }
    close_queue();
}
