/* SPDX-License-Identifier: MIT */
/*
 * No thundering herd: a message wakes one of the participants that sleep at an mpmc queue. The test
 * counts how often they return from the call that sleeps, which is replaced when the program is
 * linked.
 */
#include <config.h>

#include <linux/futex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "settled.h"
#include "support.h"

TestSuite(herd, .timeout = 600);

enum { SLEEPERS = 6, MESSAGES = 5 };

#if defined SYS_futex_time64
#define FUTEX SYS_futex_time64
#else
#define FUTEX SYS_futex
#endif

static char name[TEST_NAME_SIZE];

/* In memory that all processes share. */
static struct counts {
    _Atomic long slept, woke, received;
} * counts;

/* A sleeper rechecks only after an hour. */
static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    const bool sleeps = number == FUTEX && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
    if (sleeps)
        atomic_fetch_add(&counts->slept, 1);
    const long r = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (sleeps)
        atomic_fetch_add(&counts->woke, 1);
    return r;
}

static int consume(void *unused)
{
    shmring_t *q;
    char buf[8];

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_set_waiting(q, &sleepy) == 0);
    while (shmring_recv_wait(q, buf, sizeof buf, NULL) >= 0)
        atomic_fetch_add(&counts->received, 1);
    return 1;
}

static char state(pid_t pid)
{
    char path[64], c = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%*d (%*[^)]) %c", &c), 1);
    fclose(file);
    return c;
}

/* All are in the call that sleeps, and the kernel says that they sleep. */
static bool all_sleep(const pid_t pid[SLEEPERS])
{
    if (atomic_load(&counts->slept) - atomic_load(&counts->woke) != SLEEPERS)
        return false;
    for (int i = 0; i < SLEEPERS; i++)
        if (state(pid[i]) != 'S')
            return false;
    return true;
}

/* Wait until all sleep, and none has woken for twenty checks. Returns how often they have woken so
 * far. */
static long await_rest(const pid_t pid[SLEEPERS])
{
    long before = -1;

    for (int quiet = 0; quiet < 20;) {
        long woke = atomic_load(&counts->woke);
        quiet = all_sleep(pid) && woke == before ? quiet + 1 : 0;
        before = woke;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return before;
}

Test(herd, a_message_wakes_one)
{
    pid_t pid[SLEEPERS];
    shmring_t *q;

    test_name(name);
    counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(counts, MAP_FAILED);
    q = test_create_mpmc(name, SHMRING_PRODUCER | SHMRING_CONSUMER, 8, 8);
    test_settle_sleeps(q);
    for (int i = 0; i < SLEEPERS; i++)
        pid[i] = test_fork(consume, NULL);
    long before = await_rest(pid);
    for (int n = 1; n <= MESSAGES; n++) {
        cr_assert_eq(shmring_send(q, "x", 1), 0);
        while (atomic_load(&counts->received) < n)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        long after = await_rest(pid);
        cr_assert_eq(after - before, 1, "message %d woke %ld", n, after - before);
        before = after;
    }
    for (int i = 0; i < SLEEPERS; i++)
        test_kill(pid[i]);
    shmring_close(&q);
}
