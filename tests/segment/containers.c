/* SPDX-License-Identifier: MIT */
/*
 * Queues between containers and between users: other pid namespaces, other users with and without
 * permission, a small /dev/shm, and limits that are reached while a queue is in use. Tests that
 * need a right which this process does not have are skipped.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { CANNOT = 77, LEN = 100 };

#define BOTH      (SHMRING_PRODUCER | SHMRING_CONSUMER)
#define LONG_TIME (&(struct timespec){.tv_sec = 30})

static char name[TEST_NAME_SIZE];

static shmring_t *child_open(unsigned roles)
{
    shmring_t *q;

    child_assert(shmring_open(&q, name, roles) == 0);
    return q;
}

/* ---- Pid namespaces -------------------------------------------------------------------------- */

struct contained {
    int (*body)(int ready);
    int ready;
};

/*
 * The body is process 1 of a pid namespace of its own, and dies when this process does. Both end
 * without _exit(): LeakSanitizer cannot work in a process whose children belong to another
 * namespace, nor in those children.
 */
static int run_contained(void *argument)
{
    const struct contained *c = argument;
    int status;

    child_assert(unshare(CLONE_NEWPID) == 0);
    const pid_t pid = fork();
    child_assert(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        child_assert(getpid() == 1);
        syscall(SYS_exit_group, c->body(c->ready));
    }
    child_assert(waitpid(pid, &status, 0) == pid);
    syscall(SYS_exit_group, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    return 1;
}

static int hold_and_die(int ready)
{
    const void *msg;
    shmring_t *q = child_open(BOTH);

    child_assert(shmring_peek(q, &msg, NULL) == LEN);
    test_tell(ready);
    pause();
    return 0;
}

/* Process 1 of one namespace recovers what process 1 of another one left. */
static int recover_the_other(int ready)
{
    struct shmring_participant rows[4];
    struct shmring_recovery report;
    struct shmring_info info;
    const void *msg;
    shmring_t *q = child_open(BOTH);

    child_assert(shmring_participants(q, rows, 4) == 2);
    child_assert(rows[0].pid == 1 && rows[1].pid == 1);
    child_assert(rows[0].pid_namespace != rows[1].pid_namespace);
    child_assert(rows[0].alive == 1 && rows[1].alive == 1 && rows[0].held == 1);
    /* The live owner is not taken for dead, though its pid is another process's here. */
    child_assert(shmring_recover(q, &report) == 0);
    child_assert(shmring_recv(q, NULL, 0) == -EAGAIN);
    test_tell(ready);
    child_assert(shmring_peek_wait(q, &msg, &info, LONG_TIME) == LEN);
    child_assert(info.flags == SHMRING_REDELIVERED);
    child_assert(shmring_recover(q, &report) == 1 && report.who[0].pid == 1);
    child_assert(shmring_participants(q, rows, 4) == 1 && rows[0].row == 1);
    shmring_close(&q);
    return 0;
}

static pid_t only_child_of(pid_t pid)
{
    char path[64];
    int child = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    f = fopen(path, "re");
    if (f && fscanf(f, "%d", &child) != 1)
        child = 0;
    if (f)
        fclose(f);
    return child;
}

static bool may_unshare(int flags)
{
    const pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(unshare(flags) < 0);
    return waitpid(pid, &status, 0) == pid && status == 0;
}

Test(containers, death_in_another_pid_namespace, .timeout = 60)
{
    int held[2], recovered[2];
    char message[LEN] = {1};

    if (!may_unshare(CLONE_NEWPID))
        cr_skip_test("may not make a pid namespace");
    test_pipe(held);
    test_pipe(recovered);
    test_name(name);
    shmring_t *q = test_create_mpmc(name, SHMRING_PRODUCER, 4, LEN);
    cr_assert_eq(shmring_send(q, message, LEN), 0);
    shmring_close(&q);

    struct contained one = {hold_and_die, held[1]}, other = {recover_the_other, recovered[1]};
    const pid_t first = test_fork(run_contained, &one);
    test_hear(held[0]);
    const pid_t second = test_fork(run_contained, &other);
    test_hear(recovered[0]);
    const pid_t inner = only_child_of(first);
    cr_assert_gt(inner, 0);
    cr_assert_eq(kill(inner, SIGKILL), 0);
    cr_assert_eq(test_wait(first), 128 + SIGKILL);
    cr_assert_eq(test_wait(second), 0);
}

static int take_role_and_wait(int ready)
{
    shmring_t *q = child_open(SHMRING_PRODUCER);

    test_tell(ready);
    pause();
    shmring_close(&q);
    return 0;
}

Test(containers, a_holder_of_another_pid_namespace_is_said_to_be_one, .timeout = 60)
{
    int held[2];
    shmring_t *second;

    if (!may_unshare(CLONE_NEWPID))
        cr_skip_test("may not make a pid namespace");
    test_pipe(held);
    test_name(name);
    shmring_t *q = test_create(name, 0, 4096);
    struct contained one = {take_role_and_wait, held[1]};
    const pid_t pid = test_fork(run_contained, &one);
    test_hear(held[0]);
    assert_refused(shmring_dup(&second, q, SHMRING_PRODUCER), EBUSY,
                   "pid 1 of another pid namespace");
    cr_assert_eq(kill(only_child_of(pid), SIGKILL), 0);
    cr_assert_eq(test_wait(pid), 128 + SIGKILL);
    cr_assert_eq(shmring_dup(&second, q, SHMRING_PRODUCER), 0);
    shmring_close(&second);
    shmring_close(&q);
}

/* ---- Users ----------------------------------------------------------------------------------- */

enum { ALICE = 61001, BOB = 61002, MALLORY = 61003, TEAM = 61010 };

static void become(uid_t user, gid_t group)
{
    const gid_t groups[] = {group};

    child_assert(setgroups(1, groups) == 0 && setresgid(group, group, group) == 0 &&
                 setresuid(user, user, user) == 0);
}

static int be_bob(void *argument)
{
    char message[LEN];

    (void)argument;
    become(BOB, TEAM);
    shmring_t *q = child_open(SHMRING_CONSUMER);
    /* Both ways to sleep: by futex, and by descriptor, with a notifier whose group is that of the
     * queue. */
    child_assert(shmring_recv_wait(q, message, LEN, LONG_TIME) == LEN);
    child_assert(shmring_fd(q, SHMRING_READABLE) >= 0);
    while (shmring_recv(q, message, LEN) == -EAGAIN)
        child_assert(shmring_fd_arm(q, SHMRING_READABLE) >= 0);
    shmring_close(&q);
    child_refused(shmring_unlink(name), EPERM, name);
    return 0;
}

static int be_mallory(void *argument)
{
    shmring_t *q;

    (void)argument;
    become(MALLORY, MALLORY);
    child_refused(shmring_open(&q, name, SHMRING_OBSERVER), EACCES, name);
    child_refused(shmring_open(&q, name, SHMRING_CONSUMER), EACCES, name);
    return 0;
}

static int be_alice(void *argument)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .flags = SHMRING_PRODUCER, .capacity = 4096, .mode = 0660};
    char message[LEN] = {1};
    shmring_t *q;

    (void)argument;
    become(ALICE, TEAM);
    umask(0777);
    child_assert(shmring_create(&q, name, &config) == 0);
    test_tell(*(int *)argument);
    for (uint64_t sent = 1; sent <= 2; sent++) {
        struct shmring_stat st;
        child_assert(shmring_send(q, message, LEN) == 0);
        do { /* until Bob has taken it and sleeps again */
            usleep(1000);
            child_assert(shmring_stat(q, &st) == 0);
        } while (st.received < sent);
    }
    shmring_close(&q);
    return 0;
}

static void need_root(void)
{
    if (!test_is_root())
        cr_skip_test("not root");
}

Test(containers, two_users_of_a_group, .timeout = 60)
{
    int made[2];

    need_root();
    test_pipe(made);
    test_name(name);
    const pid_t alice = test_fork(be_alice, &made[1]);
    test_hear(made[0]);
    cr_assert_eq(test_run(be_mallory, NULL), 0);
    cr_assert_eq(test_run(be_bob, NULL), 0);
    cr_assert_eq(test_wait(alice), 0);
}

static int count_one(void *count, const struct shmring_message *message)
{
    (void)message;
    ++*(int *)count;
    return 0;
}

static int observe(void *argument)
{
    struct shmring_participant row;
    struct shmring_stat st;
    shmring_t *q;
    int messages = 0;

    (void)argument;
    become(BOB, TEAM);
    child_refused(shmring_open(&q, name, SHMRING_CONSUMER), EACCES, name);
    q = child_open(SHMRING_OBSERVER);
    child_assert(shmring_stat(q, &st) == 0 && st.uid == ALICE && st.mode == 0640);
    child_assert(shmring_participants(q, &row, 1) == 1 && row.uid == ALICE && row.alive == 1);
    child_assert(shmring_dump(q, count_one, &messages) == 0 && messages == 1);
    child_refused(shmring_send(q, "", 1), EPERM, "producer");
    child_refused(shmring_wait(q, SHMRING_READABLE, LONG_TIME), EPERM, "consumer");
    shmring_close(&q);
    return 0;
}

static int be_observed(void *argument)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = SHMRING_PRODUCER,
                                          .capacity = 4,
                                          .max_message = LEN,
                                          .mode = 0640};
    shmring_t *q;

    become(ALICE, TEAM);
    child_assert(shmring_create(&q, name, &config) == 0 && shmring_send(q, "", 1) == 0);
    test_tell(*(int *)argument);
    pause();
    return 0;
}

Test(containers, an_observer_of_another_user, .timeout = 60)
{
    int made[2];

    need_root();
    test_pipe(made);
    test_name(name);
    const pid_t alice = test_fork(be_observed, &made[1]);
    test_hear(made[0]);
    cr_assert_eq(test_run(observe, NULL), 0);
    cr_assert_eq(test_run(be_mallory, NULL), 0);
    test_kill(alice);
}

/* ---- Descriptors from other processes -------------------------------------------------------- */

Test(containers, only_sealed_memory)
{
    shmring_t *file, *memory = test_create("memfd:orders", 0, 4096), *q;

    test_name(name);
    file = test_create(name, 0, 4096);
    assert_refused(shmring_open_fd(&q, shmring_segment_fd(file), BOTH | SHMRING_SEALED), EPERM,
                   "not a memfd sealed");
    assert_refused(shmring_open(&q, name, SHMRING_OBSERVER | SHMRING_SEALED), EPERM,
                   "F_SEAL_SHRINK");
    cr_assert_null(q);
    cr_assert_eq(shmring_open_fd(&q, shmring_segment_fd(memory), BOTH | SHMRING_SEALED), 0);
    shmring_close(&q);
    cr_assert_eq(shmring_open_fd(&q, shmring_segment_fd(file), BOTH), 0);
    shmring_close(&q);
    shmring_close(&file);
    shmring_close(&memory);
}

/* Opening a device may have an effect: the library must not open one. */
Test(containers, what_is_no_file_is_not_opened)
{
    const int fd = open("/dev/null", O_PATH | O_CLOEXEC);
    shmring_t *q;

    assert_refused(shmring_open_fd(&q, fd, BOTH), EBADMSG, "not a regular file");
    assert_refused(shmring_open_fd(&q, fd, BOTH | SHMRING_SEALED), EBADMSG, "not a regular file");
    close(fd);
}

/* ---- Limits that a container reaches --------------------------------------------------------- */

static int use_small_shm(void *argument)
{
    struct shmring_config config = {.kind = SHMRING_SPSC, .flags = BOTH, .capacity = 65536};
    char message[LEN] = {1};
    shmring_t *q, *other;

    (void)argument;
    if (!test_own_mounts() || mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k") < 0)
        return CANNOT;
    child_refused(shmring_create(&q, "orders", &config), ENOSPC,
                  "needs 81920 bytes, 65536 are available");
    config.capacity = 32768;
    child_assert(shmring_create(&q, "orders", &config) == 0);
    child_refused(shmring_create(&other, "others", &config), ENOSPC, "16384 are available");
    for (int i = 0; i < 1000; i++) {
        child_assert(shmring_send(q, message, LEN) == 0);
        child_assert(shmring_recv(q, message, LEN) == LEN);
    }
    child_assert(shmring_fd_arm(q, SHMRING_READABLE) == 0);
    shmring_close(&q);
    child_assert(shmring_unlink("orders") == 0 && test_count_files("/dev/shm") == 0);
    child_assert(shmring_create(&q, "others", &config) == 0);
    shmring_close(&q);
    return 0;
}

Test(containers, dev_shm_of_64_kib)
{
    const int r = test_run(use_small_shm, NULL);

    if (r == CANNOT)
        cr_skip_test("may not mount");
    cr_assert_eq(r, 0);
}

static void limit(int resource, rlim_t most)
{
    struct rlimit limit;

    child_assert(getrlimit((__rlimit_resource_t)resource, &limit) == 0);
    limit.rlim_cur = most;
    child_assert(setrlimit((__rlimit_resource_t)resource, &limit) == 0);
}

/* To use a queue that exists takes no growing file, so there is no SIGXFSZ. But a file with holes
 * grows. */
static int use_without_file_size(void *argument)
{
    char message[LEN] = {1};
    shmring_t *q;

    (void)argument;
    limit(RLIMIT_FSIZE, 0);
    q = child_open(BOTH);
    child_assert(shmring_send(q, message, LEN) == 0);
    child_assert(shmring_recv(q, message, LEN) == LEN);
    child_assert(shmring_fd_arm(q, SHMRING_READABLE) == 0);
    child_assert(fallocate(shmring_segment_fd(q), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           5 * 4096, 4096) == 0);
    shmring_close(&q);
    child_refused(shmring_open(&q, name, BOTH), EFBIG, "RLIMIT_FSIZE allows 0");
    return 0;
}

Test(containers, no_file_may_grow)
{
    test_name(name);
    shmring_t *q = test_create(name, 0, 65536);
    cr_assert_eq(test_run(use_without_file_size, NULL), 0);
    shmring_close(&q);
}

static int hold_one(void *ready)
{
    const void *msg;
    shmring_t *q = child_open(BOTH);

    child_assert(shmring_peek(q, &msg, NULL) == LEN);
    test_tell(*(int *)ready);
    pause();
    return 0;
}

/* The limit leaves no descriptor for a recovery, and a recovery needs none; everything else works,
 * too. */
static int use_without_descriptors(void *dead)
{
    char message[LEN] = {1};
    shmring_t *q = child_open(BOTH);
    int taken[64], n = 0;

    limit(RLIMIT_NOFILE, 64);
    while ((taken[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    child_assert(errno == EMFILE);
    test_kill(*(pid_t *)dead);
    for (int i = 0; i < 1000; i++) {
        child_assert(shmring_send(q, message, LEN) == 0);
        child_assert(shmring_recv(q, message, LEN) == LEN);
    }
    child_refused(shmring_fd(q, SHMRING_READABLE), EMFILE, "");
    child_assert(shmring_recover(q, NULL) == 1);
    child_assert(shmring_recv(q, message, LEN) == LEN);
    child_assert(shmring_recv_wait(q, message, LEN, &(struct timespec){0}) == -ETIMEDOUT);
    close(taken[--n]);
    shmring_close(&q);
    return 0;
}

static int kill_and_use(void *argument)
{
    int ready[2];

    (void)argument;
    test_pipe(ready);
    pid_t dead = test_fork(hold_one, &ready[1]);
    test_hear(ready[0]);
    return use_without_descriptors(&dead);
}

Test(containers, no_descriptors_are_left, .timeout = 60)
{
    char message[LEN] = {1};

    test_name(name);
    shmring_t *q = test_create_mpmc(name, SHMRING_PRODUCER, 4, LEN);
    cr_assert_eq(shmring_send(q, message, LEN), 0);
    shmring_close(&q);
    cr_assert_eq(test_run(kill_and_use, NULL), 0);
}
