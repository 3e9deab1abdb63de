/* SPDX-License-Identifier: MIT */
/* Broadcast queues between processes that are killed and stopped. */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "messages.h"
#include "oracle.h"
#include "queue.h"

enum { LONGEST = 500 };

static char name[TEST_NAME_SIZE];
static const struct timespec long_time = {.tv_sec = 60};

/* The oracle names and judges what a child receives, which joins and leaves at any time. The test
 * process itself knows the one number that must come next, and compares with that. */
static struct oracle sender = {.streams = 1, .sent = {{.begun = UINT64_MAX}}};

static uint32_t length_of(uint64_t number)
{
    return oracle_length(number, LONGEST);
}

static void fill(uint64_t number, void *bytes)
{
    oracle_write(number, bytes, length_of(number));
}

static bool is_message(uint64_t number, const uint8_t *bytes, size_t len)
{
    uint64_t found;

    return oracle_read(&found, bytes, len, LONGEST) == ORACLE_RIGHT && found == number;
}

static void create(uint64_t capacity, uint32_t rows)
{
    const struct shmring_config config = {
        .kind = SHMRING_BROADCAST, .capacity = capacity, .max_participants = rows};
    shmring_t *q;

    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0, "%s", shmring_strerror_detail());
    shmring_close(&q);
}

static shmring_t *attach(unsigned flags)
{
    shmring_t *q;

    cr_assert_eq(shmring_open(&q, name, flags), 0, "%s", shmring_strerror_detail());
    return q;
}

/* ---- Children -------------------------------------------------------------------------------- */

/* Go on with the number that the queue says, in each way there is to send. */
static int produce(void *unused)
{
    static uint8_t bytes[8][LONGEST];
    struct iovec batch[8];
    struct shmring_stat st;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_stat(q, &st) == 0);
    for (uint64_t n = st.sent, round = 0;; round++) {
        void *msg;
        int r = 1;
        fill(n, bytes[0]);
        switch (round % 4) {
        case 0:
            r = shmring_send_wait(q, bytes[0], length_of(n), NULL);
            n++;
            break;
        case 1:
            child_assert((r = shmring_reserve_wait(q, LONGEST, &msg, NULL)) == 0);
            fill(n, msg);
            r = shmring_commit(q, msg, length_of(n));
            n++;
            break;
        case 2:
            for (uint64_t i = 0; i < 8; i++) {
                fill(n + i, bytes[i]);
                batch[i] = (struct iovec){bytes[i], length_of(n + i)};
            }
            r = shmring_send_batch(q, batch, 8);
            child_assert(r > 0 || r == -EAGAIN);
            n += r > 0 ? (uint64_t)r : 0;
            r = 0;
            break;
        default:
            r = shmring_send_flags(q, bytes[0], length_of(n), SHMRING_KEY);
            child_assert(r == 0 || r == -EAGAIN);
            n += r == 0;
            r = 0;
        }
        child_assert(r == 0);
    }
    return 0;
}

/* Receive for ever, if there is a row; `flags` say how. What comes is whole, and what does not come
 * was missed according to the queue. */
static int consume_for_ever(void *flags)
{
    struct oracle_reader reader = oracle_reader(true);
    uint64_t missed = 0;
    bool started = false;
    uint8_t buf[LONGEST];
    struct shmring_stat st;
    shmring_t *q;

    const int opened = shmring_open(&q, name, SHMRING_CONSUMER | *(unsigned *)flags);
    if (opened == -EUSERS)
        return 0;
    child_assert(opened == 0);
    for (;;) {
        const ssize_t r = shmring_recv_wait(q, buf, sizeof buf, NULL);
        uint64_t number;
        child_assert(r >= 0 || r == -EOVERFLOW);
        if (r < 0) {
            child_assert(shmring_stat(q, &st) == 0);
            oracle_missed(&reader, st.missed_here - missed);
            missed = st.missed_here;
            continue;
        }
        child_judge(oracle_read(&number, buf, (size_t)r, LONGEST));
        if (!started) /* where it started, and what it missed at once */
            reader.next[0] = number - reader.missed;
        started = true;
        child_judge(oracle_receive(&sender, &reader, number, false));
        child_assert(reader.missed == 0);
    }
    return 0;
}

static pid_t start_consumer(unsigned flags)
{
    static unsigned how[64];
    static int used;

    how[used % 64] = flags;
    return test_fork(consume_for_ever, &how[used++ % 64]);
}

/* It may not have found a row, and have ended. */
static void end_consumer(pid_t child)
{
    kill(child, SIGKILL);
    const int how = test_wait(child);
    cr_assert(how == -SIGKILL || how == 0, "what a consumer received was wrong");
}

/* ---- The producer is killed ------------------------------------------------------------------ */

Test(broadcast_processes, a_killed_producer_has_a_successor, .timeout = 300)
{
    create(16384, 2);
    shmring_t *reliable = attach(SHMRING_CONSUMER | SHMRING_RELIABLE);
    shmring_t *plain = attach(SHMRING_CONSUMER);
    uint8_t buf[LONGEST];
    struct shmring_stat st;
    uint64_t next = 0, plain_next = 0;
    const int kills = test_kills(100);

    for (int kill_count = 0; kill_count < kills; kill_count++) {
        pid_t child = test_fork(produce, NULL);
        const uint64_t enough = next + 100 + (uint64_t)kill_count % 37;
        while (next < enough) {
            const ssize_t r = shmring_recv_wait(reliable, buf, sizeof buf, &long_time);
            cr_assert_gt(r, 0, "%s", shmring_strerror_detail());
            cr_assert(is_message(next, buf, (size_t)r), "message %d", (int)next);
            next++;
        }
        test_kill(child);
        cr_assert_eq(shmring_stat(reliable, &st), 0);
        cr_assert_eq(st.dead, 1);
        for (;;) {
            const ssize_t r = shmring_recv(reliable, buf, sizeof buf);
            if (r == -EAGAIN)
                break;
            cr_assert(r > 0 && is_message(next, buf, (size_t)r), "message %d", (int)next);
            next++;
        }
        cr_assert_eq(st.sent, next, "the count is exact: %d, not %d", (int)st.sent, (int)next);
        /* The other one reads what is left, and counts what it missed. */
        for (;;) {
            const ssize_t r = shmring_recv(plain, buf, sizeof buf);
            if (r == -EAGAIN)
                break;
            if (r == -EOVERFLOW) {
                const uint64_t missed = cast_missed(plain);
                const struct shmring_participant row = cast_participant(plain, SHMRING_PRODUCER);
                (void)row;
                plain_next = missed;
                struct shmring_participant rows[3];
                cr_assert_eq(shmring_participants(plain, rows, 3), 3);
                plain_next = rows[2].received + rows[2].missed;
                continue;
            }
            cr_assert(r > 0 && is_message(plain_next, buf, (size_t)r), "%d", (int)plain_next);
            plain_next++;
        }
        cr_assert_eq(plain_next, next);
    }
    cr_assert_eq(cast_missed(reliable), 0);
    shmring_t *producer = attach(SHMRING_PRODUCER);
    cr_assert_eq(shmring_stat(reliable, &st), 0);
    cr_assert_eq(st.sent, next);
    cr_assert_eq(st.takeovers, (uint64_t)kills);
    shmring_close(&producer);
    shmring_close(&plain);
    shmring_close(&reliable);
}

/* ---- Consumers are killed -------------------------------------------------------------------- */

static void send_until(shmring_t *q, uint64_t *n, uint64_t end)
{
    uint8_t bytes[LONGEST];

    for (; *n < end; ++*n) {
        fill(*n, bytes);
        const int r = shmring_send_wait(q, bytes, length_of(*n), &long_time);
        cr_assert_eq(r, 0, "message %d: %s", (int)*n, shmring_strerror_detail());
    }
}

/* A producer that rechecks only every hour goes on all the same, and soon. */
static void recheck_rarely(shmring_t *q, uint32_t patience_ms)
{
    const struct shmring_waiting w = {
        .spin_ns = 50000, .recheck_ms = 3600000, .patience_ms = patience_ms};

    cr_assert_eq(shmring_set_waiting(q, &w), 0);
}

static void await_participants(shmring_t *q, int n)
{
    while (shmring_participants(q, NULL, 0) != n)
        usleep(1000);
}

Test(broadcast_processes, dead_consumers_hold_nobody, .timeout = 300)
{
    create(4096, 3);
    shmring_t *q = attach(SHMRING_PRODUCER);
    uint64_t n = 0;
    const int kills = test_kills(20);

    recheck_rarely(q, 0);
    for (int i = 0; i < kills; i++) {
        pid_t child[3];
        for (int c = 0; c < 3; c++)
            child[c] = start_consumer(SHMRING_RELIABLE);
        await_participants(q, 4);
        send_until(q, &n, n + 100);
        for (int c = 0; c < 3; c++)
            test_kill(child[c]);
        send_until(q, &n, n + 100);
    }
    /* And without sleeping. */
    pid_t child = start_consumer(SHMRING_RELIABLE);
    while (cast_participant(q, SHMRING_CONSUMER).alive == 0)
        usleep(1000);
    test_kill(child);
    for (const uint64_t end = n + 100; n < end;) {
        uint8_t bytes[LONGEST];
        fill(n, bytes);
        const int r = shmring_send(q, bytes, length_of(n));
        cr_assert(r == 0 || r == -EAGAIN);
        n += r == 0;
    }
    shmring_close(&q);
}

Test(broadcast_processes, rows_of_dead_consumers_are_recovered)
{
    create(4096, 3);
    shmring_t *q = attach(SHMRING_PRODUCER), *observer = attach(SHMRING_OBSERVER);
    pid_t child = start_consumer(SHMRING_RELIABLE), other = start_consumer(0);
    struct shmring_recovery report;
    struct shmring_stat st;

    await_participants(q, 3);
    test_kill(child);
    test_kill(other);
    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_eq(st.dead, 2);
    cr_assert_eq(shmring_recover(observer, &report), 2);
    cr_assert(report.who[0].pid == (uint32_t)child || report.who[1].pid == (uint32_t)child);
    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_eq(st.dead, 0);
    cr_assert_eq(st.takeovers, 2);
    cr_assert_eq(st.participants, 1);
    uint64_t n = 0;
    send_until(q, &n, 200);
    shmring_close(&observer);
    shmring_close(&q);
}

Test(broadcast_processes, a_dead_producer_is_recovered)
{
    create(4096, 0);
    shmring_t *c = attach(SHMRING_CONSUMER);
    uint8_t buf[LONGEST];
    struct shmring_stat st;
    pid_t child = test_fork(produce, NULL);

    while (shmring_recv_wait(c, buf, sizeof buf, &long_time) < 0)
        ;
    test_kill(child);
    cr_assert_eq(shmring_stat(c, &st), 0);
    const uint64_t sent = st.sent;
    cr_assert_eq(shmring_recover(c, NULL), 1);
    cr_assert_eq(shmring_stat(c, &st), 0);
    cr_assert(st.sent == sent && st.dead == 0 && st.takeovers == 1);
    cr_assert_eq(shmring_recover(c, NULL), 0);
    shmring_close(&c);
}

/* ---- Consumers are stopped ------------------------------------------------------------------- */

static void stop(pid_t child)
{
    int status;

    cr_assert_eq(kill(child, SIGSTOP), 0);
    cr_assert_eq(waitpid(child, &status, WUNTRACED), child);
    cr_assert(WIFSTOPPED(status));
}

Test(broadcast_processes, a_stopped_consumer_holds_as_long_as_patience_lasts, .timeout = 300)
{
    create(4096, 3);
    shmring_t *q = attach(SHMRING_PRODUCER);
    shmring_t *other = attach(SHMRING_CONSUMER | SHMRING_RELIABLE);
    const struct timespec a_while = {.tv_nsec = 200000000};
    uint8_t bytes[LONGEST], buf[LONGEST];
    pid_t child = start_consumer(SHMRING_RELIABLE);
    uint64_t n = 0, next = 0;
    int r;

    await_participants(q, 3);
    stop(child);
    for (r = 0; r == 0;) { /* the stopped one holds the producer, and the other one does not */
        fill(n, bytes);
        r = shmring_send_wait(q, bytes, length_of(n), &a_while);
        n += r == 0;
        for (; next < n; next++)
            cr_assert_eq(shmring_recv(other, buf, sizeof buf), (ssize_t)length_of(next));
    }
    cr_assert_eq(r, -ETIMEDOUT);
    struct shmring_participant rows[3];
    cr_assert_eq(shmring_participants(q, rows, 3), 3);
    cr_assert_eq(rows[2].flags, SHMRING_RELIABLE);
    cr_assert_eq(rows[2].lag, n);

    recheck_rarely(q, 50);
    for (const uint64_t end = n + 100; n < end; n++) {
        fill(n, bytes);
        cr_assert_eq(shmring_send_wait(q, bytes, length_of(n), &long_time), 0);
        cr_assert_eq(shmring_recv(other, buf, sizeof buf), (ssize_t)length_of(n));
    }
    cr_assert_eq(shmring_participants(q, rows, 3), 3);
    cr_assert_eq(rows[2].flags, 0, "it is not reliable any more");
    cr_assert_eq(rows[1].flags, SHMRING_RELIABLE);
    cr_assert_eq(kill(child, SIGCONT), 0);
    while (rows[2].missed == 0 || rows[2].lag > 0) {
        cr_assert_eq(shmring_participants(q, rows, 3), 3);
        usleep(1000);
    }
    cr_assert_eq(rows[2].received + rows[2].missed, n);
    test_kill(child);
    shmring_close(&other);
    shmring_close(&q);
}

/* ---- Killed and killed ----------------------------------------------------------------------- */

/* Producers, reliable and other consumers die all the time. What this process receives is whole and
 * in order. */
Test(broadcast_processes, everybody_dies, .timeout = 300)
{
    create(8192, 5);
    shmring_t *c = attach(SHMRING_CONSUMER | SHMRING_RELIABLE);
    uint8_t buf[LONGEST];
    uint64_t next = 0, random = test_seed();
    pid_t producer = test_fork(produce, NULL), consumers[4];
    const int kills = test_kills(100);

    for (int i = 0; i < 4; i++)
        consumers[i] = start_consumer(i % 2 ? SHMRING_RELIABLE : SHMRING_FROM_OLDEST);
    for (int i = 0; i < kills; i++) {
        for (int j = 0; j < 50; j++) {
            const ssize_t r = shmring_recv_wait(c, buf, sizeof buf, &long_time);
            cr_assert_gt(r, 0, "%s", shmring_strerror_detail());
            cr_assert(is_message(next, buf, (size_t)r), "message %d", (int)next);
            next++;
        }
        const uint32_t who = test_random_below(&random, 5);
        if (who == 4) {
            test_kill(producer);
            producer = test_fork(produce, NULL);
        } else {
            end_consumer(consumers[who]);
            consumers[who] = start_consumer(who % 2 && i % 3 ? SHMRING_RELIABLE : SHMRING_FROM_KEY);
        }
    }
    cr_assert_eq(cast_missed(c), 0);
    test_kill(producer);
    for (int i = 0; i < 4; i++)
        end_consumer(consumers[i]);
    shmring_close(&c);
}
