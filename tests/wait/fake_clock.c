/* SPDX-License-Identifier: MIT */
/*
 * A clock that is not the kernel's: the test replaces clock_gettime(), as libfaketime does. Its
 * clock may stand still, be slow, or be a day ahead or behind. The library believes the kernel
 * about how long a sleep took. So each timeout ends, and none ends at once.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

TestSuite(fake_clock, .timeout = 120);

/* ---- The clock ------------------------------------------------------------------------------- */

enum { SECOND = 1000000000, DAY = 24 * 3600 };

/* What the clock shows: `at`; and each real nanosecond adds rate / 1000 of one. */
static struct {
    _Atomic bool on;
    int64_t from, at, rate;
} fake;

static int64_t real_now(void)
{
    struct {
        int64_t seconds, ns;
    } now;

#if defined SYS_clock_gettime64
    syscall(SYS_clock_gettime64, CLOCK_MONOTONIC, &now);
#else
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
#endif
    return now.seconds * SECOND + now.ns;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (!atomic_load(&fake.on) || clock != CLOCK_MONOTONIC) {
#if defined SYS_clock_gettime64
        int64_t now[2] = {0};
        const int r = (int)syscall(SYS_clock_gettime64, clock, now);
        *time = (struct timespec){.tv_sec = (time_t)now[0], .tv_nsec = (long)now[1]};
        return r;
#else
        return (int)syscall(SYS_clock_gettime, clock, time);
#endif
    }
    const int64_t now = fake.at + (real_now() - fake.from) / 1000 * fake.rate;
    *time = (struct timespec){.tv_sec = (time_t)(now / SECOND), .tv_nsec = (long)(now % SECOND)};
    return 0;
}

struct setting {
    const char *name;
    int64_t seconds; /* how far the clock is ahead */
    int64_t rate;
};
static const struct setting settings[] = {
    {"right", 0, 1000},
    {"stands still", 0, 0},
    {"ten times too slow", 0, 100},
    {"a day ahead", DAY, 1000},
    {"a day ahead, and stands still", DAY, 0},
    {"near zero", -DAY * 10000LL, 1000},
    {"near zero, and stands still", -DAY * 10000LL, 0},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static void set_clock(const struct setting *s)
{
    fake.from = real_now();
    fake.at = fake.from + s->seconds * SECOND;
    if (fake.at < SECOND)
        fake.at = SECOND;
    fake.rate = s->rate;
    atomic_store(&fake.on, true);
}

/* ---- The waits ------------------------------------------------------------------------------- */

static const struct timespec a_while = {.tv_nsec = 120000000};
static char name[TEST_NAME_SIZE];

/* The wait took as long as its timeout, or longer. If it never ended, the time limit of the test
 * would end it. */
#define child_waits(Setting, Call, Expected)                                                       \
    do {                                                                                           \
        const int64_t from_ = real_now();                                                          \
        child_assert((int)(Call) == (Expected));                                                   \
        child_assert((Setting)->rate != 1000 || real_now() - from_ >= a_while.tv_nsec - 1000);     \
    } while (0)

static int wait_in_vain(void *argument)
{
    const struct setting *s = argument;
    const struct shmring_waiting often = {.spin_ns = 50000, .recheck_ms = 20};
    shmring_t *holder, *q, *missing;
    char buf[64] = "";
    void *held;

    set_clock(s);
    holder = test_create_mpmc(name, SHMRING_PRODUCER, 2, 64);
    for (int i = 0; i < 2; i++)
        child_assert(shmring_reserve(holder, 8, &held) == 0);
    child_assert(shmring_open(&q, name, BOTH) == 0);
    child_assert(shmring_set_waiting(q, &often) == 0);
    child_waits(s, shmring_recv_wait(q, buf, sizeof buf, &a_while), -ETIMEDOUT);
    child_waits(s, shmring_send_wait(q, buf, 8, &a_while), -ETIMEDOUT);
    child_waits(s, shmring_wait(q, BOTH, &a_while), -ETIMEDOUT);
    char other[TEST_NAME_SIZE + 10];
    snprintf(other, sizeof other, "%s-not", name);
    child_waits(s, shmring_open_wait(&missing, other, SHMRING_CONSUMER, &a_while), -ETIMEDOUT);
    shmring_close(&q);
    shmring_close(&holder);
    child_assert(shmring_unlink(name) == 0);
    atomic_store(&fake.on, false);
    return 0;
}

Test(fake_clock, every_timeout_ends)
{
    test_name(name);
    for (int i = 0; i < SETTINGS; i++)
        cr_assert_eq(test_run(wait_in_vain, (void *)&settings[i]), 0, "a clock that is %s",
                     settings[i].name);
}

/* Rechecks come as well, for a participant that sleeps without a timeout and for one that waits by
 * descriptor. */
static int wait_until_it_is_gone(void *argument)
{
    const struct setting *s = argument;
    const struct shmring_waiting often = {.recheck_ms = 10};
    struct pollfd p = {.events = POLLIN};
    shmring_t *q, *polled;
    char buf[64] = "";
    int r;

    set_clock(s);
    q = test_create(name, SHMRING_CONSUMER, 4096);
    child_assert(shmring_open(&polled, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_set_waiting(polled, &often) == 0);
    while (shmring_send(polled, buf, sizeof buf) == 0)
        continue;
    child_assert(shmring_set_waiting(q, &often) == 0);
    p.fd = shmring_fd(polled, SHMRING_WRITABLE);
    child_assert(p.fd >= 0);
    child_assert(shmring_fd_arm(polled, SHMRING_WRITABLE) == 0);
    child_assert(shmring_unlink(name) == 0);
    do
        child_assert(poll(&p, 1, -1) == 1);
    while ((r = shmring_fd_arm(polled, SHMRING_WRITABLE)) == 0);
    child_assert(r == -ESTALE);
    shmring_close(&polled);
    while (shmring_recv(q, buf, sizeof buf) > 0)
        continue;
    child_assert(shmring_recv_wait(q, buf, sizeof buf, NULL) == -ESTALE);
    shmring_close(&q);
    atomic_store(&fake.on, false);
    return 0;
}

Test(fake_clock, rechecks_come)
{
    test_name(name);
    for (int i = 0; i < SETTINGS; i++)
        cr_assert_eq(test_run(wait_until_it_is_gone, (void *)&settings[i]), 0, "a clock that is %s",
                     settings[i].name);
}

/* Each call that attaches tests a lock on a byte of its own, also where all calls read the same
 * time. */
static void *come_and_go(void *argument)
{
    shmring_t *host = argument, *q;
    long r = 0;

    for (int i = 0; i < 300 && r == 0; i++) {
        r = shmring_dup(&q, host, SHMRING_PRODUCER);
        if (r == 0)
            shmring_close(&q);
    }
    return (void *)r;
}

Test(fake_clock, threads_attach_at_the_same_time)
{
    enum { THREADS = 4 };
    shmring_t *host = test_create_mpmc("memfd:test", SHMRING_CONSUMER, 8, 100);
    pthread_t threads[THREADS];
    void *r;

    set_clock(&(struct setting){"stands still", 0, 0});
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go, host), 0);
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(threads[i], &r), 0);
        cr_assert_eq((long)r, 0, "%ld", (long)r);
    }
    atomic_store(&fake.on, false);
    shmring_close(&host);
}
