/* SPDX-License-Identifier: MIT */
/*
 * The fast path makes no system call: children send and receive under a seccomp filter that kills
 * them at any call but read and write (of a pipe, to take turns) and exit. There is one exception:
 * every 65,536th -EAGAIN in a row asks the kernel whether the queue still has its name.
 */
#include <config.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "messages.h"
#include "support.h"

enum { MESSAGES = 1000000, LONGEST = 100, POLLS = 65536, CANNOT = 77 };

static char name[TEST_NAME_SIZE];
static uint64_t capacity = 1 << 16;

/* ---- The filter ------------------------------------------------------------------------------ */

static void allow_no_system_calls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(CANNOT);
}

/* How a child ends. AddressSanitizer makes a system call before every _exit(). */
static int leave(void)
{
    return (int)syscall(SYS_exit_group, 0);
}

static int call_the_kernel(void *unused)
{
    (void)unused;
    allow_no_system_calls();
    getppid();
    return leave();
}

/* These tests show something only where the filter works. */
static void setup(void)
{
    const int r = test_run(call_the_kernel, NULL);

    if (r == CANNOT)
        cr_skip_test("no seccomp filters here");
    cr_assert_eq(r, -SIGSYS);
    test_name(name);
    message_content(0);
}

/* ---- Every operation ------------------------------------------------------------------------- */

static void send_and_receive(shmring_t *q, uint64_t number)
{
    static const struct timespec at_once;
    uint8_t buf[LONGEST];
    struct iovec batch[2] = {{buf, 10}, {buf, 20}};
    const void *taken;
    void *msg;

    child_assert(shmring_send(q, message_content(number), LONGEST) == 0);
    child_assert(shmring_send(q, NULL, SIZE_MAX) == -EMSGSIZE);
    child_assert(shmring_recv(q, buf, 1) == -EMSGSIZE);
    child_assert(shmring_recv(q, buf, LONGEST) == LONGEST);
    child_assert(message_is(number, buf, LONGEST));
    child_assert(shmring_send_wait(q, message_content(number), LONGEST, NULL) == 0);
    child_assert(shmring_wait(q, SHMRING_READABLE | SHMRING_WRITABLE, NULL) ==
                 (SHMRING_READABLE | SHMRING_WRITABLE));
    child_assert(shmring_recv_wait(q, buf, LONGEST, NULL) == LONGEST);
    child_assert(shmring_recv_wait(q, buf, LONGEST, &at_once) == -ETIMEDOUT);
    child_assert(shmring_reserve_wait(q, 50, &msg, NULL) == 0);
    child_assert(shmring_commit(q, msg, 50) == 0);
    child_assert(shmring_peek_wait(q, &taken, NULL, NULL) == 50);
    child_assert(shmring_release(q, taken) == 0);
    child_assert(shmring_send_batch(q, batch, 2) == 2);
    child_assert(shmring_recv_batch(q, batch, 2) == 2);
    child_assert(shmring_recv_batch(q, batch, 2) == -EAGAIN);
    child_assert(shmring_reserve(q, 50, &msg) == 0);
    child_assert(shmring_cancel(q, msg) == 0);
    child_assert(shmring_reserve(q, 50, &msg) == 0);
    child_assert(shmring_send(q, "", 1) == -EINPROGRESS);
    child_assert(shmring_commit(q, msg, 51) == -EMSGSIZE);
    child_assert(shmring_commit(q, msg, 40) == 0);
    child_assert(shmring_commit(q, msg, 40) == -EINVAL);
    child_assert(shmring_peek(q, &taken, NULL) == 40);
    child_assert(shmring_recv(q, buf, LONGEST) == -EINPROGRESS);
    child_assert(shmring_release(q, taken) == 0);
    child_assert(shmring_release(q, taken) == -EINVAL);
    child_assert(shmring_recv(q, buf, LONGEST) == -EAGAIN);
}

static int use_every_operation(void *unused)
{
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER | SHMRING_CONSUMER) == 0);
    allow_no_system_calls();
    for (uint64_t i = 0; i < 10000; i++)
        send_and_receive(q, i);
    return leave();
}

Test(fastpath, every_operation, .init = setup)
{
    shmring_t *q = test_create(name, 0, capacity);

    cr_assert_eq(test_run(use_every_operation, NULL), 0);
    shmring_close(&q);
}

/* ---- A million messages ---------------------------------------------------------------------- */

/* It has no name that the library could check, however often a call finds it empty. */
static shmring_t *memfd;
static int to_consumer[2], to_producer[2];

static uint32_t length_of(uint64_t number)
{
    return message_length(1, number, LONGEST);
}

static int send_some(shmring_t *q, uint64_t *sent)
{
    int r = 0;

    while (*sent < MESSAGES && r == 0) {
        r = shmring_send(q, message_content(*sent), length_of(*sent));
        *sent += r == 0;
    }
    child_assert(r == 0 || r == -EAGAIN);
    return r;
}

static ssize_t receive_some(shmring_t *q, uint64_t *received)
{
    uint8_t buf[LONGEST];
    ssize_t len = 0;

    while (*received < MESSAGES && len >= 0) {
        len = shmring_recv(q, buf, sizeof buf);
        if (len >= 0) {
            child_assert(len == (ssize_t)length_of(*received));
            child_assert(message_is(*received, buf, (size_t)len));
            ++*received;
        }
    }
    child_assert(len >= 0 || len == -EAGAIN);
    return len;
}

/* All processes at once; each polls as often as it likes. */
static int produce(void *unused)
{
    uint64_t sent = 0;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_dup(&q, memfd, SHMRING_PRODUCER) == 0);
    allow_no_system_calls();
    while (sent < MESSAGES)
        send_some(q, &sent);
    return leave();
}

static int consume(void *unused)
{
    uint64_t received = 0;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_dup(&q, memfd, SHMRING_CONSUMER) == 0);
    allow_no_system_calls();
    while (received < MESSAGES)
        receive_some(q, &received);
    return leave();
}

Test(fastpath, a_million_messages, .init = setup, .timeout = 120)
{
    memfd = test_create("memfd:test", 0, 1 << 20);

    const pid_t producer = test_fork(produce, NULL), consumer = test_fork(consume, NULL);
    cr_assert_eq(test_wait(producer), 0);
    cr_assert_eq(test_wait(consumer), 0);
    shmring_close(&memfd);
}

/* In turns, so that no process polls too often: fill the ring, then empty it. */
static int produce_in_turns(void *unused)
{
    uint64_t sent = 0;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    allow_no_system_calls();
    while (sent < MESSAGES) {
        if (send_some(q, &sent) == -EAGAIN)
            for (int i = 0; i < 100; i++)
                child_assert(send_some(q, &sent) == -EAGAIN);
        test_tell(to_consumer[1]);
        test_hear(to_producer[0]);
    }
    return leave();
}

static int consume_in_turns(void *unused)
{
    uint64_t received = 0;
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    allow_no_system_calls();
    while (received < MESSAGES) {
        test_hear(to_consumer[0]);
        if (receive_some(q, &received) == -EAGAIN)
            for (int i = 0; i < 100; i++)
                child_assert(receive_some(q, &received) == -EAGAIN);
        test_tell(to_producer[1]);
    }
    return leave();
}

Test(fastpath, a_million_messages_in_turns, .init = setup, .timeout = 120)
{
    shmring_t *q = test_create(name, 0, capacity);

    test_pipe(to_consumer);
    test_pipe(to_producer);
    const pid_t producer = test_fork(produce_in_turns, NULL);
    const pid_t consumer = test_fork(consume_in_turns, NULL);
    cr_assert_eq(test_wait(producer), 0);
    cr_assert_eq(test_wait(consumer), 0);
    shmring_close(&q);
}

/* ---- The check of the name ------------------------------------------------------------------- */

/* One participant with both roles and an empty ring; its last call was a success. */
static shmring_t *open_both(void)
{
    char buf[1];
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER | SHMRING_CONSUMER) == 0);
    while (shmring_recv(q, buf, 1) >= 0)
        continue;
    child_assert(shmring_send(q, "", 1) == 0);
    child_assert(shmring_recv(q, buf, 1) == 1);
    return q;
}

static int poll_so_often(void *polls)
{
    shmring_t *q = open_both();
    char buf[1];

    allow_no_system_calls();
    for (int i = 0; i < *(const int *)polls; i++)
        child_assert(shmring_recv(q, buf, 1) == -EAGAIN);
    return leave();
}

static int find_full_so_often(void *polls)
{
    shmring_t *q = open_both();

    while (shmring_send(q, NULL, 0) == 0)
        continue;
    allow_no_system_calls();
    for (int i = 1; i < *(const int *)polls; i++)
        child_assert(shmring_send(q, NULL, 0) == -EAGAIN);
    return leave();
}

static int poll_often_with_a_success_between(void *unused)
{
    shmring_t *q = open_both();
    char buf[1];

    (void)unused;
    allow_no_system_calls();
    for (int j = 0; j < 3; j++) {
        for (int i = 0; i < POLLS - 1; i++)
            child_assert(shmring_recv(q, buf, 1) == -EAGAIN);
        child_assert(shmring_send(q, "", 1) == 0);
        child_assert(shmring_recv(q, buf, 1) == 1);
    }
    return leave();
}

Test(fastpath, at_most_65536_polls_without_the_kernel, .init = setup)
{
    int polls[] = {POLLS - 1, POLLS};
    shmring_t *q = test_create(name, 0, 4096);

    cr_assert_eq(test_run(poll_so_often, &polls[0]), 0);
    cr_assert_eq(test_run(poll_so_often, &polls[1]), -SIGSYS);
    cr_assert_eq(test_run(poll_often_with_a_success_between, NULL), 0);
    cr_assert_eq(test_run(find_full_so_often, &polls[0]), 0);
    cr_assert_eq(test_run(find_full_so_often, &polls[1]), -SIGSYS);
    shmring_close(&q);
}

static ssize_t receive_one(shmring_t *q)
{
    char buf[LONGEST];

    return shmring_recv(q, buf, sizeof buf);
}

static ssize_t receive_several(shmring_t *q)
{
    char buf[LONGEST];
    struct iovec batch = {buf, sizeof buf};

    return shmring_recv_batch(q, &batch, 1);
}

static ssize_t peek_in_place(shmring_t *q)
{
    const void *msg;

    return shmring_peek(q, &msg, NULL);
}

static ssize_t send_one(shmring_t *q)
{
    return shmring_send(q, NULL, 0);
}

static ssize_t send_several(shmring_t *q)
{
    struct iovec batch = {NULL, 0};

    return shmring_send_batch(q, &batch, 1);
}

static ssize_t send_in_place(shmring_t *q)
{
    void *msg;

    return shmring_reserve(q, 0, &msg);
}

/* A process that polls notices within POLLS polls that the name is gone, each time. */
static void assert_notices(shmring_t *q, ssize_t (*poll)(shmring_t *), const char *words)
{
    for (int times = 0; times < 2; times++) {
        int polls = 1;
        ssize_t r;
        while ((r = poll(q)) == -EAGAIN && polls < POLLS)
            polls++;
        cr_assert_eq(r, -ESTALE);
        cr_assert_not_null(strstr(shmring_strerror_detail(), words), "%s",
                           shmring_strerror_detail());
    }
    cr_assert_eq(poll(q), -EAGAIN, "it is no error of the queue's");
}

Test(fastpath, polling_a_removed_queue_is_estale)
{
    shmring_t *q;

    test_name(name);
    q = test_create(name, SHMRING_PRODUCER | SHMRING_CONSUMER, 4096);
    cr_assert_eq(shmring_send(q, "last", 4), 0);
    cr_assert_eq(shmring_unlink(name), 0);
    cr_assert_eq(receive_one(q), 4, "what is in it can be received");
    assert_notices(q, receive_one, "removed");
    assert_notices(q, receive_several, "removed");
    assert_notices(q, peek_in_place, "removed");
    while (send_one(q) == 0)
        continue;
    assert_notices(q, send_one, "removed");
    assert_notices(q, send_several, "removed");
    assert_notices(q, send_in_place, "removed");
    cr_assert_eq(receive_one(q), 0);
    shmring_close(&q);
}

Test(fastpath, polling_a_replaced_queue_is_estale)
{
    char path[TEST_NAME_SIZE + 16], kept[TEST_NAME_SIZE], kept_path[TEST_NAME_SIZE + 16];
    shmring_t *q, *other;

    test_name(name);
    test_name(kept);
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    snprintf(kept_path, sizeof kept_path, "/dev/shm/%s", kept);
    q = test_create(name, SHMRING_CONSUMER, 4096);
    cr_assert_eq(rename(path, kept_path), 0);
    other = test_create(name, 0, 4096);
    assert_notices(q, receive_one, "another");
    shmring_close(&other);
    shmring_close(&q);
}

Test(fastpath, a_memfd_has_no_name_to_lose)
{
    shmring_t *q = test_create("memfd:test", SHMRING_CONSUMER, 4096);

    for (int i = 0; i < 2 * POLLS; i++)
        cr_assert_eq(receive_one(q), -EAGAIN);
    shmring_close(&q);
}
