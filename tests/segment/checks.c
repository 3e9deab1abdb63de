/* SPDX-License-Identifier: MIT */
/*
 * --enable-checks: two threads in calls on one handle. A page fault stops a thread in the middle of
 * a call: the call reads the queue's blocks while the test has made them inaccessible.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

#define BOTH    (SHMRING_PRODUCER | SHMRING_CONSUMER)
#define another "another thread is in a call on this handle"

/* ---- Calls ----------------------------------------------------------------------------------- */

struct user {
    shmring_t *q;
    void *reserved;
    const void *taken;
};

static long use_send(struct user *u)
{
    return shmring_send(u->q, "x", 1);
}

static long use_send_batch(struct user *u)
{
    struct iovec message = {.iov_base = "x", .iov_len = 1};

    return shmring_send_batch(u->q, &message, 1);
}

static long use_reserve(struct user *u)
{
    return shmring_reserve(u->q, 1, &u->reserved);
}

static long use_commit(struct user *u)
{
    return shmring_commit(u->q, u->reserved, 1);
}

static long use_cancel(struct user *u)
{
    return shmring_cancel(u->q, u->reserved);
}

static long use_recv(struct user *u)
{
    char byte;

    return shmring_recv(u->q, &byte, 1);
}

static long use_recv_batch(struct user *u)
{
    char byte;
    struct iovec message = {.iov_base = &byte, .iov_len = 1};

    return shmring_recv_batch(u->q, &message, 1);
}

static long use_peek(struct user *u)
{
    return shmring_peek(u->q, &u->taken, NULL);
}

static long use_release(struct user *u)
{
    return shmring_release(u->q, u->taken);
}

static long use_stat(struct user *u)
{
    struct shmring_stat st;

    return shmring_stat(u->q, &st);
}

static long use_participants(struct user *u)
{
    struct shmring_participant row;

    return shmring_participants(u->q, &row, 1);
}

static int pass_over(void *argument, const struct shmring_message *message)
{
    (void)argument;
    (void)message;
    return 0;
}

static long use_dump(struct user *u)
{
    return shmring_dump(u->q, pass_over, NULL);
}

static long use_check(struct user *u)
{
    return shmring_check(u->q);
}

static long use_recover(struct user *u)
{
    return shmring_recover(u->q, NULL);
}

static long use_wait(struct user *u)
{
    return shmring_wait(u->q, SHMRING_READABLE | SHMRING_WRITABLE, NULL);
}

static long use_send_wait(struct user *u)
{
    return shmring_send_wait(u->q, "x", 1, NULL);
}

static long use_recv_wait(struct user *u)
{
    char byte;

    return shmring_recv_wait(u->q, &byte, 1, NULL);
}

static long use_futex_arm(struct user *u)
{
    struct shmring_futex futex;

    return shmring_futex_arm(u->q, SHMRING_READABLE, &futex);
}

static long use_set_waiting(struct user *u)
{
    return shmring_set_waiting(u->q, NULL);
}

static long use_fd(struct user *u)
{
    return shmring_fd(u->q, SHMRING_READABLE);
}

static long use_fd_arm(struct user *u)
{
    return shmring_fd_arm(u->q, SHMRING_READABLE);
}

/* First the calls that read or write the blocks. */
enum { STOPPABLE = 15, CALLS = 21 };
static long (*const calls[CALLS])(struct user *) = {
    use_send,        use_send_batch, use_reserve,   use_commit, use_cancel,       use_recv,
    use_recv_batch,  use_peek,       use_release,   use_stat,   use_participants, use_dump,
    use_wait,        use_send_wait,  use_recv_wait, use_check,  use_recover,      use_futex_arm,
    use_set_waiting, use_fd,         use_fd_arm,
};

/* ---- A thread in the middle of a call -------------------------------------------------------- */

static char name[TEST_NAME_SIZE];
static struct user user;
static int stopped[2], go_on[2];
static void *blocks; /* the page with the blocks */

static void protect(int protection)
{
    if (mprotect(blocks, 4096, protection) < 0)
        abort();
}

static void stop(int signal)
{
    (void)signal;
    test_tell(stopped[1]);
    test_hear(go_on[0]);
    protect(PROT_READ | PROT_WRITE);
}

static void setup(void)
{
    struct sigaction action = {.sa_handler = stop};

    test_name(name);
    user.q = test_create_mpmc(name, BOTH, 8, 8);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(use_send(&user), 0);
    cr_assert_eq(use_reserve(&user), 0);
    cr_assert_eq(use_peek(&user), 1);
    blocks = (void *)((uintptr_t)user.taken & ~(uintptr_t)4095);
    test_pipe(stopped);
    test_pipe(go_on);
    cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
}

static void *run(void *call)
{
    return (void *)(*(long (*const *)(struct user *))call)(&user);
}

/* Start the thread, and wait until it is stopped inside the call. */
static pthread_t start(long (*const *call)(struct user *))
{
    pthread_t thread;

    protect(PROT_NONE);
    cr_assert_eq(pthread_create(&thread, NULL, run, (void *)call), 0);
    test_hear(stopped[0]);
    return thread;
}

static long finish(pthread_t thread)
{
    void *result;

    test_tell(go_on[1]);
    cr_assert_eq(pthread_join(thread, &result), 0);
    return (long)result;
}

static void expect_all_refused(void)
{
    struct user here = user;

    for (int j = 0; j < CALLS; j++)
        assert_refused(calls[j](&here), EDEADLK, another);
    shmring_close(&here.q);
    cr_assert_not_null(strstr(shmring_strerror_detail(), "it stays open"));
    cr_assert_eq(here.q, user.q);
}

Test(checks, another_thread, .init = setup, .timeout = 60)
{
    for (int i = 0; i < STOPPABLE; i++) {
        const pthread_t thread = start(&calls[i]);

        expect_all_refused();
        const long result = finish(thread);
        cr_assert_geq(result, 0, "call %d: %ld", i, result);
        /* Give back what the call has used, so that the next one succeeds. */
        if (calls[i] == use_commit || calls[i] == use_cancel)
            cr_assert_eq(use_reserve(&user), 0);
        if (calls[i] == use_release)
            cr_assert_eq(use_peek(&user), 1);
    }
    for (int j = 0; j < CALLS; j++)
        if (calls[j] != use_commit)
            cr_assert_geq(calls[j](&user), 0, "call %d, with no other thread in a call", j);
    shmring_close(&user.q);
    cr_assert_null(user.q);
}

static void *receive(void *tid)
{
    *(_Atomic int *)tid = gettid();
    return (void *)use_recv_wait(&user);
}

/* The wait in the kernel in which the thread is; -1: none. */
static long system_call_of(int tid)
{
    char path[64];
    long call;

    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    FILE *file = fopen(path, "re");
    if (!file || fscanf(file, "%ld", &call) != 1)
        call = -1;
    if (file)
        fclose(file);
    return call;
}

/* The thread sleeps until another handle sends a message. */
Test(checks, another_thread_asleep, .timeout = 60)
{
    static _Atomic int tid;
    pthread_t thread;
    shmring_t *other;
    void *result;

    test_name(name);
    user.q = test_create_mpmc(name, BOTH, 8, 8);
    cr_assert_eq(shmring_dup(&other, user.q, BOTH), 0);
    cr_assert_eq(pthread_create(&thread, NULL, receive, &tid), 0);
    while (tid == 0 || system_call_of(tid) != SYS_futex)
        usleep(1000);
    expect_all_refused();
    cr_assert_eq(shmring_send(other, "x", 1), 0);
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_assert_eq((long)result, 1);
    shmring_close(&user.q);
    cr_assert_null(user.q);
    shmring_close(&other);
}

static int use_copy(void *unused)
{
    (void)unused;
    child_refused(use_send(&user), ENOTCONN, "shmring_dup");
    child_refused(use_stat(&user), ENOTCONN, "shmring_dup");
    shmring_close(&user.q);
    child_assert(user.q == NULL);
    return 0;
}

/* The child's copy belongs to no thread, whatever the parent's threads were doing. */
Test(checks, fork_in_the_middle, .init = setup, .timeout = 60)
{
    const pthread_t thread = start(&calls[0]);

    cr_assert_eq(test_run(use_copy, NULL), 0);
    cr_assert_eq(finish(thread), 0);
    shmring_close(&user.q);
}

/* ---- One thread ------------------------------------------------------------------------------ */

static int use_it(void *argument, const struct shmring_message *message)
{
    struct user *u = argument;
    shmring_t *q = u->q;

    (void)message;
    cr_assert_eq(use_stat(u), 0);
    cr_assert_eq(use_send(u), 0);
    shmring_close(&q);
    cr_assert_not_null(strstr(shmring_strerror_detail(), "it stays open"));
    cr_assert_eq(q, u->q);
    return 1;
}

Test(checks, call_within_a_call)
{
    struct user u = {.q = test_create("memfd:orders", BOTH, 4096)};

    cr_assert_eq(use_send(&u), 0);
    cr_assert_eq(shmring_dump(u.q, use_it, &u), 1);
    cr_assert_eq(use_recv(&u), 1);
    cr_assert_eq(use_recv(&u), 1);
    shmring_close(&u.q);
    cr_assert_null(u.q);
}

/* Another thread may use the handle between two calls. */
Test(checks, one_thread_after_the_other)
{
    user.q = test_create("memfd:orders", BOTH, 4096);
    for (int i = 0; i < 3; i++) {
        static long (*const call)(struct user *) = use_send;
        pthread_t thread;
        void *result;

        cr_assert_eq(pthread_create(&thread, NULL, run, (void *)&call), 0);
        cr_assert_eq(pthread_join(thread, &result), 0);
        cr_assert_null(result);
        cr_assert_eq(use_recv(&user), 1);
    }
    shmring_close(&user.q);
}
