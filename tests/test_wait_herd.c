/* SPDX-License-Identifier: MIT */
/*
 * No thundering herd: of those who sleep at one mpmc queue, a message wakes one. Counted by what the
 * kernel says about each sleeper: how often it has gone to sleep.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

enum { SLEEPERS = 6, MESSAGES = 5 };

static char name[TEST_NAME_SIZE];
static _Atomic int *received;

/* Nobody looks by itself. */
static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};

static int consume(void *unused)
{
    shmring_t *q;
    char buf[8];

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_set_waiting(q, &sleepy) == 0);
    while (shmring_recv_wait(q, buf, sizeof buf, NULL) >= 0)
        atomic_fetch_add(received, 1);
    return 1;
}

/* How often it went to sleep, if it sleeps now; or -1. */
static long sleeps(pid_t pid)
{
    char path[64], line[128], state = 0;
    long times = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "State: %c", &state);
        sscanf(line, "voluntary_ctxt_switches: %ld", &times);
    }
    fclose(file);
    return state == 'S' ? times : -1;
}

/* Until all sleep and nobody has stirred for a while. Returns how often they all went to sleep. */
static long await_rest(const pid_t pid[SLEEPERS])
{
    long before = -1;

    for (int quiet = 0; quiet < 20;) {
        long sum = 0;
        for (int i = 0; i < SLEEPERS; i++) {
            long n = sleeps(pid[i]);
            sum = n < 0 || sum < 0 ? -1 : sum + n;
        }
        quiet = sum >= 0 && sum == before ? quiet + 1 : 0;
        before = sum;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return before;
}

Test(herd, a_message_wakes_one)
{
    struct shmring_futex futex;
    pid_t pid[SLEEPERS];
    shmring_t *q;

    test_name(name);
    received = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(received, MAP_FAILED);
    q = test_create_mpmc(name, SHMRING_PRODUCER | SHMRING_CONSUMER, 8, 8);
    cr_assert_eq(shmring_futex_arm(q, SHMRING_READABLE, &futex), 0); /* the first sleep is short */
    for (int i = 0; i < SLEEPERS; i++)
        pid[i] = test_fork(consume, NULL);
    long before = await_rest(pid);
    for (int n = 1; n <= MESSAGES; n++) {
        cr_assert_eq(shmring_send(q, "x", 1), 0);
        while (atomic_load(received) < n)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        long after = await_rest(pid);
        cr_assert_eq(after - before, 1, "message %d woke %ld", n, after - before);
        before = after;
    }
    for (int i = 0; i < SLEEPERS; i++)
        test_kill(pid[i]);
    shmring_close(&q);
}
