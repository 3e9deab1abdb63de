/* SPDX-License-Identifier: MIT */
/* The operations of faults.c. */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"
#include "faults_operations.h"

#define OPENING                                                                                    \
    ENOENT, EBUSY, EBADMSG, ELOOP, EISDIR, EUSERS, ENOSYS, ENOTDIR, ENOSPC, EFBIG, EROFS,          \
        ENAMETOOLONG, EOPNOTSUPP

char name[TEST_NAME_SIZE + 32];
uint32_t kind;
shmring_t *q, *other;

/* A time limit: long, so that the wait does not end by it; short where all calls fail. */
static const struct timespec *a_while(void)
{
    static const struct timespec longest = {.tv_sec = 10}, shortest = {.tv_nsec = 20 * 1000 * 1000};

    return plan.for_ever ? &shortest : &longest;
}

/* Errors of the kernel that every call may return: see "Errors of the kernel" in shmring.h. */
static const int anywhere[DOCUMENTED_MAX] = {ENOMEM, EMFILE, ENFILE, EACCES, EPERM,    EIO,
                                             EINTR,  ENOLCK, EDQUOT, ENODEV, EOVERFLOW};

static bool is_in(const int *errors, int error)
{
    for (int i = 0; i < DOCUMENTED_MAX && errors[i]; i++)
        if (errors[i] == error)
            return true;
    return false;
}

bool may_return(const struct operation *o, int error)
{
    return is_in(anywhere, error) || is_in(o->documented, error);
}

struct shmring_config config_with(unsigned flags)
{
    const bool mpmc = kind == SHMRING_MPMC;

    return (struct shmring_config){.kind = kind,
                                   .flags = flags,
                                   .capacity = mpmc ? 4 : 4096,
                                   .max_message = mpmc ? 64 : 0,
                                   .max_participants = kind == SHMRING_SPSC ? 0 : 4};
}

int create(shmring_t **handle, const char *where, unsigned flags)
{
    const struct shmring_config config = config_with(flags);

    return shmring_create(handle, where, &config);
}

static void nothing_before(void)
{
}

static int run_create(void)
{
    return create(&q, name, BOTH | SHMRING_PREFAULT | SHMRING_MLOCK);
}

static int run_create_or_open(void)
{
    return create(&q, name, BOTH | SHMRING_OPEN_OR_CREATE);
}

int run_create_memfd(void)
{
    return create(&q, "memfd:orders", BOTH);
}

/* By a relative path. */
static int run_create_here(void)
{
    return create(&q, "file:queue", BOTH);
}

/* The roles, so that the messages that wait are for the consumer, and hold up the producer: in a
 * broadcast queue a consumer asks for that. */
static unsigned with_all(unsigned roles)
{
    return kind == SHMRING_BROADCAST && roles & SHMRING_CONSUMER
               ? roles | SHMRING_FROM_OLDEST | SHMRING_RELIABLE
               : roles;
}

void must(int r)
{
    cr_assert_geq(r, 0, "%s", shmring_strerror_detail());
}

/* A queue with a message and without participants. */
void queue(void)
{
    must(create(&q, name, BOTH));
    must(shmring_send(q, "a", 1));
    shmring_close(&q);
}

/* ... with a handle. */
static void queue_open(void)
{
    queue();
    must(shmring_open(&q, name, with_all(BOTH)));
}

static void queue_empty(void)
{
    char byte;

    queue_open();
    must((int)shmring_recv(q, &byte, 1));
}

/* The functions in place of libc's report btrfs. */
static void btrfs_before(void)
{
    plan.file_system = 0x9123683e;
}

static void queue_on_btrfs(void)
{
    queue();
    btrfs_before();
}

static int die_holding(void *argument)
{
    const void *message;

    (void)argument;
    child_assert(shmring_open(&q, name, with_all(BOTH)) == 0);
    child_assert(shmring_peek(q, &message, NULL) == 1);
    return 0; /* the process ends by _exit(), so the handle stays open */
}

/* ... and whose participant died while it held the message. */
static void queue_of_dead(void)
{
    queue();
    cr_assert_eq(test_run(die_holding, NULL), 0);
}

static void queue_of_dead_open(void)
{
    queue();
    must(shmring_open(&q, name, kind == SHMRING_MPMC ? BOTH : SHMRING_OBSERVER));
    cr_assert_eq(test_run(die_holding, NULL), 0);
}

int run_open(void)
{
    return shmring_open(&q, name, BOTH | SHMRING_PREFAULT | SHMRING_ASYMMETRIC_FENCE);
}

static int run_observe(void)
{
    return shmring_open(&q, name, SHMRING_OBSERVER);
}

void make_queue(void)
{
    shmring_t *made;

    if (access(name + 5, F_OK) < 0) {
        must(create(&made, name, 0));
        shmring_close(&made);
    }
    cr_assert_eq(chmod(name + 5, 0600), 0); /* readable again, for the second attempt */
}

int run_open_wait(void)
{
    return shmring_open_wait(&q, name, BOTH, a_while());
}

static void memfd(void)
{
    must(create(&other, "memfd:orders", SHMRING_OBSERVER));
}

static int run_open_fd(void)
{
    return shmring_open_fd(&q, shmring_segment_fd(other), BOTH | SHMRING_SEALED);
}

static void queue_observed(void)
{
    queue();
    must(shmring_open(&other, name, SHMRING_OBSERVER));
}

static int run_dup(void)
{
    return shmring_dup(&q, other, BOTH);
}

/* A producer and a consumer of an empty queue, and of a full one; they sleep without spinning
 * first. */
static void two_sides(void)
{
    const struct shmring_waiting at_once = {.recheck_ms = 20};
    char byte;

    queue();
    must(shmring_open(&q, name, with_all(SHMRING_CONSUMER)));
    must(shmring_open(&other, name, SHMRING_PRODUCER | SHMRING_ASYMMETRIC_FENCE));
    must((int)shmring_recv(q, &byte, 1));
    must(shmring_set_waiting(q, &at_once));
}

static void two_sides_full(void)
{
    const struct shmring_waiting at_once = {.recheck_ms = 20};

    queue();
    must(shmring_open(&q, name, SHMRING_PRODUCER));
    must(shmring_open(&other, name, with_all(SHMRING_CONSUMER) | SHMRING_ASYMMETRIC_FENCE));
    while (shmring_send(q, "12345678", 8) == 0)
        ;
    must(shmring_set_waiting(q, &at_once));
}

/* The reliable consumer that holds the producer up is dead. */
static int die_behind(void *argument)
{
    (void)argument;
    child_assert(shmring_open(&other, name, with_all(SHMRING_CONSUMER)) == 0);
    return 0;
}

static void held_up_by_dead(void)
{
    const struct shmring_waiting at_once = {.recheck_ms = 20};

    queue();
    cr_assert_eq(test_run(die_behind, NULL), 0);
    must(shmring_open(&q, name, SHMRING_PRODUCER));
    must(shmring_set_waiting(q, &at_once));
    plan_fault(CALL_GET_LOCK, ENOLCK, 1, true); /* it does not find out that it is dead */
    while (shmring_send(q, "12345678", 8) == 0)
        ;
    plan_end();
}

static void other_sends(void)
{
    must(shmring_send(other, "b", 1));
}

static void other_receives(void)
{
    char bytes[8];

    must((int)shmring_recv(other, bytes, sizeof bytes));
    while (kind == SHMRING_BROADCAST && shmring_recv(other, bytes, sizeof bytes) >= 0)
        ; /* its room is given back by chunks */
}

static int run_recv_wait(void)
{
    char bytes[8];

    return (int)shmring_recv_wait(q, bytes, sizeof bytes, a_while());
}

static int run_send_wait(void)
{
    return shmring_send_wait(q, "12345678", 8, a_while());
}

/* The producer tests a lock every 50 ms. */
static int run_send_wait_behind(void)
{
    static const struct timespec longer = {.tv_nsec = 100 * 1000 * 1000};

    return shmring_send_wait(q, "12345678", 8, plan.for_ever ? &longer : a_while());
}

static int run_wait_for_both(void)
{
    return shmring_wait(q, SHMRING_READABLE | SHMRING_WRITABLE, a_while());
}

/* mpmc: the other participant holds all messages, so the queue is neither readable nor writable. */
static const void *held;

static void two_sides_stuck(void)
{
    const struct shmring_waiting at_once = {.recheck_ms = 20};
    const void *message;

    queue_open();
    while (shmring_send(q, "12345678", 8) == 0)
        ;
    must(shmring_open(&other, name, BOTH));
    while (shmring_peek(other, &message, NULL) >= 0)
        held = message;
    must(shmring_set_waiting(q, &at_once));
}

static void other_releases(void)
{
    must(shmring_release(other, held));
}

static int run_fd(void)
{
    return shmring_fd(q, SHMRING_READABLE);
}

static int run_fd_arm(void)
{
    return shmring_fd_arm(q, SHMRING_READABLE);
}

static void polled(void)
{
    queue_empty();
    must(shmring_fd(q, SHMRING_READABLE));
}

/* The wait word says that a participant waits by descriptor: the publisher opens the notifier. */
static void polled_by_other(void)
{
    must(create(&other, name, SHMRING_CONSUMER));
    must(shmring_open(&q, name, SHMRING_PRODUCER));
    must(shmring_fd_arm(other, SHMRING_READABLE));
}

/* ... or by a futex. */
static void asleep(void)
{
    struct shmring_futex futex;

    must(create(&other, name, SHMRING_CONSUMER));
    must(shmring_open(&q, name, SHMRING_PRODUCER));
    must(shmring_futex_arm(other, SHMRING_READABLE, &futex));
}

static int run_send(void)
{
    return shmring_send(q, "b", 1);
}

static void polled_and_removed(void)
{
    polled();
    must(shmring_unlink(name));
}

int run_close(void)
{
    shmring_close(&q);
    return 0;
}

static int run_recover(void)
{
    return shmring_recover(q, NULL);
}

static int run_participants(void)
{
    struct shmring_participant rows[4];

    return shmring_participants(q, rows, 4);
}

static int run_stat(void)
{
    struct shmring_stat st;

    return shmring_stat(q, &st);
}

static int show(void *argument, const struct shmring_message *m)
{
    (void)argument, (void)m;
    return 0;
}

static int run_dump(void)
{
    return shmring_dump(q, show, NULL);
}

static int run_check(void)
{
    return shmring_check(q);
}

int run_unlink(void)
{
    const int r = shmring_unlink(name);

    /* In the second attempt the name may be gone: then the fault came after the removal. */
    return r == -ENOENT && access(name + 5, F_OK) < 0 ? 0 : r;
}

static void polled_by_dead(void)
{
    polled();
    shmring_close(&q);
}

const struct operation operations[OPERATIONS] = {
    {"create", nothing_before, run_create, {OPENING, EEXIST, EOPNOTSUPP}, NULL, false, 0},
    {"create in place", nothing_before, run_create, {OPENING, EEXIST, EOPNOTSUPP}, NULL, true, 0},
    {"create on btrfs", btrfs_before, run_create, {OPENING, EEXIST}, NULL, false, 0},
    {"open on btrfs", queue_on_btrfs, run_open, {OPENING}, NULL, false, 0},
    {"create or open", queue, run_create_or_open, {OPENING, EEXIST, EOPNOTSUPP}, NULL, false, 0},
    {"create a memfd", nothing_before, run_create_memfd, {OPENING, EOPNOTSUPP}, NULL, false, 0},
    {"create here", nothing_before, run_create_here, {OPENING, EEXIST, EOPNOTSUPP}, NULL, false, 0},
    {"open", queue, run_open, {OPENING}, NULL, false, 0},
    {"open, a participant died", queue_of_dead, run_open, {OPENING}, NULL, false, 0},
    {"observe", queue, run_observe, {OPENING}, NULL, false, 0},
    {"open_wait", nothing_before, run_open_wait, {OPENING, ETIMEDOUT}, make_queue, false, 0},
    {"open_fd", memfd, run_open_fd, {OPENING, EBADF}, NULL, false, 0},
    {"dup", queue_observed, run_dup, {OPENING}, NULL, false, 0},
    {"recv_wait", two_sides, run_recv_wait, {ETIMEDOUT, ESTALE}, other_sends, false, 0},
    {"send_wait", two_sides_full, run_send_wait, {ETIMEDOUT, ESTALE}, other_receives, false, 0},
    {"send_wait behind the dead",
     held_up_by_dead,
     run_send_wait_behind,
     {ETIMEDOUT, ESTALE},
     NULL,
     false,
     SHMRING_BROADCAST},
    {"wait for both",
     two_sides_stuck,
     run_wait_for_both,
     {ETIMEDOUT, ESTALE},
     other_releases,
     false,
     SHMRING_MPMC},
    {"fd",
     queue_empty,
     run_fd,
     {EEXIST, EBUSY, ENOENT, EROFS, ENOSPC, ENOTDIR, EOPNOTSUPP},
     NULL,
     false,
     0},
    {"fd_arm",
     queue_empty,
     run_fd_arm,
     {EEXIST, EBUSY, ENOENT, EROFS, ENOSPC, ENOTDIR, EOPNOTSUPP},
     NULL,
     false,
     0},
    {"fd_arm again", polled, run_fd_arm, {0}, NULL, false, 0},
    {"send, waking", asleep, run_send, {0}, NULL, false, 0},
    {"send, notifying", polled_by_other, run_send, {0}, NULL, false, 0},
    {"recover", queue_of_dead_open, run_recover, {OPENING}, NULL, false, 0},
    {"participants", queue_open, run_participants, {0}, NULL, false, 0},
    {"stat", queue_open, run_stat, {0}, NULL, false, 0},
    {"dump", queue_open, run_dump, {0}, NULL, false, 0},
    {"check", queue_open, run_check, {0}, NULL, false, 0},
    {"close", queue_open, run_close, {0}, NULL, false, 0},
    {"close, last at the wait word", polled_and_removed, run_close, {0}, NULL, false, 0},
    {"unlink", polled_by_dead, run_unlink, {OPENING}, NULL, false, 0},
};
