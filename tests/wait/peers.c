/* SPDX-License-Identifier: MIT */
/* Calls that wait, while other participants die, leave, or are recovered. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/wait/waitword.h"
#include "settled.h"
#include "waiting.h"

static const struct shmring_waiting with_peers = {.recheck_ms = 1, .flags = SHMRING_WAIT_PEERS};
static const struct shmring_waiting with_peers_sleepy = {.recheck_ms = 3600000,
                                                         .flags = SHMRING_WAIT_PEERS};
static const struct shmring_waiting until_hangup = {.recheck_ms = 1, .flags = SHMRING_WAIT_HANGUP};
static const struct shmring_waiting until_hangup_sleepy = {.recheck_ms = 3600000,
                                                           .flags = SHMRING_WAIT_HANGUP};

static int attend(void *role)
{
    shmring_t *handle = child_open(*(unsigned *)role);

    pause();
    shmring_close(&handle);
    return 0;
}

static void check_no_peer_is_epipe(void)
{
    unsigned producer = SHMRING_PRODUCER, consumer = SHMRING_CONSUMER;
    struct shmring_futex futex;
    char buf[100];
    shmring_t *mine = open_role(SHMRING_CONSUMER);

    cr_assert_eq(shmring_set_waiting(mine, &with_peers), 0);
    assert_refused(shmring_recv_wait(mine, buf, sizeof buf, for_ever), EPIPE, "no live producer");
    pid_t pid = test_fork(attend, &producer);
    while (shmring_recv_wait(mine, buf, sizeof buf, &moment) != -ETIMEDOUT)
        continue;
    kill(pid, SIGKILL); /* no waitpid(): the sleeping call must find the death */
    assert_refused(shmring_recv_wait(mine, buf, sizeof buf, for_ever), EPIPE, "no live producer");
    int r;
    while ((r = shmring_futex_arm(mine, SHMRING_READABLE, &futex)) == 0)
        nanosleep(&moment, NULL);
    cr_assert_eq(r, -EPIPE);
    test_wait(pid);
    shmring_close(&mine);

    mine = open_role(SHMRING_PRODUCER);
    cr_assert_eq(shmring_set_waiting(mine, &with_peers), 0);
    fill(mine);
    assert_refused(shmring_send_wait(mine, buf, 64, for_ever), EPIPE, "no live consumer");
    pid = test_fork(attend, &consumer);
    while (shmring_send_wait(mine, buf, 64, &moment) != -ETIMEDOUT)
        continue;
    test_kill(pid);
    assert_refused(shmring_send_wait(mine, buf, 64, for_ever), EPIPE, "no live consumer");
    shmring_close(&mine);
    shmring_close(&q);
}

Test(wait, no_peer_is_epipe, .init = setup)
{
    q = test_create(name, 0, 4096);
    check_no_peer_is_epipe();
}

Test(wait, no_peer_is_epipe_mpmc, .init = setup)
{
    q = test_create_mpmc(name, 0, 4, 100);
    check_no_peer_is_epipe();
}

Test(wait, oneself_is_no_peer, .init = setup_mpmc, .fini = teardown)
{
    char buf[100];

    cr_assert_eq(shmring_set_waiting(q, &with_peers), 0);
    assert_refused(shmring_recv_wait(q, buf, sizeof buf, for_ever), EPIPE, "no live producer");
    send_hello();
    cr_assert_eq(shmring_recv_wait(q, buf, sizeof buf, for_ever),
                 5); /* messages in the queue come first */
}

static int attend_and_be_killed(void *role)
{
    child_open(*(unsigned *)role);
    kill(getpid(), SIGKILL);
    return 1;
}

/* No producer has come: no hang-up. One has come, and left or died without sending: a hang-up. */
static void check_hangup(bool killed)
{
    unsigned producer = SHMRING_PRODUCER, consumer = SHMRING_CONSUMER;
    struct shmring_stat st;
    char buf[100];
    shmring_t *peer, *mine = open_role(SHMRING_CONSUMER);

    cr_assert_eq(shmring_set_waiting(mine, &until_hangup), 0);
    cr_assert_eq(shmring_recv_wait(mine, buf, sizeof buf, &moment), -ETIMEDOUT);
    if (killed) {
        cr_assert_eq(test_run(attend_and_be_killed, &producer), -SIGKILL);
    } else {
        peer = open_role(SHMRING_PRODUCER);
        cr_assert_eq(shmring_recv_wait(mine, buf, sizeof buf, &moment), -ETIMEDOUT);
        shmring_close(&peer);
    }
    assert_refused(shmring_recv_wait(mine, buf, sizeof buf, for_ever), EPIPE, "no live producer");
    assert_refused(shmring_recv_wait(mine, buf, sizeof buf, for_ever), EPIPE, "no live producer");
    cr_assert_eq(shmring_stat(mine, &st), 0);
    shmring_close(&mine);
    mine = open_role(SHMRING_CONSUMER);
    cr_assert_eq(shmring_set_waiting(mine, &until_hangup), 0);
    if (st.kind == SHMRING_SPSC) /* the hang-up was reported once: waits for the next producer */
        cr_assert_eq(shmring_recv_wait(mine, buf, sizeof buf, &moment), -ETIMEDOUT);
    else /* mpmc: all consumers get the hang-up */
        assert_refused(shmring_recv_wait(mine, buf, sizeof buf, for_ever), EPIPE, "producer");
    peer = open_role(SHMRING_PRODUCER);
    shmring_close(&peer);
    shmring_close(&mine); /* the hang-up was not reported to this consumer */
    mine = open_role(SHMRING_CONSUMER);
    cr_assert_eq(shmring_set_waiting(mine, &until_hangup), 0);
    assert_refused(shmring_recv_wait(mine, buf, sizeof buf, for_ever), EPIPE, "no live producer");
    cr_assert_eq(shmring_stat(mine, &st), 0);
    cr_assert(st.producers_ever == 2 && st.consumers_ever == 3);
    shmring_close(&mine);
    shmring_close(&q);
    cr_assert_eq(shmring_unlink(name), 0);

    q = test_create(name, 0, 4096);
    mine = open_role(SHMRING_PRODUCER);
    cr_assert_eq(shmring_set_waiting(mine, &until_hangup), 0);
    fill(mine);
    cr_assert_eq(shmring_send_wait(mine, buf, 64, &moment), -ETIMEDOUT);
    if (killed) {
        cr_assert_eq(test_run(attend_and_be_killed, &consumer), -SIGKILL);
    } else {
        peer = open_role(SHMRING_CONSUMER);
        cr_assert_eq(shmring_send_wait(mine, buf, 64, &moment), -ETIMEDOUT);
        shmring_close(&peer);
    }
    assert_refused(shmring_send_wait(mine, buf, 64, for_ever), EPIPE, "no live consumer");
    shmring_close(&mine);
    shmring_close(&q);
}

Test(wait, hangup, .init = setup)
{
    q = test_create(name, 0, 4096);
    check_hangup(false);
}

Test(wait, hangup_mpmc, .init = setup)
{
    q = test_create_mpmc(name, 0, 4, 100);
    check_hangup(false);
}

Test(wait, hangup_by_death, .init = setup)
{
    q = test_create(name, 0, 4096);
    check_hangup(true);
}

Test(wait, hangup_by_death_mpmc, .init = setup)
{
    q = test_create_mpmc(name, 0, 4, 100);
    check_hangup(true);
}

Test(wait, oneself_does_not_hang_up, .init = setup_mpmc, .fini = teardown)
{
    char buf[100];

    cr_assert_eq(shmring_set_waiting(q, &until_hangup), 0);
    cr_assert_eq(shmring_recv_wait(q, buf, sizeof buf, &moment), -ETIMEDOUT);
}

static int sleep_until_the_last_leaves(void *how)
{
    shmring_t *consumer = child_open(SHMRING_CONSUMER);
    char buf[100];

    child_assert(shmring_set_waiting(consumer, how) == 0);
    child_assert(shmring_recv_wait(consumer, buf, sizeof buf, for_ever) == -EPIPE);
    return 0;
}

Test(wait, closing_wakes_sleepers_that_ask_for_peers, .init = setup)
{
    q = test_create(name, SHMRING_PRODUCER, 4096);
    pid_t pid = test_fork(sleep_until_the_last_leaves, (void *)&with_peers_sleepy);

    test_await_sleep(pid);
    shmring_close(&q);
    cr_assert_eq(test_wait(pid), 0);
}

/* A sleeper notices also a producer that attaches and leaves at once, without sending. */
Test(wait, closing_wakes_sleepers_that_wait_for_a_hangup, .init = setup)
{
    q = test_create(name, 0, 4096);
    pid_t pid = test_fork(sleep_until_the_last_leaves, (void *)&until_hangup_sleepy);

    test_await_sleep(pid);
    shmring_t *producer = open_role(SHMRING_PRODUCER);
    shmring_close(&producer);
    cr_assert_eq(test_wait(pid), 0);
    shmring_close(&q);
}

static int die_with_a_message(void *unused)
{
    (void)unused;
    shmring_t *consumer = child_open(SHMRING_CONSUMER);
    const void *msg;

    child_assert(shmring_peek(consumer, &msg, NULL) == 5);
    kill(getpid(), SIGKILL);
    return 1;
}

/* The producers have left, and a dead consumer's message comes back: it comes before the
 * hang-up. */
Test(wait, what_a_dead_consumer_held_comes_before_the_end, .init = setup)
{
    char buf[100];

    q = test_create_mpmc(name, SHMRING_PRODUCER, 4, 100);
    send_hello();
    shmring_t *mine = open_role(SHMRING_CONSUMER);
    cr_assert_eq(shmring_set_waiting(mine, &until_hangup), 0);
    cr_assert_eq(test_run(die_with_a_message, NULL), -SIGKILL);
    shmring_close(&q);
    cr_assert_eq(shmring_recv_wait(mine, buf, sizeof buf, for_ever), 5);
    assert_refused(shmring_recv_wait(mine, buf, sizeof buf, for_ever), EPIPE, "no live producer");
    shmring_close(&mine);
}

/* No other participant makes a call on that queue any more: the sleeper itself finds the dead
 * one. */
Test(wait, what_a_dead_consumer_held_comes_to_a_sleeper, .init = setup)
{
    const struct shmring_waiting often = {.recheck_ms = 1};

    q = test_create_mpmc(name, SHMRING_PRODUCER, 4, 100);
    send_hello();
    cr_assert_eq(test_run(die_with_a_message, NULL), -SIGKILL);
    pid_t pid = test_fork(receive_one, (void *)&often);
    cr_assert_eq(test_wait(pid), 0);
    shmring_close(&q);
}

static int hold_a_message(void *ends)
{
    shmring_t *consumer = child_open(SHMRING_CONSUMER);
    const void *msg;

    child_assert(shmring_peek(consumer, &msg, NULL) == 5);
    test_tell(((int *)ends)[1]);
    pause();
    return 1;
}

/* The sleeper does not recheck: another participant recovers the message, and that wakes it. */
Test(wait, recovery_wakes, .init = setup)
{
    struct shmring_recovery report;
    shmring_t *idle;
    int ends[2];

    q = test_create_mpmc(name, SHMRING_PRODUCER, 4, 100);
    idle = open_role(SHMRING_CONSUMER);
    test_settle_sleeps(idle);
    test_pipe(ends);
    send_hello();
    pid_t holder = test_fork(hold_a_message, ends);
    test_hear(ends[0]);
    pid_t pid = test_fork(receive_one, (void *)&sleepy);
    test_await_sleep(pid);
    test_kill(holder);
    cr_assert_eq(shmring_recover(idle, &report), 1);
    cr_assert_eq(report.redelivered, 1);
    cr_assert_eq(test_wait(pid), 0);
    shmring_close(&idle);
    shmring_close(&q);
}

static int sleep_until_the_name_goes(void *recheck_ms)
{
    const struct shmring_waiting often = {.recheck_ms = *(const uint32_t *)recheck_ms};
    shmring_t *consumer = child_open(SHMRING_CONSUMER);
    char buf[100];

    child_assert(shmring_set_waiting(consumer, &often) == 0);
    child_refused(shmring_recv_wait(consumer, buf, sizeof buf, for_ever), ESTALE, "removed");
    return 0;
}

Test(wait, a_name_that_goes_is_noticed, .init = setup)
{
    q = test_create(name, SHMRING_PRODUCER, 4096);
    uint32_t recheck_ms = 1;
    pid_t pid = test_fork(sleep_until_the_name_goes, &recheck_ms);

    test_await_sleep(pid);
    cr_assert_eq(shmring_unlink(name), 0);
    cr_assert_eq(test_wait(pid), 0);
    shmring_close(&q);
}

/* A sleeper checks the name after each recheck, but at most once a second: the number of rechecks
 * does not matter. */
Test(wait, a_name_is_checked_by_time, .init = setup)
{
    const struct shmring_waiting seldom = {.recheck_ms = 1500};
    const struct timespec brief = {.tv_nsec = 1000000};
    char buf[100];

    q = test_create(name, SHMRING_CONSUMER, 4096);
    cr_assert_eq(shmring_set_waiting(q, &seldom), 0);
    cr_assert_eq(shmring_recv_wait(q, buf, sizeof buf, &brief), -ETIMEDOUT);
    cr_assert_eq(shmring_unlink(name), 0);
    /* As if 1.5 s had passed. */
    q->waiting.rechecked -= INT64_C(1500000000);
    q->waiting.name_checked -= INT64_C(1500000000);
    assert_refused(shmring_recv_wait(q, buf, sizeof buf, &brief), ESTALE, "removed");
    shmring_close(&q);
}

/* Waits that are shorter than recheck_ms, one after the other, make rechecks as well. */
Test(wait, short_waits_recheck, .init = setup, .timeout = 60)
{
    const struct timespec brief = {.tv_nsec = 1000000};
    char buf[100];
    int r;

    q = test_create(name, SHMRING_CONSUMER, 4096);
    cr_assert_eq(shmring_recv_wait(q, buf, sizeof buf, &brief), -ETIMEDOUT);
    cr_assert_eq(shmring_unlink(name), 0);
    do
        r = (int)shmring_recv_wait(q, buf, sizeof buf, &brief);
    while (r == -ETIMEDOUT);
    cr_assert_eq(r, -ESTALE, "%s", shmring_strerror_detail());
    shmring_close(&q);
}

static int check_after_moving(void *there)
{
    char buf[100];
    const struct shmring_waiting often = {.recheck_ms = 1};
    shmring_t *consumer = child_open(SHMRING_CONSUMER), *by_fd;

    child_assert(shmring_open_fd(&by_fd, shmring_segment_fd(consumer), SHMRING_OBSERVER) == 0);
    child_assert(shmring_set_waiting(consumer, &often) == 0);
    child_assert(shmring_check(consumer) == 0);
    child_assert(rename(q->name.path, there) == 0);
    child_refused(shmring_check(consumer), ESTALE, "moved");
    child_refused(shmring_recv_wait(consumer, buf, sizeof buf, for_ever), ESTALE, "moved");
    child_assert(shmring_check(by_fd) == 0); /* it never had a name */
    child_assert(rename(there, q->name.path) == 0);
    child_assert(shmring_check(consumer) == 0);
    shmring_close(&by_fd);
    shmring_close(&consumer);
    return 0;
}

Test(wait, a_queue_that_is_moved_is_noticed, .init = setup)
{
    char there[PATH_MAX + 10];

    q = test_create(name, SHMRING_PRODUCER, 4096);
    snprintf(there, sizeof there, "%s-moved", q->name.path);
    cr_assert_eq(test_run(check_after_moving, there), 0);
    shmring_close(&q);
}

static int check_in_another_root(void *directory)
{
    shmring_t *consumer = child_open(SHMRING_CONSUMER);

    if (chroot(directory) < 0)
        return 77;
    child_assert(shmring_check(consumer) == 0);
    /* In another root the name may also lead to another file. */
    child_assert(mkdir("/dev", 0700) == 0 && mkdir("/dev/shm", 0700) == 0);
    const int fd = open(q->name.path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    child_assert(fd >= 0 && close(fd) == 0);
    child_assert(shmring_check(consumer) == 0);
    shmring_close(&consumer);
    return 0;
}

static int check_removed_in_another_root(void *directory)
{
    shmring_t *consumer = child_open(SHMRING_CONSUMER);

    child_assert(unlink(q->name.path) == 0);
    if (chroot(directory) < 0)
        return 77;
    child_refused(shmring_check(consumer), ESTALE, "removed");
    shmring_close(&consumer);
    return 0;
}

/* In another root the name leads nowhere, or to another file, though the queue was not removed. */
Test(wait, another_root_says_nothing, .init = setup)
{
    char directory[TEST_NAME_SIZE], path[PATH_MAX + TEST_NAME_SIZE];

    q = test_create(name, SHMRING_PRODUCER, 4096);
    test_directory(directory);
    int r = test_run(check_in_another_root, directory);
    snprintf(path, sizeof path, "%s%s", directory, q->name.path);
    unlink(path);
    snprintf(path, sizeof path, "%s/dev/shm", directory);
    rmdir(path);
    snprintf(path, sizeof path, "%s/dev", directory);
    rmdir(path);
    if (r == 0)
        r = test_run(check_removed_in_another_root, directory);
    shmring_close(&q);
    if (r == 77)
        cr_skip_test("chroot(2) is for root");
    cr_assert_eq(r, 0);
}

static _Atomic bool storm_is_over;

/* Wake the sleeper that waits for a message, without one, as fast as possible. */
static void *wake_all_the_time(void *word)
{
    _Atomic uint32_t *waitword = word;

    while (!storm_is_over) {
        atomic_fetch_add(waitword, SHMR_WAITWORD_STEP);
        syscall(SYS_futex, waitword, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
    return NULL;
}

/* A sleeper that is always woken before its recheck is due makes that recheck all the same. */
Test(wait, woken_for_nothing_all_the_time, .init = setup, .timeout = 60)
{
    struct shmring_futex futex;
    uint32_t recheck_ms = 50;
    char message[64];
    pthread_t storm;

    q = test_create(name, SHMRING_PRODUCER, 4096);
    fill(q);
    cr_assert_eq(shmring_futex_arm(q, SHMRING_WRITABLE, &futex), 0);
    struct shmr_waitword *writable = (struct shmr_waitword *)(uintptr_t)futex.word;
    shmring_t *emptied = open_role(SHMRING_CONSUMER);
    while (shmring_recv(emptied, message, sizeof message) > 0)
        continue;
    shmring_close(&emptied);
    pid_t pid = test_fork(sleep_until_the_name_goes, &recheck_ms);
    test_await_sleep(pid);
    cr_assert_eq(pthread_create(&storm, NULL, wake_all_the_time, (void *)&writable[-1].word), 0);
    cr_assert_eq(shmring_unlink(name), 0);
    cr_assert_eq(test_wait(pid), 0);
    storm_is_over = true;
    pthread_join(storm, NULL);
    shmring_close(&q);
}
