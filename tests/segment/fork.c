/* SPDX-License-Identifier: MIT */
/* Handles and forked children: a child must attach anew, and never hides its parent's death. */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

enum { CAPACITY = 65536 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* Here only shmring_dup() and shmring_close() accept the handle. */
static void check_not_connected(shmring_t *q)
{
    struct iovec message = {.iov_base = &message, .iov_len = sizeof message};
    struct shmring_participant row;
    struct shmring_stat stat;
    const void *peeked;
    void *reserved;
    char byte = 0;

    child_assert(shmring_send(q, &byte, 1) == -ENOTCONN);
    child_assert(strstr(shmring_strerror_detail(), "shmring_dup"));
    child_assert(shmring_send_batch(q, &message, 1) == -ENOTCONN);
    child_assert(shmring_send_batch(q, &message, 0) == -ENOTCONN);
    child_assert(shmring_reserve(q, 1, &reserved) == -ENOTCONN);
    child_assert(shmring_commit(q, &byte, 1) == -ENOTCONN);
    child_assert(shmring_cancel(q, &byte) == -ENOTCONN);
    child_assert(shmring_recv(q, &byte, 1) == -ENOTCONN);
    child_assert(shmring_recv_batch(q, &message, 1) == -ENOTCONN);
    child_assert(shmring_peek(q, &peeked, NULL) == -ENOTCONN);
    child_assert(shmring_release(q, &byte) == -ENOTCONN);
    child_assert(shmring_stat(q, &stat) == -ENOTCONN);
    child_assert(shmring_participants(q, &row, 1) == -ENOTCONN);
    child_assert(shmring_check(q) == -ENOTCONN);
    child_assert(shmring_segment_fd(q) == -ENOTCONN);
    child_assert(shmring_recover(q, NULL) == -ENOTCONN);
    child_assert(shmring_dump(q, NULL, NULL) == -ENOTCONN);
}

static void check_exchange(shmring_t *producer, shmring_t *consumer, const char *message)
{
    char buffer[64];

    child_assert(shmring_send(producer, message, strlen(message) + 1) == 0);
    child_assert(shmring_recv(consumer, buffer, sizeof buffer) == (ssize_t)strlen(message) + 1);
    child_assert(strcmp(buffer, message) == 0);
}

/* ---- Inherited handles ----------------------------------------------------------------------- */

static int use_inherited(void *argument)
{
    shmring_t *q = argument;

    check_not_connected(q);
    shmring_close(&q);
    child_assert(q == NULL);
    return 0;
}

/* ... also after the child has made handles of its own, mapped where the parent's may have been. */
static int use_inherited_and_own(void *argument)
{
    shmring_t *q = argument, *own, *memfd;
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .flags = BOTH, .capacity = CAPACITY};

    child_assert(shmring_dup(&own, q, SHMRING_OBSERVER) == 0);
    child_assert(shmring_create(&memfd, "memfd:own", &config) == 0);
    check_not_connected(q);
    check_exchange(memfd, memfd, "child");
    shmring_close(&q);
    child_assert(shmring_check(own) == 0);
    check_exchange(memfd, memfd, "child");
    shmring_close(&own);
    shmring_close(&memfd);
    return 0;
}

Test(fork, inherited_handle_is_not_connected)
{
    static const unsigned roles[] = {SHMRING_PRODUCER, SHMRING_CONSUMER, BOTH, SHMRING_OBSERVER};
    char name[TEST_NAME_SIZE];

    test_name(name);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        shmring_t *q = test_create(name, roles[i], CAPACITY);
        struct shmring_stat stat;

        cr_assert_eq(test_run(use_inherited, q), 0);
        cr_assert_eq(test_run(use_inherited_and_own, q), 0);
        cr_assert_eq(shmring_stat(q, &stat), 0);
        cr_assert_eq(stat.participants, (unsigned)__builtin_popcount(roles[i] & BOTH));
        if (roles[i] == BOTH)
            check_exchange(q, q, "parent");
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(name), 0);
    }
}

/* The parent holds messages, has a reservation open, and is in the middle of a batch. */
Test(fork, inherited_in_the_middle_of_something)
{
    shmring_t *q = test_create("memfd:orders", BOTH, CAPACITY);
    const void *peeked;
    void *reserved;

    cr_assert_eq(shmring_send(q, "hello", 6), 0);
    cr_assert_eq(shmring_peek(q, &peeked, NULL), 6);
    cr_assert_eq(shmring_reserve(q, 6, &reserved), 0);
    cr_assert_eq(test_run(use_inherited, q), 0);
    memcpy(reserved, "world", 6);
    cr_assert_eq(shmring_commit(q, reserved, 6), 0);
    cr_assert_eq(shmring_release(q, peeked), 0);
    cr_assert_eq(shmring_peek(q, &peeked, NULL), 6);
    cr_assert_str_eq(peeked, "world");
    shmring_close(&q);
}

/* The handles of the parent and of the child. */
struct family {
    shmring_t *parents, *childs;
};

static int be_grandchild(void *argument)
{
    struct family *family = argument;
    shmring_t *own;

    check_not_connected(family->parents);
    check_not_connected(family->childs);
    child_assert(shmring_dup(&own, family->parents, SHMRING_OBSERVER) == 0);
    check_not_connected(family->parents);
    check_not_connected(family->childs);
    child_assert(shmring_check(own) == 0);
    shmring_close(&family->parents);
    shmring_close(&family->childs);
    shmring_close(&own);
    child_assert(shmring_check(family->parents) == -EBADF);
    return 0;
}

static int be_child(void *argument)
{
    struct family *family = argument;

    child_assert(shmring_dup(&family->childs, family->parents, SHMRING_CONSUMER) == 0);
    child_assert(test_run(be_grandchild, family) == 0);
    check_not_connected(family->parents);
    child_assert(shmring_recv(family->childs, NULL, 0) == -EAGAIN);
    shmring_close(&family->childs);
    /* A second grandchild, forked when its parent has no handle of its own any more. */
    family->childs = NULL;
    child_assert(test_run(use_inherited, family->parents) == 0);
    shmring_close(&family->parents);
    return 0;
}

Test(fork, three_generations)
{
    struct family family = {.parents = test_create("memfd:orders", SHMRING_PRODUCER, CAPACITY)};

    for (int i = 0; i < 2; i++) /* two siblings */
        cr_assert_eq(test_run(be_child, &family), 0);
    cr_assert_eq(shmring_send(family.parents, "hello", 6), 0);
    shmring_close(&family.parents);
}

/* ---- shmring_dup() in the child -------------------------------------------------------------- */

static int receive_from_parent(void *argument)
{
    shmring_t *q = argument, *own, *other;
    char buffer[8], words[64];

    snprintf(words, sizeof words, "producer's role is held by pid %d (", getppid());
    child_assert(shmring_dup(&other, q, SHMRING_PRODUCER) == -EBUSY);
    child_assert(strstr(shmring_strerror_detail(), words));
    child_assert(other == NULL);
    child_assert(shmring_dup(&own, q, SHMRING_CONSUMER) == 0);
    shmring_close(&q);
    while (shmring_recv(own, buffer, sizeof buffer) == -EAGAIN)
        sched_yield();
    child_assert(strcmp(buffer, "hello") == 0);
    shmring_close(&own);
    return 0;
}

Test(fork, queue_between_parent_and_child)
{
    char name[TEST_NAME_SIZE];
    const char *names[] = {"memfd:orders", name};

    test_name(name);
    for (int i = 0; i < 2; i++) {
        shmring_t *q = test_create(names[i], SHMRING_PRODUCER, CAPACITY);
        pid_t pid = test_fork(receive_from_parent, q);
        cr_assert_eq(shmring_send(q, "hello", 6), 0);
        cr_assert_eq(test_wait(pid), 0);
        shmring_close(&q);
    }
}

struct handover {
    shmring_t *q;
    int tried[2], closed[2];
};

static int take_over_from_parent(void *argument)
{
    struct handover *handover = argument;
    shmring_t *own;

    child_assert(shmring_dup(&own, handover->q, BOTH) == -EBUSY);
    test_tell(handover->tried[1]);
    test_hear(handover->closed[0]);
    child_assert(shmring_dup(&own, handover->q, BOTH) == 0);
    check_exchange(own, own, "hello");
    shmring_close(&own);
    return 0;
}

Test(fork, child_outlives_the_parents_handle)
{
    struct handover handover = {.q = test_create("memfd:orders", BOTH, CAPACITY)};

    test_pipe(handover.tried);
    test_pipe(handover.closed);
    pid_t pid = test_fork(take_over_from_parent, &handover);
    test_hear(handover.tried[0]);
    shmring_close(&handover.q);
    test_tell(handover.closed[1]);
    cr_assert_eq(test_wait(pid), 0);
}

/* ---- A live child must not hide its parent's death ------------------------------------------- */

/* The child lives until the test ends or releases it: it reads from a pipe to which only the test
 * writes. */
static void linger(const int ends[2])
{
    char byte;

    close(ends[1]);
    _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
}

struct lingering {
    const char *name;
    int let_go[2], ready[2];
    int socket; /* the holder passes its descriptor to this socket, or -1 */
    int before; /* the holder forks before it attaches */
};

static void pass_descriptor(int socket, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = {0}, byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    child_assert(sendmsg(socket, &message, 0) == 1);
}

static int attach_and_fork(void *argument)
{
    struct lingering *l = argument;
    shmring_t *q;

    if (l->before && fork() == 0)
        linger(l->let_go);
    child_assert(shmring_open(&q, l->name, BOTH) == 0);
    if (!l->before && fork() == 0)
        linger(l->let_go);
    if (l->socket >= 0)
        pass_descriptor(l->socket, shmring_segment_fd(q));
    test_tell(l->ready[1]);
    pause();
    return 1;
}

static void check_death_is_seen(struct lingering *l)
{
    char name[TEST_NAME_SIZE];
    struct shmring_stat stat;
    shmring_t *q, *other;

    test_name(name);
    l->name = name;
    test_pipe(l->let_go);
    test_pipe(l->ready);
    q = test_create(name, 0, CAPACITY);
    pid_t pid = test_fork(attach_and_fork, l);
    test_hear(l->ready[0]);
    cr_assert_eq(shmring_open(&other, name, BOTH), -EBUSY);
    test_kill(pid);
    cr_assert_eq(shmring_stat(q, &stat), 0);
    cr_assert_eq(stat.dead, 2);
    cr_assert_eq(shmring_open(&other, name, BOTH), 0, "%s", shmring_strerror_detail());
    shmring_close(&other);
    shmring_close(&q);
    close(l->let_go[1]);
}

Test(fork, child_forked_before_attaching)
{
    struct lingering l = {.socket = -1, .before = 1};

    check_death_is_seen(&l);
}

Test(fork, child_forked_after_attaching)
{
    struct lingering l = {.socket = -1};

    check_death_is_seen(&l);
}

/* The descriptor that the holder has passed stays open here: it is still in the socket. */
Test(fork, descriptor_passed_on)
{
    struct lingering l = {.socket = -1};
    int sockets[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    l.socket = sockets[0];
    check_death_is_seen(&l);
}

/* ---- Forks in the middle of attaching -------------------------------------------------------- */

struct attacher {
    const char *name;
    atomic_int stop, attached, refused;
};

static void *attach_and_close(void *argument)
{
    struct attacher *attacher = argument;
    shmring_t *q;

    while (!atomic_load(&attacher->stop)) {
        if (shmring_open(&q, attacher->name, BOTH) == 0)
            atomic_fetch_add(&attacher->attached, 1);
        else
            atomic_fetch_add(&attacher->refused, 1);
        shmring_close(&q);
    }
    return NULL;
}

/* In a child every lock of the library is free: the child can attach. */
static void attach_in_child(const char *name)
{
    const struct shmring_config config = {.kind = SHMRING_SPSC, .flags = BOTH, .capacity = 4096};
    shmring_t *q;

    child_assert(shmring_create(&q, "memfd:own", &config) == 0);
    check_exchange(q, q, "child");
    shmring_close(&q);
    child_assert(shmring_open(&q, name, SHMRING_OBSERVER) == 0);
    shmring_close(&q);
}

Test(fork, while_another_thread_attaches, .timeout = 300)
{
    enum { CHILDREN = 100 };
    struct attacher attacher = {0};
    char name[TEST_NAME_SIZE];
    int let_go[2], ready[2];
    pid_t pids[CHILDREN];
    pthread_t thread;
    shmring_t *q;

    test_name(name);
    attacher.name = name;
    q = test_create(name, 0, CAPACITY);
    test_pipe(let_go);
    test_pipe(ready);
    cr_assert_eq(pthread_create(&thread, NULL, attach_and_close, &attacher), 0);
    for (int i = 0; i < CHILDREN; i++) {
        const int attached = atomic_load(&attacher.attached);
        while (atomic_load(&attacher.attached) == attached && !atomic_load(&attacher.refused))
            sched_yield(); /* so that the threads do not run in step */
        pids[i] = fork();
        cr_assert_geq(pids[i], 0);
        if (pids[i] == 0) {
            close(let_go[1]);
            attach_in_child(name);
            test_tell(ready[1]);
            linger(let_go);
        }
    }
    for (int i = 0; i < CHILDREN; i++)
        test_hear(ready[0]);
    atomic_store(&attacher.stop, 1);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(atomic_load(&attacher.refused), 0, "a child holds a role");
    close(let_go[1]);
    for (int i = 0; i < CHILDREN; i++)
        cr_assert_eq(test_wait(pids[i]), 0);
    shmring_close(&q);
}
