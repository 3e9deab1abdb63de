/* SPDX-License-Identifier: MIT */
/*
 * Real processes on one mpmc queue, killed and stopped at random moments. What must hold then: no
 * committed message is lost, none comes twice without its flag, each producer's messages come in
 * order, no block is leaked, and no process waits for one that was stopped or killed.
 *
 * $SHMRING_TEST_KILLS says how many kills each test makes; see the target soak.
 */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "messages.h"
#include "oracle.h"
#include "support.h"

enum { CAPACITY = 64, LONGEST = 200 };
enum { PRODUCERS = 3, CONSUMERS = 3, OTHERS = 2, CHILDREN = PRODUCERS + CONSUMERS + OTHERS };
/* For the messages of one producer and its successors; no run needs so many. */
enum { NUMBERS = 1 << 24 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* What all processes know, in shared memory. Each word is true whenever its writer is killed. */
static struct oracle *oracle; /* a stream is a producer and its successors */
static struct journal {
    _Atomic int finish;
    _Atomic uint64_t steps[CHILDREN]; /* successful calls of a child and its predecessors */
} * journal;

static shmring_t *observer;
static uint64_t state;

/* ---- The children ---------------------------------------------------------------------------- */

struct role {
    int child;
    uint64_t seed;
};

static void did(int child)
{
    atomic_fetch_add(&journal->steps[child], 1);
}

static bool is_result(int r)
{
    return r == 0 || r == -EAGAIN;
}

static uint32_t length_of(uint64_t message)
{
    return oracle_length(message, LONGEST + 8);
}

/* The next messages: the producer notes them here before it sends them, and those that were sent by
 * oracle_settle() after. The numbers of the others can be used again, because no consumer has seen
 * them. */
static uint64_t begin(uint32_t producer, uint64_t count)
{
    const uint64_t first = atomic_load(&oracle->sent[producer].begun);

    oracle_begin(&oracle->sent[producer], first + count);
    return oracle_name(producer, first);
}

static void send_one(shmring_t *q, uint32_t producer)
{
    uint8_t bytes[LONGEST + 8];
    const uint64_t message = begin(producer, 1);

    oracle_write(message, bytes, length_of(message));
    const int r = shmring_send(q, bytes, length_of(message));
    child_assert(is_result(r));
    oracle_settle(&oracle->sent[producer], oracle_number(message) + (r == 0));
}

static void send_some(shmring_t *q, uint32_t producer)
{
    uint8_t bytes[3][LONGEST + 8];
    const uint64_t first = begin(producer, 3);
    struct iovec msgs[3];

    for (uint32_t i = 0; i < 3; i++) {
        oracle_write(first + i, bytes[i], length_of(first + i));
        msgs[i] = (struct iovec){bytes[i], length_of(first + i)};
    }
    const int n = shmring_send_batch(q, msgs, 3);
    child_assert(n > 0 || n == -EAGAIN);
    oracle_settle(&oracle->sent[producer], oracle_number(first) + (n > 0 ? (uint64_t)n : 0));
}

/* Make some reservations, cancel one of them, and commit the others in another order. */
static void reserve_some(shmring_t *q, uint32_t producer)
{
    void *block[3];
    int n = 0;

    while (n < 3 && shmring_reserve(q, LONGEST + 8, &block[n]) == 0)
        n++;
    while (n-- > 0) {
        if (n == 1) {
            child_assert(shmring_cancel(q, block[n]) == 0);
            continue;
        }
        const uint64_t message = begin(producer, 1);
        oracle_write(message, block[n], length_of(message));
        child_assert(shmring_commit(q, block[n], length_of(message)) == 0);
        oracle_settle(&oracle->sent[producer], oracle_number(message) + 1);
    }
}

static int produce(void *argument)
{
    struct role *role = argument;
    const uint32_t producer = (uint32_t)role->child;
    shmring_t *q;

    child_assert(shmring_dup(&q, observer, SHMRING_PRODUCER) == 0);
    while (!atomic_load(&journal->finish)) {
        static void (*const ways[])(shmring_t *, uint32_t) = {send_one, send_some, reserve_some};
        const uint64_t before = atomic_load(&oracle->sent[producer].done);
        child_assert(before <= NUMBERS - 4);
        ways[test_random_below(&role->seed, 3)](q, producer);
        if (atomic_load(&oracle->sent[producer].done) != before)
            did(role->child);
        else
            sched_yield();
    }
    shmring_close(&q);
    return 0;
}

/* Take messages, have them judged, and release them in another order. */
static bool consume_some(shmring_t *q, uint32_t count, struct oracle_reader *reader)
{
    const void *block[4];
    struct shmring_info info;
    ssize_t len;
    uint32_t n = 0;
    uint64_t message;

    while (n < count && (len = shmring_peek(q, &block[n], &info)) >= 0) {
        child_assert((info.flags == SHMRING_REDELIVERED) == (info.deliveries > 1));
        child_judge(oracle_read(&message, block[n], (size_t)len, LONGEST + 8));
        child_judge(oracle_receive(oracle, reader, message, info.flags));
        n++;
    }
    child_assert(n == count || len == -EAGAIN);
    const bool any = n != 0;
    while (n-- > 0) {
        child_assert(shmring_release(q, block[n]) == 0);
        child_assert(shmring_release(q, block[n]) == -EINVAL);
    }
    return any;
}

static int consume(void *argument)
{
    struct role *role = argument;
    struct oracle_reader reader = oracle_reader(false);
    shmring_t *q;

    child_assert(shmring_dup(&q, observer, SHMRING_CONSUMER) == 0);
    while (!atomic_load(&journal->finish))
        if (consume_some(q, 1 + test_random_below(&role->seed, 4), &reader))
            did(role->child);
        else
            sched_yield();
    shmring_close(&q);
    return 0;
}

/* Attach, take messages, recover dead participants, and end, with or without closing. */
static int come_and_go(void *argument)
{
    struct role *role = argument;

    while (!atomic_load(&journal->finish)) {
        struct oracle_reader reader = oracle_reader(false);
        const void *message;
        shmring_t *q;
        void *block;
        child_assert(shmring_dup(&q, observer, BOTH) == 0);
        child_assert(is_result(shmring_reserve(q, LONGEST, &block)));
        consume_some(q, 2, &reader);
        child_assert(shmring_recover(q, NULL) >= 0);
        const uint32_t way = test_random_below(&role->seed, 8);
        if (way == 0 && shmring_peek(q, &message, NULL) >= 0)
            _exit(0);
        shmring_close(&q);
        did(role->child);
    }
    return 0;
}

/* ---- The parent ------------------------------------------------------------------------------ */

static pid_t pids[CHILDREN];

static void start(int child)
{
    struct role role = {child, test_random(&state)};

    pids[child] = test_fork(child < PRODUCERS               ? produce
                            : child < PRODUCERS + CONSUMERS ? consume
                                                            : come_and_go,
                            &role);
}

/* Wait for a child's end. It may have been killed by the test or have exited, but no assertion and
 * no fault may have ended it. */
static void bury(int child)
{
    const int how = test_wait(pids[child]);

    cr_assert(how == 0 || how == -SIGKILL, "child %d: %d", child, how);
    if (child < PRODUCERS)
        oracle_sender_died(oracle, (uint32_t)child);
}

/* Reap and replace children that have exited. */
static void tend(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
            bury(i);
            start(i);
        }
    }
}

static void nap(uint32_t longest_us)
{
    const long ns = (long)test_random_below(&state, longest_us) * 1000;

    nanosleep(&(struct timespec){0, ns}, NULL);
}

/* Wait until producers or consumers [FROM, TO) have each made COUNT more steps. Only the test's own
 * time limit ends this wait, because the machine may be busy. */
static void wait_for_steps(int from, int to, uint64_t count)
{
    uint64_t before = 0, now;

    for (int i = from; i < to; i++)
        before += atomic_load(&journal->steps[i]);
    do {
        now = 0;
        tend();
        nap(1000);
        for (int i = from; i < to; i++)
            now += atomic_load(&journal->steps[i]);
    } while (now < before + count);
}

static void send_all(int sig, int but_producer, int but_consumer)
{
    for (int i = 0; i < CHILDREN; i++)
        if (i != but_producer && i != but_consumer)
            kill(pids[i], sig);
}

/* All but one producer and one consumer are stopped at any point of their work, and those two must
 * go on. */
static void stop_most(void)
{
    const int producer = (int)test_random_below(&state, PRODUCERS);
    const int consumer = PRODUCERS + (int)test_random_below(&state, CONSUMERS);

    send_all(SIGSTOP, producer, consumer);
    wait_for_steps(producer, producer + 1, 100);
    wait_for_steps(consumer, consumer + 1, 100);
    send_all(SIGCONT, producer, consumer);
}

static void kill_one(void)
{
    const int child = (int)test_random_below(&state, CHILDREN);

    nap(2000);
    /* Stop the child before killing it: the other ones must go on. */
    if (test_random_below(&state, 4) == 0) {
        kill(pids[child], SIGSTOP);
        nap(2000);
    }
    kill(pids[child], SIGKILL);
    bury(child);
    start(child);
}

static void start_all(void)
{
    journal = mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    oracle = oracle_new(PRODUCERS, NUMBERS);
    cr_assert(journal != MAP_FAILED && oracle);
    oracle_receiver_may_die(oracle);
    observer = test_create_mpmc("memfd:test", 0, CAPACITY, LONGEST + 8);
    for (int i = 0; i < CHILDREN; i++)
        start(i);
}

/* The children close, or are killed. */
static void end_all(bool killing)
{
    atomic_store(&journal->finish, 1);
    for (int i = 0; i < CHILDREN; i++) {
        if (killing)
            kill(pids[i], SIGKILL);
        bury(i);
    }
}

/* Check that each committed message was delivered or is still in the queue, and that N messages fit
 * in. */
static void check_conservation(void)
{
    struct oracle_reader reader = oracle_reader(false);
    struct shmring_stat st;
    uint64_t lost, came;
    shmring_t *q;

    cr_assert_eq(shmring_dup(&q, observer, BOTH), 0);
    cr_assert_geq(shmring_recover(q, NULL), 0);
    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_eq(st.dead, 0);
    cr_assert_eq(st.participants, 1);
    while (consume_some(q, 1, &reader))
        ;
    cr_assert_eq(oracle_end_all(oracle, &lost, &came), ORACLE_RIGHT, "message %d.%d was lost",
                 (int)oracle_stream(lost), (int)oracle_number(lost));
    cr_assert_gt(came, 0);
    for (int i = 0; i <= CAPACITY; i++)
        cr_assert_eq(shmring_send(q, "x", 1), i < CAPACITY ? 0 : -EAGAIN, "%d fit", i);
    shmring_close(&q);
}

/* Make that many kills, with a new queue after every kills_a_round of them. A round that does not
 * end is killed. */
static void rounds(int kills, int kills_a_round, void (*round)(int kills))
{
    state = test_seed();
    for (; kills > 0; kills -= kills_a_round) {
        alarm(120);
        start_all();
        round(kills < kills_a_round ? kills : kills_a_round);
        check_conservation();
        munmap(journal, sizeof *journal);
        oracle_free(oracle);
        shmring_close(&observer);
    }
    alarm(0);
}

static void kill_some(int kills)
{
    while (kills-- > 0) {
        tend();
        kill_one();
    }
    wait_for_steps(0, PRODUCERS, 100);
    wait_for_steps(PRODUCERS, PRODUCERS + CONSUMERS, 100);
    end_all(false);
}

Test(mpmc_processes, kills_lose_nothing)
{
    rounds(test_kills(300), 300, kill_some);
}

Test(mpmc_processes, no_process_waits_for_stopped_ones, .timeout = 120)
{
    state = test_seed();
    start_all();
    for (int i = 0; i < 40; i++) {
        nap(2000);
        stop_most();
        tend();
    }
    end_all(false);
    check_conservation();
}

static void stop_one_and_kill_one(int kills)
{
    while (kills-- > 0) {
        const int stopped = (int)test_random_below(&state, CHILDREN);
        nap(2000);
        tend();
        kill(pids[stopped], SIGSTOP);
        kill_one();
        kill(pids[stopped], SIGCONT); /* the process that was stopped, or its successor */
    }
    end_all(true);
}

Test(mpmc_processes, stopped_and_killed_at_once)
{
    rounds(test_kills(100), 100, stop_one_and_kill_one);
}
