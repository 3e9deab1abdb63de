/* SPDX-License-Identifier: MIT */
/*
 * Descriptors to wait by. No test depends on how long a step takes: if a descriptor never becomes
 * readable, the test fails by its time limit.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include "lib/spsc/quick.h"
#include "settled.h"
#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

TestSuite(fd, .timeout = 120);

/* Recheck only after an hour: a waiter must have been notified of each event. */
static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};
static const struct shmring_waiting often = {.recheck_ms = 1};

static char name[TEST_NAME_SIZE];
static shmring_t *producer, *consumer;
static char buf[4096];

static shmring_t *open_role(unsigned flags)
{
    shmring_t *handle;

    cr_assert_eq(shmring_open(&handle, name, flags), 0, "%s", shmring_strerror_detail());
    return handle;
}

static void setup_kind(uint32_t kind, unsigned options)
{
    test_name(name);
    producer = kind == SHMRING_SPSC ? test_create(name, SHMRING_PRODUCER | options, 4096)
                                    : test_create_mpmc(name, SHMRING_PRODUCER | options, 4, 100);
    consumer = open_role(SHMRING_CONSUMER | options);
    test_settle_sleeps(consumer);
    cr_assert_eq(shmring_set_waiting(producer, &sleepy), 0);
    cr_assert_eq(shmring_set_waiting(consumer, &sleepy), 0);
}

static void setup_spsc(void)
{
    setup_kind(SHMRING_SPSC, 0);
}

static void setup_mpmc(void)
{
    setup_kind(SHMRING_MPMC, 0);
}

static void setup_unfenced(void)
{
    setup_kind(SHMRING_SPSC, SHMRING_ASYMMETRIC_FENCE);
}

static void teardown(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_unlink(name);
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void await(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    cr_assert_eq(poll(&p, 1, -1), 1);
    cr_assert_eq(p.revents, POLLIN);
}

static void arm(shmring_t *q, unsigned event)
{
    cr_assert_eq(shmring_fd_arm(q, event), 0, "%s", shmring_strerror_detail());
}

static int armed(shmring_t *q, unsigned event)
{
    int fd = shmring_fd(q, event);

    cr_assert_geq(fd, 0, "%s", shmring_strerror_detail());
    arm(q, event);
    cr_assert(!is_readable(fd));
    return fd;
}

static void send_one(void)
{
    cr_assert_eq(shmring_send(producer, "hello", 5), 0);
}

static void receive_one(shmring_t *q)
{
    cr_assert_eq(shmring_recv(q, buf, sizeof buf), 5);
    cr_assert_arr_eq(buf, "hello", 5);
}

static void fill(shmring_t *q)
{
    while (shmring_send(q, buf, 64) == 0)
        continue;
}

static void empty(shmring_t *q)
{
    while (shmring_recv(q, buf, sizeof buf) >= 0)
        continue;
}

/* The path of an event's notifier, in a buffer of its own. */
static const char *notifier_of(const shmring_t *q, char letter)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s", q->notifier);
    path[strlen(path) - 1] = letter;
    return path;
}

/* ---- The calls ------------------------------------------------------------------------------- */

static void check_refusals(void)
{
    shmring_t *observer = open_role(SHMRING_OBSERVER);
    int (*const calls[])(shmring_t *, unsigned) = {shmring_fd, shmring_fd_arm};

    for (int i = 0; i < 2; i++) {
        assert_refused(calls[i](NULL, SHMRING_READABLE), EBADF, "NULL");
        assert_refused(calls[i](consumer, 0), EINVAL, "events");
        assert_refused(calls[i](consumer, 4), EINVAL, "events");
        assert_refused(calls[i](consumer, SHMRING_WRITABLE), EPERM, "producer");
        assert_refused(calls[i](producer, SHMRING_READABLE), EPERM, "consumer");
        assert_refused(calls[i](observer, SHMRING_READABLE), EPERM, "consumer");
    }
    shmring_close(&observer);
}

Test(fd, refusals, .init = setup_spsc, .fini = teardown)
{
    check_refusals();
    teardown();
    shmring_t *both = test_create(name, BOTH, 4096);
    assert_refused(shmring_fd(both, BOTH), EINVAL, "call twice");
    assert_refused(shmring_fd_arm(both, BOTH), EINVAL, "call twice");
    shmring_close(&both);
}

Test(fd, refusals_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_refusals();
}

Test(fd, always_the_same, .init = setup_spsc, .fini = teardown)
{
    int fd = shmring_fd(consumer, SHMRING_READABLE);

    cr_assert_geq(fd, 0);
    cr_assert_eq(shmring_fd(consumer, SHMRING_READABLE), fd);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    await(fd); /* so that the loop arms the descriptor */
    arm(consumer, SHMRING_READABLE);
    cr_assert(!is_readable(fd));
    cr_assert_eq(shmring_fd(consumer, SHMRING_READABLE), fd);
    cr_assert(!is_readable(fd));
}

Test(fd, arming_needs_no_call_before, .init = setup_spsc, .fini = teardown)
{
    arm(consumer, SHMRING_READABLE);
    cr_assert(!is_readable(shmring_fd(consumer, SHMRING_READABLE)));
}

Test(fd, one_for_each_event, .init = setup_spsc, .fini = teardown)
{
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_t *both = consumer = open_role(BOTH);
    cr_assert_eq(shmring_set_waiting(both, &sleepy), 0);
    int readable = armed(both, SHMRING_READABLE), writable = shmring_fd(both, SHMRING_WRITABLE);

    cr_assert_neq(readable, writable);
    cr_assert_eq(shmring_fd_arm(both, SHMRING_WRITABLE), 1);
    fill(both);
    arm(both, SHMRING_WRITABLE);
    cr_assert(!is_readable(writable));
    await(readable);
    empty(both);
    await(writable);
}

/* ---- Which calls notify ---------------------------------------------------------------------- */

static void send_in_a_batch(void)
{
    struct iovec batch = {"hello", 5};

    cr_assert_eq(shmring_send_batch(producer, &batch, 1), 1);
}

static void commit(void)
{
    void *place;

    cr_assert_eq(shmring_reserve(producer, 5, &place), 0);
    memcpy(place, "hello", 5);
    cr_assert_eq(shmring_commit(producer, place, 5), 0);
}

static void check_each_way_to_send_notifies(void)
{
    void (*const ways[])(void) = {send_one, send_in_a_batch, commit};

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        int fd = armed(consumer, SHMRING_READABLE);
        ways[i]();
        await(fd);
        await(fd); /* until the descriptor is armed */
        cr_assert_eq(shmring_fd_arm(consumer, SHMRING_READABLE), 1);
        receive_one(consumer);
    }
}

Test(fd, each_way_to_send_notifies, .init = setup_spsc, .fini = teardown)
{
    check_each_way_to_send_notifies();
}

Test(fd, each_way_to_send_notifies_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_each_way_to_send_notifies();
}

Test(fd, each_way_to_send_notifies_without_a_fence, .init = setup_unfenced, .fini = teardown)
{
    check_each_way_to_send_notifies();
}

static void receive_by_copy(void)
{
    cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), 64);
}

static void receive_by_batch(void)
{
    struct iovec batch = {buf, sizeof buf};

    cr_assert_eq(shmring_recv_batch(consumer, &batch, 1), 1);
}

static void receive_in_place(void)
{
    const void *msg;

    cr_assert_eq(shmring_peek(consumer, &msg, NULL), 64);
    cr_assert_eq(shmring_release(consumer, msg), 0);
}

static void check_each_way_to_receive_notifies(void)
{
    void (*const ways[])(void) = {receive_by_copy, receive_by_batch, receive_in_place};

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        fill(producer);
        int fd = armed(producer, SHMRING_WRITABLE);
        ways[i]();
        await(fd);
        cr_assert_eq(shmring_fd_arm(producer, SHMRING_WRITABLE), 1);
        cr_assert_eq(shmring_send(producer, buf, 64), 0);
    }
}

Test(fd, each_way_to_receive_notifies, .init = setup_spsc, .fini = teardown)
{
    check_each_way_to_receive_notifies();
}

Test(fd, each_way_to_receive_notifies_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_each_way_to_receive_notifies();
}

Test(fd, a_long_message_waits_for_enough_room, .init = setup_spsc, .fini = teardown)
{
    fill(producer);
    cr_assert_eq(shmring_send(producer, buf, 300), -EAGAIN);
    int fd = armed(producer, SHMRING_WRITABLE), turns = 0;

    for (; shmring_fd_arm(producer, SHMRING_WRITABLE) == 0; turns++) {
        receive_by_copy();
        await(fd);
    }
    cr_assert_geq(turns, 4);
    cr_assert_eq(shmring_send(producer, buf, 300), 0);
}

Test(fd, a_cancelled_reservation_notifies, .init = setup_mpmc, .fini = teardown)
{
    shmring_t *other = open_role(SHMRING_PRODUCER);
    void *place[4];

    for (int i = 0; i < 4; i++)
        cr_assert_eq(shmring_reserve(other, 10, &place[i]), 0);
    cr_assert_eq(shmring_send(producer, "x", 1), -EAGAIN);
    int fd = armed(producer, SHMRING_WRITABLE);
    cr_assert_eq(shmring_cancel(other, place[2]), 0);
    await(fd);
    cr_assert_eq(shmring_send(producer, "x", 1), 0);
    shmring_close(&other);
}

Test(fd, a_full_notifier_is_as_good, .init = setup_spsc, .fini = teardown)
{
    int fd = armed(consumer, SHMRING_READABLE);
    int waitword = open(notifier_of(consumer, 'r'), O_WRONLY | O_NONBLOCK);

    cr_assert_geq(waitword, 0);
    while (write(waitword, buf, sizeof buf) > 0)
        continue;
    cr_assert_eq(errno, EAGAIN);
    close(waitword);
    send_one();
    await(fd);
    receive_one(consumer);
    while (is_readable(fd))
        cr_assert_eq(shmring_fd_arm(consumer, SHMRING_READABLE), 0);
}

/* ---- Ways to poll ---------------------------------------------------------------------------- */

static int loop = -1;

static void await_in_epoll(uint32_t how, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | how};

    if (loop < 0) {
        loop = epoll_create1(EPOLL_CLOEXEC);
        cr_assert_eq(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), 0);
    }
    cr_assert_eq(epoll_wait(loop, &event, 1, -1), 1);
    cr_assert_eq(event.events, EPOLLIN);
}

static void await_in_epoll_level(int fd)
{
    await_in_epoll(0, fd);
}

static void await_in_epoll_edge(int fd)
{
    await_in_epoll(EPOLLET, fd);
}

static void await_in_select(int fd)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(fd, &set);
    cr_assert_eq(select(fd + 1, &set, NULL, NULL, NULL), 1);
}

enum { NUMBERS = 2000 };

static int send_numbers(void *unused)
{
    shmring_t *q;
    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_set_waiting(q, &sleepy) == 0);
    for (int i = 0; i < NUMBERS; i++)
        child_assert(shmring_send_wait(q, &i, sizeof i, NULL) == 0);
    shmring_close(&q);
    return 0;
}

/* An example's loop, beside a process that sometimes sleeps for room. */
static void check_loop(void (*poller)(int))
{
    int number, next = 0;
    ssize_t n;

    shmring_close(&producer);
    pid_t pid = test_fork(send_numbers, NULL);
    int fd = shmring_fd(consumer, SHMRING_READABLE);
    while (next < NUMBERS) {
        poller(fd);
        do {
            while ((n = shmring_recv(consumer, &number, sizeof number)) == sizeof number)
                cr_assert_eq(number, next++);
            cr_assert_eq(n, -EAGAIN);
        } while (shmring_fd_arm(consumer, SHMRING_READABLE) > 0);
    }
    cr_assert_eq(test_wait(pid), 0);
    if (loop >= 0)
        close(loop);
    loop = -1;
}

Test(fd, in_poll, .init = setup_spsc, .fini = teardown)
{
    check_loop(await);
}

Test(fd, in_select, .init = setup_mpmc, .fini = teardown)
{
    check_loop(await_in_select);
}

Test(fd, in_epoll_level, .init = setup_spsc, .fini = teardown)
{
    check_loop(await_in_epoll_level);
}

Test(fd, in_epoll_level_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_loop(await_in_epoll_level);
}

Test(fd, in_epoll_edge, .init = setup_spsc, .fini = teardown)
{
    check_loop(await_in_epoll_edge);
}

Test(fd, in_epoll_edge_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_loop(await_in_epoll_edge);
}

/* ---- Several participants that wait ---------------------------------------------------------- */

Test(fd, one_empties_the_notifier_of_two, .init = setup_mpmc, .fini = teardown)
{
    shmring_t *other = open_role(SHMRING_CONSUMER);

    cr_assert_eq(shmring_set_waiting(other, &sleepy), 0);
    int fd = armed(consumer, SHMRING_READABLE), fd2 = armed(other, SHMRING_READABLE);
    send_one();
    await(fd);
    await(fd2);
    receive_one(consumer);
    arm(consumer, SHMRING_READABLE);
    cr_assert(!is_readable(fd2), "there is nothing for it");
    send_one();
    await(fd2);
    await(fd);
    receive_one(other);
    arm(other, SHMRING_READABLE);
    arm(consumer, SHMRING_READABLE);
    shmring_close(&other);
}

Test(fd, a_wake_up_is_passed_on, .init = setup_mpmc, .fini = teardown)
{
    shmring_t *other = open_role(SHMRING_CONSUMER);
    struct iovec batch[] = {{"hello", 5}, {"hello", 5}};

    cr_assert_eq(shmring_set_waiting(other, &sleepy), 0);
    armed(consumer, SHMRING_READABLE);
    int fd2 = armed(other, SHMRING_READABLE);
    cr_assert_eq(shmring_send_batch(producer, batch, 2), 2);
    cr_assert_eq(shmring_fd_arm(consumer, SHMRING_READABLE), 1);
    await(fd2); /* although the byte that the batch had written is gone */
    receive_one(consumer);
    receive_one(other);
    shmring_close(&other);
}

enum { CONSUMERS = 3, PRODUCERS = 2, EACH = 3000 };

static void child_await(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    child_assert(poll(&p, 1, -1) == 1);
}

/* Returns the number of messages that it received before a 0, modulo 251. */
static int consume(void *sum)
{
    shmring_t *q;
    int number = 1, r = 1;
    uint64_t total = 0;
    ssize_t n;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_set_waiting(q, &sleepy) == 0);
    int fd = shmring_fd(q, SHMRING_READABLE);
    while (number != 0) {
        if (r == 0)
            child_await(fd);
        while ((n = shmring_recv(q, &number, sizeof number)) == sizeof number && number != 0)
            total += (uint64_t)number;
        child_assert(number == 0 || n == -EAGAIN);
        r = number == 0 ? 0 : shmring_fd_arm(q, SHMRING_READABLE);
        child_assert(r >= 0);
    }
    child_assert(write(*(int *)sum, &total, sizeof total) == sizeof total);
    shmring_close(&q);
    return 0;
}

static int produce(void *unused)
{
    shmring_t *q;
    (void)unused;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_set_waiting(q, &sleepy) == 0);
    int fd = shmring_fd(q, SHMRING_WRITABLE);
    for (int i = 1; i <= EACH;) {
        int r = shmring_send(q, &i, sizeof i);
        child_assert(r == 0 || r == -EAGAIN);
        i += r == 0;
        if (r == -EAGAIN && (r = shmring_fd_arm(q, SHMRING_WRITABLE)) == 0)
            child_await(fd);
        child_assert(r >= 0);
    }
    shmring_close(&q);
    return 0;
}

/* All processes sleep by descriptor, with a ring of four messages between them. */
Test(fd, many_processes, .init = setup_mpmc, .fini = teardown)
{
    pid_t consumers[CONSUMERS], producers[PRODUCERS];
    uint64_t total = 0, part;
    int ends[2], none = 0;

    shmring_close(&consumer);
    test_pipe(ends);
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = test_fork(consume, &ends[1]);
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = test_fork(produce, NULL);
    for (int i = 0; i < PRODUCERS; i++)
        cr_assert_eq(test_wait(producers[i]), 0);
    for (int i = 0; i < CONSUMERS; i++)
        cr_assert_eq(shmring_send_wait(producer, &none, sizeof none, NULL), 0);
    for (int i = 0; i < CONSUMERS; i++) {
        cr_assert_eq(test_wait(consumers[i]), 0);
        cr_assert_eq(read(ends[0], &part, sizeof part), (ssize_t)sizeof part);
        total += part;
    }
    cr_assert_eq(total, (uint64_t)PRODUCERS * EACH * (EACH + 1) / 2);
}

/* ---- Peers that die or leave ----------------------------------------------------------------- */

static int die_before_notifying(void *unused)
{
    shmring_t *q;
    (void)unused;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    if (q->number == SHMR_SPSC)
        child_assert(shmr_spsc_send(&q->spsc.producer, "hello", 5) == 0);
    else
        child_assert(shmr_mpmc_send(&q->mpmc, "hello", 5) == 0);
    raise(SIGKILL);
    return 0;
}

static void check_the_timer_makes_good(void)
{
    shmring_close(&producer);
    int fd = armed(consumer, SHMRING_READABLE);
    cr_assert_eq(test_run(die_before_notifying, NULL), -SIGKILL);
    cr_assert(!is_readable(fd));
    cr_assert_eq(shmring_fd_arm(consumer, SHMRING_READABLE), 1);
    receive_one(consumer);

    cr_assert_eq(shmring_set_waiting(consumer, &often), 0);
    cr_assert_eq(shmring_fd_arm(consumer, SHMRING_READABLE), 0);
    cr_assert_eq(test_run(die_before_notifying, NULL), -SIGKILL);
    await(fd);
    receive_one(consumer);
}

Test(fd, a_publisher_killed_before_it_notifies, .init = setup_spsc, .fini = teardown)
{
    check_the_timer_makes_good();
}

Test(fd, a_publisher_killed_before_it_notifies_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_the_timer_makes_good();
}

/* The notifier was removed before the producer opened it. */
Test(fd, no_notifier_but_a_timer, .init = setup_spsc, .fini = teardown)
{
    int fd = armed(consumer, SHMRING_READABLE);

    cr_assert_eq(unlink(notifier_of(consumer, 'r')), 0);
    send_one();
    cr_assert(!is_readable(fd));
    cr_assert_eq(shmring_set_waiting(consumer, &often), 0);
    receive_one(consumer);
    cr_assert_eq(shmring_fd_arm(consumer, SHMRING_READABLE), 0);
    send_one();
    await(fd);
    receive_one(consumer);
}

/* The notifier is removed while it is in use: a waiter makes a new one, and a publisher that has
 * the old one open finds it. */
Test(fd, a_notifier_that_is_removed_is_made_again, .init = setup_mpmc, .fini = teardown)
{
    char path[PATH_MAX];
    shmring_t *other = open_role(SHMRING_CONSUMER), *late;
    int fd = armed(consumer, SHMRING_READABLE);

    cr_assert_eq(shmring_set_waiting(other, &sleepy), 0);
    snprintf(path, sizeof path, "%s", notifier_of(consumer, 'r'));
    send_one(); /* from now on the producer has the notifier open */
    await(fd);
    receive_one(consumer);
    for (int i = 0; i < 3; i++) {
        arm(consumer, SHMRING_READABLE);
        cr_assert_eq(unlink(path), 0);
        send_one(); /* by the old notifier, the only one so far */
        await(fd);
        receive_one(consumer);

        arm(consumer, SHMRING_READABLE);
        cr_assert(!is_readable(fd));
        cr_assert_eq(access(path, F_OK), 0, "it was not made again");
        late = open_role(SHMRING_PRODUCER); /* which has only the new notifier open */
        cr_assert_eq(shmring_send(late, "hello", 5), 0);
        await(fd);
        receive_one(consumer);
        arm(consumer, SHMRING_READABLE);
        send_one(); /* by the handle that has the old notifier open */
        await(fd);
        receive_one(consumer);
        shmring_close(&late);
    }

    /* A waiter with the old one and a waiter with the new one are both notified of the same
     * message. */
    arm(consumer, SHMRING_READABLE);
    cr_assert_eq(unlink(path), 0);
    int fd2 = armed(other, SHMRING_READABLE);
    send_one();
    await(fd);
    await(fd2);
    receive_one(other);
    shmring_close(&other);
}

/* A handle that both waits and publishes. */
Test(fd, a_removed_notifier_of_a_handle_that_notifies_itself, .init = setup_mpmc, .fini = teardown)
{
    char path[PATH_MAX];

    shmring_close(&producer);
    shmring_close(&consumer);
    producer = open_role(BOTH);
    consumer = open_role(BOTH);
    cr_assert_eq(shmring_set_waiting(producer, &sleepy), 0);
    cr_assert_eq(shmring_set_waiting(consumer, &sleepy), 0);
    int fd = armed(consumer, SHMRING_READABLE), own = armed(producer, SHMRING_READABLE);
    snprintf(path, sizeof path, "%s", notifier_of(consumer, 'r'));
    cr_assert_eq(unlink(path), 0);
    /* The consumer has a new notifier; the producer polls the old one. */
    arm(consumer, SHMRING_READABLE);
    send_one();
    await(fd);
    await(own);
    receive_one(producer);
    arm(producer, SHMRING_READABLE);
    arm(consumer, SHMRING_READABLE);
    cr_assert_eq(shmring_send(consumer, "hello", 5), 0);
    await(fd);
    await(own);
    receive_one(consumer);
}

/* No new notifier can be made in the directory: existing ones still work, and the timer replaces
 * the new one. */
static int arm_where_nothing_can_be_made(void *path)
{
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_fd_arm(q, SHMRING_READABLE) == 0);
    child_assert(unlink(path) == 0 && mkdir(path, 0700) == 0);
    child_assert(shmring_fd_arm(q, SHMRING_READABLE) == 0);
    child_assert(rmdir(path) == 0);
    shmring_close(&q);
    return 0;
}

Test(fd, a_removed_notifier_that_cannot_be_made_again, .init = setup_mpmc, .fini = teardown)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s", notifier_of(consumer, 'r'));
    cr_assert_eq(test_run(arm_where_nothing_can_be_made, path), 0);
}

static int attend(void *end)
{
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    test_tell(*(int *)end);
    pause();
    return 0;
}

static void check_the_last_peer(void)
{
    struct shmring_waiting peers = {.recheck_ms = 3600000, .flags = SHMRING_WAIT_PEERS};
    int fd, ends[2], r;

    cr_assert_eq(shmring_set_waiting(consumer, &peers), 0);
    fd = armed(consumer, SHMRING_READABLE);
    shmring_close(&producer);
    await(fd); /* the peer's close notifies */
    assert_refused(shmring_fd_arm(consumer, SHMRING_READABLE), EPIPE, "no live producer");

    peers.recheck_ms = 1;
    cr_assert_eq(shmring_set_waiting(consumer, &peers), 0);
    test_pipe(ends);
    pid_t pid = test_fork(attend, &ends[1]);
    test_hear(ends[0]);
    cr_assert_eq(shmring_fd_arm(consumer, SHMRING_READABLE), 0);
    test_kill(pid);
    do {
        await(fd);
        cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), -EAGAIN);
        r = shmring_fd_arm(consumer, SHMRING_READABLE);
    } while (r == 0);
    cr_assert_eq(r, -EPIPE);

    cr_assert_eq(test_run(die_before_notifying, NULL), -SIGKILL);
    cr_assert_eq(shmring_fd_arm(consumer, SHMRING_READABLE), 1, "what it sent is still to come");
    receive_one(consumer);
}

Test(fd, the_last_peer_goes, .init = setup_spsc, .fini = teardown)
{
    check_the_last_peer();
}

Test(fd, the_last_peer_goes_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_the_last_peer();
}

Test(fd, the_name_goes, .init = setup_spsc, .fini = teardown)
{
    int r, fd = armed(consumer, SHMRING_READABLE);

    cr_assert_eq(shmring_unlink(name), 0);
    send_one();
    await(fd); /* participants that are attached go on */
    receive_one(consumer);
    cr_assert_eq(shmring_set_waiting(consumer, &often), 0);
    while ((r = shmring_fd_arm(consumer, SHMRING_READABLE)) == 0)
        await(fd);
    cr_assert_eq(r, -ESTALE);
}
