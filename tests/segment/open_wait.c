/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

enum { CAPACITY = 4096, FOR_EVER = -1 };

/* A name in a directory of its own, and a child that waits for the queue. */
struct wait {
    char directory[TEST_NAME_SIZE], name[TEST_NAME_SIZE + 16];
    const char *path;
    unsigned flags;
    time_t seconds; /* FOR_EVER: no timeout */
    pid_t pid;
};

static void note_signal(int number)
{
    (void)number;
}

/* Returns what shmring_open_wait() returned. */
static int wait_in_child(void *argument)
{
    const struct wait *wait = argument;
    const struct timespec timeout = {.tv_sec = wait->seconds};
    const struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    shmring_t *q;

    child_assert(sigaction(SIGUSR1, &action, NULL) == 0);
    const int r =
        shmring_open_wait(&q, wait->name, wait->flags, wait->seconds == FOR_EVER ? NULL : &timeout);
    child_assert((r == 0) == (q != NULL));
    shmring_close(&q);
    return -r;
}

/* Does the child sleep in open_wait: has it an inotify descriptor, and is its state S? */
static int is_waiting(pid_t pid)
{
    char path[64], target[64], state = 0;
    FILE *stat;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    stat = fopen(path, "re");
    cr_assert_not_null(stat);
    cr_assert_eq(fscanf(stat, "%*d (%*[^)]) %c", &state), 1);
    fclose(stat);
    cr_assert_neq(state, 'Z', "the child has not waited");
    for (int fd = 0; fd < 32 && state == 'S'; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
        const ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        if (strstr(target, "inotify"))
            return 1;
    }
    return 0;
}

static void make_wait(struct wait *wait)
{
    test_directory(wait->directory);
    snprintf(wait->name, sizeof wait->name, "file:%s/queue", wait->directory);
    wait->path = wait->name + 5;
    wait->flags = SHMRING_CONSUMER;
    wait->seconds = FOR_EVER;
}

static void start_waiting(struct wait *wait)
{
    wait->pid = test_fork(wait_in_child, wait);
    while (!is_waiting(wait->pid))
        sched_yield();
}

Test(open_wait, there_already)
{
    const struct timespec none = {0}, long_time = {.tv_sec = 1000000};
    char name[TEST_NAME_SIZE];
    shmring_t *q, *other;

    test_name(name);
    q = test_create(name, SHMRING_PRODUCER, CAPACITY);
    const struct timespec *const timeouts[] = {NULL, &none, &long_time};
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        cr_assert_eq(shmring_open_wait(&other, name, SHMRING_CONSUMER, timeouts[i]), 0);
        shmring_close(&other);
    }
    assert_refused(shmring_open_wait(&other, name, SHMRING_PRODUCER, NULL), EBUSY, "producer");
    shmring_close(&q);
}

Test(open_wait, appears_later, .timeout = 300)
{
    /* No timeout, an hour, and so many seconds that the nanoseconds overflow. */
    static const time_t seconds[] = {FOR_EVER, 3600, LONG_MAX, LONG_MAX / 1000000000};
    struct wait wait;
    shmring_t *q;

    make_wait(&wait);
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        wait.seconds = seconds[i];
        start_waiting(&wait);
        q = test_create(wait.name, SHMRING_PRODUCER, CAPACITY);
        cr_assert_eq(test_wait(wait.pid), 0);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(wait.name), 0);
    }
}

Test(open_wait, appears_at_any_moment, .timeout = 300)
{
    char name[TEST_NAME_SIZE];
    struct wait wait;
    shmring_t *q;

    make_wait(&wait);
    test_name(name);
    strcpy(wait.name, name);
    for (int i = 0; i < 40; i++) {
        wait.pid = test_fork(wait_in_child, &wait);
        usleep((useconds_t)(rand() % 1000));
        q = test_create(name, SHMRING_PRODUCER, CAPACITY);
        cr_assert_eq(test_wait(wait.pid), 0);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(name), 0);
    }
}

Test(open_wait, moved_to_its_name, .timeout = 300)
{
    char elsewhere[TEST_NAME_SIZE + 16];
    struct wait wait;
    shmring_t *q;

    make_wait(&wait);
    snprintf(elsewhere, sizeof elsewhere, "file:%s/other", wait.directory);
    q = test_create(elsewhere, 0, CAPACITY);
    shmring_close(&q);
    start_waiting(&wait);
    cr_assert_eq(rename(elsewhere + 5, wait.path), 0);
    cr_assert_eq(test_wait(wait.pid), 0);
}

Test(open_wait, other_names_are_no_news, .timeout = 300)
{
    char other[TEST_NAME_SIZE + 32];
    struct wait wait;
    shmring_t *q;

    make_wait(&wait);
    start_waiting(&wait);
    for (int i = 0; i < 1000; i++) {
        snprintf(other, sizeof other, "%s/%d", wait.directory, i);
        const int fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        cr_assert_geq(fd, 0);
        close(fd);
        unlink(other);
    }
    while (!is_waiting(wait.pid))
        sched_yield();
    q = test_create(wait.name, 0, CAPACITY);
    cr_assert_eq(test_wait(wait.pid), 0);
    shmring_close(&q);
}

Test(open_wait, waits_for_the_name_only, .timeout = 300)
{
    struct wait wait;
    shmring_t *q;

    make_wait(&wait);
    start_waiting(&wait);
    q = test_create(wait.name, SHMRING_CONSUMER, CAPACITY);
    cr_assert_eq(test_wait(wait.pid), EBUSY);
    shmring_close(&q);
}

Test(open_wait, something_else_appears, .timeout = 300)
{
    struct wait wait;

    make_wait(&wait);
    start_waiting(&wait);
    cr_assert_eq(mkfifo(wait.path, 0600), 0);
    cr_assert_eq(test_wait(wait.pid), EBADMSG);
    cr_assert_eq(unlink(wait.path), 0);
    start_waiting(&wait);
    cr_assert_eq(symlink("/dev/null", wait.path), 0);
    cr_assert_eq(test_wait(wait.pid), ELOOP);
}

Test(open_wait, directory_goes, .timeout = 300)
{
    struct wait wait;

    make_wait(&wait);
    start_waiting(&wait);
    cr_assert_eq(rmdir(wait.directory), 0);
    cr_assert_eq(test_wait(wait.pid), ENOENT);
}

Test(open_wait, directory_is_moved, .timeout = 300)
{
    char aside[TEST_NAME_SIZE];
    struct wait wait;

    make_wait(&wait);
    test_directory(aside);
    start_waiting(&wait);
    cr_assert_eq(rename(wait.directory, aside), 0);
    cr_assert_eq(test_wait(wait.pid), ENOENT);
}

/* Also with SA_RESTART. */
Test(open_wait, signal_handler_runs, .timeout = 300)
{
    struct wait wait;

    make_wait(&wait);
    for (int i = 0; i < 2; i++) {
        start_waiting(&wait);
        cr_assert_eq(kill(wait.pid, SIGUSR1), 0);
        cr_assert_eq(test_wait(wait.pid), EINTR);
        wait.seconds = 3600;
    }
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

Test(open_wait, times_out)
{
    static const long nanoseconds[] = {0, 1, 20000000};
    struct wait wait;
    shmring_t *q;

    make_wait(&wait);
    const struct holdings before = test_holdings();
    for (size_t i = 0; i < sizeof nanoseconds / sizeof nanoseconds[0]; i++) {
        const struct timespec timeout = {.tv_nsec = nanoseconds[i]};
        const int64_t start = now_ns();
        assert_refused(shmring_open_wait(&q, wait.name, SHMRING_CONSUMER, &timeout), ETIMEDOUT,
                       "in time");
        cr_assert_geq(now_ns() - start, nanoseconds[i]);
        cr_assert_null(q);
    }
    assert_holds_no_more_than(&before, 1 << 20);
}

Test(open_wait, bad_timeouts)
{
    static const struct timespec timeouts[] = {
        {-1, 0}, {0, -1}, {0, 1000000000}, {LONG_MIN, 0}, {0, LONG_MIN}, {0, LONG_MAX}, {-1, 1}};
    char name[TEST_NAME_SIZE];
    shmring_t *q = NULL, *other;

    test_name(name);
    for (int exists = 0; exists < 2; exists++) {
        for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
            assert_refused(shmring_open_wait(&other, name, SHMRING_CONSUMER, &timeouts[i]), EINVAL,
                           "timeout");
            cr_assert_null(other);
        }
        if (!exists)
            q = test_create(name, 0, CAPACITY);
    }
    shmring_close(&q);
}

Test(open_wait, does_not_wait_for_what_cannot_come)
{
    struct wait wait;
    shmring_t *q;

    make_wait(&wait);
    const struct holdings before = test_holdings();
    assert_refused(shmring_open_wait(NULL, wait.name, SHMRING_CONSUMER, NULL), EINVAL, "NULL");
    assert_refused(shmring_open_wait(&q, NULL, SHMRING_CONSUMER, NULL), EINVAL, "NULL");
    assert_refused(shmring_open_wait(&q, "a/b", SHMRING_CONSUMER, NULL), EINVAL, "slash");
    assert_refused(shmring_open_wait(&q, wait.name, 0, NULL), EINVAL, "no role");
    assert_refused(shmring_open_wait(&q, "memfd:orders", SHMRING_CONSUMER, NULL), EINVAL, "memfd");
    assert_refused(shmring_open_wait(&q, wait.directory, SHMRING_CONSUMER, NULL), EINVAL, "slash");
    cr_assert_eq(rmdir(wait.directory), 0);
    assert_refused(shmring_open_wait(&q, wait.name, SHMRING_CONSUMER, NULL), ENOENT,
                   wait.directory);
    cr_assert_null(q);
    assert_holds_no_more_than(&before, 1 << 20);
}
