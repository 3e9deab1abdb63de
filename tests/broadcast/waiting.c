/* SPDX-License-Identifier: MIT */
/* Waiting at a broadcast queue: sleepers, descriptors, futexes, and consumers that may only read.
 */
#include <config.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue.h"

static char name[TEST_NAME_SIZE];
static const struct timespec long_time = {.tv_sec = 60};
static const struct timespec no_time = {0};

/* Sleep at once, and recheck so rarely that a test would not end. */
static const struct shmring_waiting rarely = {.spin_ns = 0, .recheck_ms = 3600000};

static shmring_t *create(uint32_t rows)
{
    test_name(name);
    return cast_create(name, CAST_RING, rows);
}

/* ---- Sleepers -------------------------------------------------------------------------------- */

static int sleeping_consumer(void *flags)
{
    uint8_t buf[CAST_LEN];
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER | *(unsigned *)flags) == 0);
    child_assert(shmring_set_waiting(q, &rarely) == 0);
    for (uint64_t n = 0; n < 200; n++) {
        child_assert(shmring_recv_wait(q, buf, sizeof buf, &long_time) == CAST_LEN);
        child_assert(cast_is(n, buf, CAST_LEN));
    }
    shmring_close(&q);
    return 0;
}

Test(broadcast_waiting, one_message_wakes_all_sleepers, .timeout = 120)
{
    enum { SLEEPERS = 6 };
    shmring_t *q = create(4); /* two of them have no row */
    unsigned flags[SLEEPERS] = {SHMRING_RELIABLE, SHMRING_RELIABLE};
    pid_t child[SLEEPERS];

    for (int i = 0; i < SLEEPERS; i++) {
        child[i] = test_fork(sleeping_consumer, &flags[i]);
        test_await_sleep(child[i]);
    }
    for (uint64_t n = 0; n < 200; n++) {
        cast_send(q, n, 1);
        for (int i = 0; i < SLEEPERS && n < 199; i++)
            test_await_sleep(child[i]);
    }
    for (int i = 0; i < SLEEPERS; i++)
        cr_assert_eq(test_wait(child[i]), 0, "sleeper %d", i);
    shmring_close(&q);
}

static int waiting_producer(void *unused)
{
    uint8_t bytes[CAST_LEN];
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_set_waiting(q, &rarely) == 0);
    for (uint64_t n = 0; n < 1000; n++) {
        cast_fill(n, bytes, sizeof bytes);
        child_assert(shmring_send_wait(q, bytes, sizeof bytes, &long_time) == 0);
    }
    shmring_close(&q);
    return 0;
}

Test(broadcast_waiting, a_producer_sleeps_until_a_reliable_consumer_makes_room, .timeout = 120)
{
    shmring_t *q = create(2), *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    shmring_t *plain = cast_attach(q, SHMRING_CONSUMER);

    shmring_close(&q);
    pid_t child = test_fork(waiting_producer, NULL);
    uint8_t buf[CAST_LEN];
    uint64_t n = 0;
    while (n < 1000 - 2 * CAST_RING / CAST_RECORD) { /* so far it cannot have sent all */
        test_await_sleep(child);
        for (ssize_t r; (r = shmring_recv(c, buf, sizeof buf)) != -EAGAIN; n++)
            cr_assert(r == CAST_LEN && cast_is(n, buf, CAST_LEN));
    }
    for (; n < 1000; n++) {
        cr_assert_eq(shmring_recv_wait(c, buf, sizeof buf, &long_time), CAST_LEN);
        cr_assert(cast_is(n, buf, CAST_LEN));
    }
    cr_assert_eq(test_wait(child), 0);
    shmring_close(&c);
    shmring_close(&plain);
}

Test(broadcast_waiting, errors)
{
    shmring_t *q = create(2), *c = cast_attach(q, SHMRING_CONSUMER);
    uint8_t buf[8];
    const struct timespec bad = {.tv_nsec = 1000000000};

    assert_refused(shmring_recv_wait(c, buf, sizeof buf, &no_time), ETIMEDOUT, "in time");
    assert_refused(shmring_recv_wait(c, buf, sizeof buf, &bad), EINVAL, "timeout");
    assert_refused(shmring_wait(c, SHMRING_WRITABLE, NULL), EPERM, "only a producer");
    assert_refused(shmring_wait(q, SHMRING_READABLE, NULL), EPERM, "only a consumer");
    cr_assert_eq(shmring_wait(q, SHMRING_WRITABLE, &no_time), SHMRING_WRITABLE);
    cast_send(q, 0, 100);
    cr_assert_eq(shmring_wait(c, SHMRING_READABLE, &no_time), SHMRING_READABLE, "a lap, too");
    assert_refused(shmring_recv_wait(c, buf, sizeof buf, NULL), EOVERFLOW, "missed");
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast_waiting, peers)
{
    const struct shmring_waiting peers = {.flags = SHMRING_WAIT_PEERS};
    const struct shmring_waiting hangup = {.flags = SHMRING_WAIT_HANGUP};
    shmring_t *q = create(2), *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    uint8_t buf[CAST_LEN];

    cast_send(q, 0, 1);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(shmring_set_waiting(c, i ? &peers : &hangup), 0);
        assert_refused(shmring_recv_wait(c, buf, 0, &no_time), EMSGSIZE, "longer");
    }
    shmring_close(&q);
    cast_receives(c, 0, 1);
    assert_refused(shmring_recv_wait(c, buf, sizeof buf, NULL), EPIPE, "no live producer");
    cr_assert_eq(shmring_set_waiting(c, &hangup), 0);
    assert_refused(shmring_recv_wait(c, buf, sizeof buf, NULL), EPIPE, "no live producer");
    q = cast_attach(c, SHMRING_PRODUCER);
    assert_refused(shmring_recv_wait(c, buf, sizeof buf, &no_time), ETIMEDOUT, "in time");

    /* The producer waits only for a live consumer. */
    cr_assert_eq(shmring_set_waiting(q, &peers), 0);
    int r;
    do
        r = shmring_send_wait(q, buf, sizeof buf, &no_time);
    while (r == 0);
    cr_assert_eq(r, -ETIMEDOUT);
    shmring_close(&c);
    cr_assert_eq(shmring_send_wait(q, buf, sizeof buf, NULL), 0, "no consumer holds it up");
    shmring_close(&q);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

static bool is_readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

static void drain_and_arm(shmring_t *c, uint64_t *next)
{
    uint8_t buf[CAST_LEN];
    int r;

    do
        while (shmring_recv(c, buf, sizeof buf) == CAST_LEN) {
            cr_assert(cast_is(*next, buf, CAST_LEN));
            ++*next;
        }
    while ((r = shmring_fd_arm(c, SHMRING_READABLE)) == 1);
    cr_assert_eq(r, 0, "%s", shmring_strerror_detail());
}

/* A wake-up of one consumer does not take away that of another one. */
Test(broadcast_waiting, each_descriptor_becomes_readable, .timeout = 120)
{
    enum { WAITING = 5 };
    shmring_t *q = create(3), *c[WAITING];
    uint64_t next[WAITING] = {0};
    int fd[WAITING];

    for (int i = 0; i < WAITING; i++) {
        c[i] = cast_attach(q, SHMRING_CONSUMER);
        cr_assert_eq(shmring_set_waiting(c[i], &rarely), 0);
        cr_assert_geq(fd[i] = shmring_fd(c[i], SHMRING_READABLE), 0, "%s",
                      shmring_strerror_detail());
        cr_assert(is_readable(fd[i], -1), "at first");
        drain_and_arm(c[i], &next[i]);
    }
    for (int i = 0; i < WAITING; i++) /* until every producer sees that a consumer waits */
        while (is_readable(fd[i], 60))
            drain_and_arm(c[i], &next[i]);
    for (uint64_t n = 0; n < 300; n++) {
        for (int i = 0; i < WAITING; i++)
            cr_assert_not(is_readable(fd[i], 0), "%d", i);
        cast_send(q, n, 1);
        /* In another order each time, and the first one arms again before the others look. */
        for (int i = 0; i < WAITING; i++) {
            const int who = (i + (int)n) % WAITING;
            cr_assert(is_readable(fd[who], 60000), "consumer %d, message %d", who, (int)n);
            cr_assert(is_readable(fd[who], 60000), "it stays readable");
            drain_and_arm(c[who], &next[who]);
            cr_assert_eq(next[who], n + 1);
        }
    }
    for (int i = 0; i < WAITING; i++)
        shmring_close(&c[i]);
    shmring_close(&q);
}

Test(broadcast_waiting, an_edge_triggered_loop, .timeout = 120)
{
    shmring_t *q = create(3), *c = cast_attach(q, SHMRING_CONSUMER);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    const int loop = epoll_create1(EPOLL_CLOEXEC);
    uint64_t next = 0;

    cr_assert_eq(shmring_set_waiting(c, &rarely), 0);
    cr_assert_eq(epoll_ctl(loop, EPOLL_CTL_ADD, shmring_fd(c, SHMRING_READABLE), &event), 0);
    cr_assert_eq(epoll_wait(loop, &event, 1, 60000), 1);
    drain_and_arm(c, &next);
    while (epoll_wait(loop, &event, 1, 60) == 1) /* see "The first sleep" in lib/wait/waitword.h */
        drain_and_arm(c, &next);
    for (uint64_t n = 0; n < 300; n++) {
        cast_send(q, n, 1);
        while (next <= n) {
            cr_assert_eq(epoll_wait(loop, &event, 1, 60000), 1, "message %d", (int)n);
            drain_and_arm(c, &next);
        }
    }
    close(loop);
    shmring_close(&c);
    shmring_close(&q);
}

Test(broadcast_waiting, the_producers_descriptor, .timeout = 120)
{
    shmring_t *q = create(2), *c = cast_attach(q, SHMRING_CONSUMER | SHMRING_RELIABLE);
    const int fd = shmring_fd(q, SHMRING_WRITABLE);
    uint8_t bytes[CAST_LEN] = {0};

    cr_assert_eq(shmring_set_waiting(q, &rarely), 0);
    for (int round = 0; round < 50; round++) {
        int r;
        do
            while ((r = shmring_send(q, bytes, sizeof bytes)) == 0)
                ;
        while ((r = shmring_fd_arm(q, SHMRING_WRITABLE)) == 1);
        cr_assert_eq(r, 0);
        for (int i = 0; i < 8; i++)
            cr_assert_eq(shmring_recv(c, bytes, sizeof bytes), CAST_LEN);
        cr_assert(is_readable(fd, 60000));
    }
    shmring_close(&c);
    cr_assert_eq(shmring_send(q, bytes, sizeof bytes), 0);
    shmring_close(&q);
}

/* ---- Futexes --------------------------------------------------------------------------------- */

Test(broadcast_waiting, futex_words)
{
    shmring_t *q = create(2), *c[2];
    struct shmring_futex futex[2];

    for (int i = 0; i < 2; i++) {
        c[i] = cast_attach(q, SHMRING_CONSUMER);
        cr_assert_eq(shmring_futex_arm(c[i], SHMRING_READABLE, &futex[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        cr_assert_eq(*(const volatile uint32_t *)futex[i].word, futex[i].value);
    cast_send(q, 0, 1);
    for (int i = 0; i < 2; i++) {
        cr_assert_neq(*(const volatile uint32_t *)futex[i].word, futex[i].value);
        cr_assert_eq(shmring_futex_arm(c[i], SHMRING_READABLE, &futex[i]), 1);
        shmring_close(&c[i]);
    }
    shmring_close(&q);
}

/* ---- Permission to read only ----------------------------------------------------------------- */

/* Become another user, who may only read. */
static shmring_t *open_as_reader(unsigned flags)
{
    shmring_t *q;

    child_assert(setgid(65534) == 0 && setuid(65534) == 0);
    child_refused(shmring_open(&q, name, SHMRING_PRODUCER), EACCES, "");
    child_refused(shmring_open(&q, name, SHMRING_CONSUMER | SHMRING_RELIABLE), EACCES,
                  "a reliable consumer needs permission to write");
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER | flags) == 0);
    return q;
}

static int reader(void *go)
{
    const int *ends = go;
    shmring_t *q = open_as_reader(SHMRING_FROM_OLDEST);
    uint8_t buf[CAST_LEN];
    const void *msg;
    struct shmring_stat st;
    struct shmring_futex futex;

    for (uint64_t n = 0; n < 3; n++) {
        child_assert(shmring_recv(q, buf, sizeof buf) == CAST_LEN);
        child_assert(cast_is(n, buf, CAST_LEN));
    }
    child_assert(shmring_peek(q, &msg, NULL) == CAST_LEN && cast_is(3, msg, CAST_LEN));
    child_assert(shmring_release(q, msg) == 0);
    child_assert(shmring_participants(q, NULL, 0) == 1);
    child_assert(shmring_futex_arm(q, SHMRING_READABLE, &futex) == 0);
    child_assert(futex.flags == SHMRING_FUTEX_UNSURE);
    child_refused(shmring_recv_wait(q, buf, sizeof buf, &no_time), ETIMEDOUT, "");
    test_tell(ends[1]);
    /* Sleeps by the clock. */
    child_assert(shmring_recv_wait(q, buf, sizeof buf, &long_time) == CAST_LEN);
    child_assert(cast_is(4, buf, CAST_LEN));
    const int fd = shmring_fd(q, SHMRING_READABLE);
    child_assert(fd >= 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    child_assert(poll(&p, 1, 60000) == 1);
    child_assert(shmring_fd_arm(q, SHMRING_READABLE) == 0);
    test_tell(ends[1]);
    while (shmring_recv(q, buf, sizeof buf) != CAST_LEN) {
        child_assert(poll(&p, 1, 60000) == 1);
        child_assert(shmring_fd_arm(q, SHMRING_READABLE) >= 0);
    }
    child_assert(cast_is(5, buf, CAST_LEN));
    child_assert(shmring_stat(q, &st) == 0 && st.received == 0 && st.asleep == 0);
    child_assert(shmring_skip(q) == 0);
    child_refused(shmring_recover(q, NULL), EACCES, "reading and writing");
    shmring_close(&q);
    return 0;
}

Test(broadcast_waiting, permission_to_read_is_enough, .timeout = 120)
{
    int ends[2];

    if (!test_is_root())
        cr_skip_test("needs root, to become another user");
    const struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                          .capacity = CAST_RING,
                                          .max_participants = 4,
                                          .mode = 0644,
                                          .flags = SHMRING_PRODUCER};
    shmring_t *q;
    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0);
    cast_send(q, 0, 4);
    test_pipe(ends);
    pid_t child = test_fork(reader, ends);
    test_hear(ends[0]);
    test_await_sleep(child);
    cast_send(q, 4, 1);
    test_hear(ends[0]);
    cast_send(q, 5, 1);
    cr_assert_eq(test_wait(child), 0);
    shmring_close(&q);
}

static int reader_of_spsc(void *unused)
{
    shmring_t *q;

    (void)unused;
    child_assert(setgid(65534) == 0 && setuid(65534) == 0);
    child_refused(shmring_open(&q, name, SHMRING_CONSUMER), EACCES, "");
    child_assert(shmring_open(&q, name, SHMRING_OBSERVER) == 0);
    shmring_t *copy;
    child_refused(shmring_dup(&copy, q, SHMRING_CONSUMER), EACCES, "");
    shmring_close(&q);
    return 0;
}

Test(broadcast_waiting, other_kinds_want_permission_to_write)
{
    const struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = 4096, .mode = 0644};
    shmring_t *q;

    if (!test_is_root())
        cr_skip_test("needs root, to become another user");
    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0);
    cr_assert_eq(test_run(reader_of_spsc, NULL), 0);
    shmring_close(&q);
}

static int reader_by_descriptor(void *q)
{
    shmring_t *copy;
    uint8_t buf[CAST_LEN];

    child_assert(setgid(65534) == 0 && setuid(65534) == 0);
    child_assert(shmring_dup(&copy, q, SHMRING_CONSUMER | SHMRING_FROM_OLDEST) == 0);
    child_assert(shmring_recv(copy, buf, sizeof buf) == CAST_LEN);
    shmring_close(&copy);
    return 0;
}

Test(broadcast_waiting, by_descriptor_too)
{
    const struct shmring_config config = {
        .kind = SHMRING_BROADCAST, .capacity = CAST_RING, .mode = 0644, .flags = SHMRING_PRODUCER};
    shmring_t *q;

    if (!test_is_root())
        cr_skip_test("needs root, to become another user");
    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0);
    cast_send(q, 0, 1);
    cr_assert_eq(test_run(reader_by_descriptor, q), 0);
    shmring_close(&q);
}

/* ---- Fork ------------------------------------------------------------------------------------ */

static int child_of_consumer(void *q)
{
    shmring_t *mine = q, *copy;
    uint8_t buf[CAST_LEN];

    child_refused(shmring_recv(mine, buf, sizeof buf), ENOTCONN, "parent");
    child_refused(shmring_skip(mine), ENOTCONN, "parent");
    child_assert(shmring_dup(&copy, mine, SHMRING_CONSUMER | SHMRING_FROM_OLDEST) == 0);
    child_assert(shmring_recv(copy, buf, sizeof buf) == CAST_LEN);
    shmring_close(&copy);
    shmring_close(&mine);
    return 0;
}

Test(broadcast_waiting, fork)
{
    shmring_t *q = create(2), *c = cast_attach(q, SHMRING_CONSUMER);

    cast_send(q, 0, 1);
    cr_assert_eq(test_run(child_of_consumer, c), 0);
    cast_receives(c, 0, 1);
    shmring_close(&c);
    shmring_close(&q);
}
