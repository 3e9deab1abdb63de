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

/* The calls here have six arguments, as the syscall() of refused.c reads so many. */
static int64_t real_now(void)
{
    struct {
        int64_t seconds, ns;
    } now;

#if defined SYS_clock_gettime64
    syscall(SYS_clock_gettime64, CLOCK_MONOTONIC, &now, 0L, 0L, 0L, 0L);
#else
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now, 0L, 0L, 0L, 0L);
#endif
    return now.seconds * SECOND + now.ns;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (!atomic_load(&fake.on) || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE)) {
#if defined SYS_clock_gettime64
        int64_t now[2] = {0};
        const int r = (int)syscall(SYS_clock_gettime64, clock, now, 0L, 0L, 0L, 0L);
        *time = (struct timespec){.tv_sec = (time_t)now[0], .tv_nsec = (long)now[1]};
        return r;
#else
        return (int)syscall(SYS_clock_gettime, clock, time, 0L, 0L, 0L, 0L);
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

/* ---- Deaths ---------------------------------------------------------------------------------- */

enum way { RECV_WAIT, WAIT, DESCRIPTOR, FUTEX, POLLING, WAYS };
static const char *const ways[WAYS] = {"shmring_recv_wait", "shmring_wait", "shmring_fd",
                                       "shmring_futex_arm", "polling"};

struct heir {
    const struct setting *setting;
    enum way way;
    int ready; /* the end of a pipe to tell that the wait begins */
};

static int hold_a_message(void *ready)
{
    const void *message;
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_peek(q, &message, NULL) == 8);
    test_tell(*(int *)ready);
    pause();
    return 0;
}

/* Sleep as long as a sleep on that futex may last. */
static void sleep_on(const struct shmring_futex *futex)
{
    const struct timespec limit = {.tv_sec = (time_t)(futex->limit_ns / SECOND),
                                   .tv_nsec = (long)(futex->limit_ns % SECOND)};

    nanosleep(&limit, NULL);
}

/* Wait in that way for something to receive. */
static void wait_for_it(shmring_t *q, enum way way)
{
    struct pollfd p = {.events = POLLIN};
    struct shmring_futex futex;
    int r = 0;

    switch (way) {
    case WAIT:
        child_assert(shmring_wait(q, SHMRING_READABLE, NULL) == SHMRING_READABLE);
        break;
    case DESCRIPTOR:
        p.fd = shmring_fd(q, SHMRING_READABLE);
        child_assert(p.fd >= 0);
        while ((r = shmring_fd_arm(q, SHMRING_READABLE)) == 0)
            child_assert(poll(&p, 1, -1) == 1);
        child_assert(r == 1);
        break;
    case FUTEX:
        while ((r = shmring_futex_arm(q, SHMRING_READABLE, &futex)) == 0)
            sleep_on(&futex);
        child_assert(r == 1);
        break;
    default: /* what receives does it */
        break;
    }
}

static int inherit(void *argument)
{
    const struct shmring_waiting often = {.recheck_ms = 20};
    const struct heir *heir = argument;
    char buf[8];
    shmring_t *q;
    ssize_t n;

    set_clock(heir->setting);
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_set_waiting(q, &often) == 0);
    /* So that this handle's last sweep is one that found no dead participant. */
    child_assert(shmring_recv_wait(q, buf, sizeof buf, &a_while) == -ETIMEDOUT);
    test_tell(heir->ready);
    wait_for_it(q, heir->way);
    if (heir->way == POLLING)
        while ((n = shmring_recv(q, buf, sizeof buf)) == -EAGAIN)
            continue;
    else
        n = shmring_recv_wait(q, buf, sizeof buf, NULL);
    child_assert(n == sizeof buf);
    shmring_close(&q);
    atomic_store(&fake.on, false);
    return 0;
}

static int outlive(const struct setting *setting, enum way way)
{
    struct heir heir = {setting, way, -1};
    int held[2], ready[2];

    shmring_t *q = test_create_mpmc(name, SHMRING_PRODUCER, 4, 8);
    cr_assert_eq(shmring_send(q, "8 bytes.", 8), 0);
    shmring_close(&q);
    test_pipe(held);
    test_pipe(ready);
    heir.ready = ready[1];
    const pid_t holder = test_fork(hold_a_message, &held[1]);
    test_hear(held[0]);
    const pid_t pid = test_fork(inherit, &heir);
    test_hear(ready[0]);
    test_kill(holder);
    for (int i = 0; i < 2; i++) {
        close(held[i]);
        close(ready[i]);
    }
    const int r = test_wait(pid);
    cr_assert_eq(shmring_unlink(name), 0);
    return r;
}

/* What a dead participant held is recovered, however the others wait for it. */
Test(fake_clock, deaths_are_noticed)
{
    test_name(name);
    for (int i = 0; i < SETTINGS; i++)
        for (int way = 0; way < WAYS; way++)
            cr_assert_eq(outlive(&settings[i], (enum way)way), 0, "%s, a clock that is %s",
                         ways[way], settings[i].name);
}

/* ---- Attaching ------------------------------------------------------------------------------- */

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
