/* SPDX-License-Identifier: MIT */
/*
 * Hunting lost wake-ups: processes that sleep and wake each other all the time, recheck only once
 * an hour, and are stopped and continued at random moments. One lost wake-up leaves a process
 * asleep; then the test's time limit ends the test.
 *
 * SHMRING_TEST_ROUNDS: round trips in each test, 10,000 by default.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "messages.h"
#include "support.h"

enum { ROUNDS = 10000, CROWD = 3 };

static char name[2][TEST_NAME_SIZE];
static uint32_t rounds, spin_ns;
static unsigned fence; /* SHMRING_ASYMMETRIC_FENCE, or 0 */
static _Atomic uint32_t *received;

static void setup(void)
{
    const char *text = getenv("SHMRING_TEST_ROUNDS");

    rounds = text ? (uint32_t)strtoul(text, NULL, 10) : ROUNDS;
    test_name(name[0]);
    test_name(name[1]);
    received = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(received, MAP_FAILED);
}

static shmring_t *child_open(int which, unsigned role)
{
    const struct shmring_waiting w = {.spin_ns = spin_ns, .recheck_ms = 3600000};
    shmring_t *q;

    child_assert(shmring_open(&q, name[which], role | fence) == 0);
    child_assert(shmring_set_waiting(q, &w) == 0);
    return q;
}

/* Stop and continue the children at random moments until the first of them ends. */
static void disturb(const pid_t *pid, int n)
{
    uint64_t state = test_seed();
    siginfo_t ended = {0};

    while (waitid(P_PID, (id_t)pid[0], &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && !ended.si_pid) {
        pid_t victim = pid[test_random_below(&state, (uint32_t)n)];
        nanosleep(&(struct timespec){.tv_nsec = (long)test_random_below(&state, 400000)}, NULL);
        kill(victim, SIGSTOP);
        nanosleep(&(struct timespec){.tv_nsec = (long)test_random_below(&state, 100000)}, NULL);
        kill(victim, SIGCONT);
    }
    for (int i = 0; i < n; i++)
        cr_assert_eq(test_wait(pid[i]), 0);
}

/* ---- Two processes that answer each other ---------------------------------------------------- */

static int asker(void *unused)
{
    (void)unused;
    shmring_t *there = child_open(0, SHMRING_PRODUCER), *back = child_open(1, SHMRING_CONSUMER);

    for (uint32_t i = 0, answer; i < rounds; i++) {
        child_assert(shmring_send_wait(there, &i, sizeof i, NULL) == 0);
        child_assert(shmring_recv_wait(back, &answer, sizeof answer, NULL) == sizeof answer);
        child_assert(answer == i);
    }
    return 0;
}

static int answerer(void *unused)
{
    (void)unused;
    shmring_t *there = child_open(0, SHMRING_CONSUMER), *back = child_open(1, SHMRING_PRODUCER);

    for (uint32_t i = 0, question; i < rounds; i++) {
        child_assert(shmring_recv_wait(there, &question, sizeof question, NULL) == sizeof question);
        child_assert(shmring_send_wait(back, &question, sizeof question, NULL) == 0);
    }
    return 0;
}

static void check_answers(uint32_t kind)
{
    pid_t pid[2];

    for (int i = 0; i < 2; i++) {
        shmring_t *q = kind == SHMRING_SPSC ? test_create(name[i], 0, 4096)
                                            : test_create_mpmc(name[i], 0, 4, 8);
        shmring_close(&q);
    }
    pid[0] = test_fork(asker, NULL);
    pid[1] = test_fork(answerer, NULL);
    disturb(pid, 2);
}

/* ---- Many processes at a queue that is always full or empty ---------------------------------- */

static int crowd_producer(void *unused)
{
    (void)unused;
    shmring_t *q = child_open(0, SHMRING_PRODUCER);

    for (uint32_t i = 0; i < rounds; i++)
        child_assert(shmring_send_wait(q, &i, sizeof i, NULL) == 0);
    shmring_close(&q);
    return 0;
}

/* Receives until it gets a message that says that it shall end. */
static int crowd_consumer(void *unused)
{
    (void)unused;
    shmring_t *q = child_open(0, SHMRING_CONSUMER);

    for (uint32_t number;;) {
        child_assert(shmring_recv_wait(q, &number, sizeof number, NULL) == sizeof number);
        if (number == UINT32_MAX)
            break;
        atomic_fetch_add(received, 1);
    }
    shmring_close(&q);
    return 0;
}

/* Producers first: the first one that ends is a producer. Then each consumer is told to end. */
static void check_crowd(uint64_t capacity, int producers, int consumers)
{
    const uint32_t last = UINT32_MAX;
    pid_t pid[2 * CROWD];
    shmring_t *q;

    q = capacity < 4096 ? test_create_mpmc(name[0], SHMRING_PRODUCER, capacity, 8)
                        : test_create(name[0], 0, capacity);
    for (int i = 0; i < producers + consumers; i++)
        pid[i] = test_fork(i < producers ? crowd_producer : crowd_consumer, NULL);
    disturb(pid, producers);
    if (capacity >= 4096) {
        shmring_close(&q);
        cr_assert_eq(shmring_open(&q, name[0], SHMRING_PRODUCER), 0);
    }
    for (int i = 0; i < consumers; i++)
        cr_assert_eq(shmring_send_wait(q, &last, sizeof last, NULL), 0);
    for (int i = producers; i < producers + consumers; i++)
        cr_assert_eq(test_wait(pid[i]), 0);
    cr_assert_eq(atomic_load(received), rounds * (uint32_t)producers);
    shmring_close(&q);
}

/* ---- Every way to wait ----------------------------------------------------------------------- */

#define STORMS(Way, Spin, Fence)                                                                   \
    Test(storm, Way##_answers, .init = setup)                                                      \
    {                                                                                              \
        spin_ns = (Spin);                                                                          \
        fence = (Fence);                                                                           \
        check_answers(SHMRING_SPSC);                                                               \
    }                                                                                              \
    Test(storm, Way##_answers_mpmc, .init = setup)                                                 \
    {                                                                                              \
        spin_ns = (Spin);                                                                          \
        fence = (Fence);                                                                           \
        check_answers(SHMRING_MPMC);                                                               \
    }                                                                                              \
    Test(storm, Way##_stream, .init = setup)                                                       \
    {                                                                                              \
        spin_ns = (Spin);                                                                          \
        fence = (Fence);                                                                           \
        check_crowd(4096, 1, 1);                                                                   \
    }                                                                                              \
    Test(storm, Way##_crowd, .init = setup)                                                        \
    {                                                                                              \
        spin_ns = (Spin);                                                                          \
        fence = (Fence);                                                                           \
        check_crowd(2, CROWD, CROWD);                                                              \
    }

STORMS(sleep_at_once, 0, 0)
STORMS(spin_a_little, 2000, 0)
STORMS(spin_as_usual, 50000, 0)
STORMS(without_a_fence, 0, SHMRING_ASYMMETRIC_FENCE)
STORMS(spin_a_little_without_a_fence, 2000, SHMRING_ASYMMETRIC_FENCE)
