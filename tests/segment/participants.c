/* SPDX-License-Identifier: MIT */
/* Which process holds a role, which may take it, and when it is free again. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { CAPACITY = 65536 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* ---- A holder in a child --------------------------------------------------------------------- */

struct holder {
    const char *name;
    unsigned roles;
    const char *comm;          /* the name that the process takes; NULL: it keeps its own */
    int (*then)(shmring_t *q); /* what it does after it has attached */
    int attached[2];
};

static int hold(void *argument)
{
    /* The handle is never closed; static, so that LeakSanitizer does not report it. */
    static shmring_t *q;
    struct holder *holder = argument;

    if (holder->comm)
        prctl(PR_SET_NAME, holder->comm);
    child_assert(shmring_open(&q, holder->name, holder->roles) == 0);
    test_tell(holder->attached[1]);
    return holder->then(q);
}

static int stay(shmring_t *q)
{
    (void)q;
    pause();
    return 1;
}

static pid_t start_holder(struct holder *holder)
{
    if (!holder->then)
        holder->then = stay;
    test_pipe(holder->attached);
    pid_t pid = test_fork(hold, holder);
    test_hear(holder->attached[0]);
    close(holder->attached[0]);
    close(holder->attached[1]);
    return pid;
}

/* The role is free: this process takes it and gives it back. */
static void check_free(const char *name, unsigned roles)
{
    shmring_t *q;

    cr_assert_eq(shmring_open(&q, name, roles), 0, "roles 0x%x: %s", roles,
                 shmring_strerror_detail());
    shmring_close(&q);
}

/* ---- One holder for each role ---------------------------------------------------------------- */

Test(participants, each_role_once)
{
    static const unsigned roles[] = {SHMRING_PRODUCER, SHMRING_CONSUMER, BOTH};
    char name[TEST_NAME_SIZE], words[64];
    shmring_t *q, *other;

    test_name(name);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        q = test_create(name, roles[i], CAPACITY);
        snprintf(words, sizeof words, "is held by pid %d (", getpid());
        if (roles[i] & SHMRING_PRODUCER)
            assert_refused(shmring_open(&other, name, SHMRING_PRODUCER), EBUSY, words);
        else
            check_free(name, SHMRING_PRODUCER);
        if (roles[i] & SHMRING_CONSUMER)
            assert_refused(shmring_open(&other, name, SHMRING_CONSUMER), EBUSY, words);
        else
            check_free(name, SHMRING_CONSUMER);
        assert_refused(shmring_open(&other, name, BOTH), EBUSY,
                       roles[i] & SHMRING_PRODUCER ? "producer" : "consumer");
        check_free(name, SHMRING_OBSERVER);
        shmring_close(&q);
        check_free(name, BOTH);
        cr_assert_eq(shmring_unlink(name), 0);
    }
}

Test(participants, busy_names_the_holder)
{
    char name[TEST_NAME_SIZE], words[64];
    struct holder holder = {.name = name, .roles = SHMRING_PRODUCER, .comm = "a) (b c"};
    shmring_t *q, *other;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    pid_t pid = start_holder(&holder);
    snprintf(words, sizeof words, "producer's role is held by pid %d (a) (b c)", pid);
    assert_refused(shmring_open(&other, name, SHMRING_PRODUCER), EBUSY, words);
    assert_refused(shmring_dup(&other, q, SHMRING_PRODUCER), EBUSY, words);
    assert_refused(shmring_open_fd(&other, shmring_segment_fd(q), SHMRING_PRODUCER), EBUSY, words);
    test_kill(pid);
    holder.roles = SHMRING_CONSUMER;
    holder.comm = "exactly 15 bytes";
    pid = start_holder(&holder);
    snprintf(words, sizeof words, "consumer's role is held by pid %d (exactly 15 byte)", pid);
    assert_refused(shmring_open(&other, name, SHMRING_CONSUMER), EBUSY, words);
    test_kill(pid);
    shmring_close(&q);
}

/* After a process has locked a row, and before it has written it, no other process can name it. */
Test(participants, role_that_is_being_taken)
{
    struct flock row = {.l_type = F_WRLCK, .l_start = 2 * sysconf(_SC_PAGESIZE), .l_len = 1};
    char name[TEST_NAME_SIZE], path[TEST_NAME_SIZE + 16];
    shmring_t *q, *other;

    test_name(name);
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    q = test_create(name, 0, CAPACITY);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(fcntl(fd, F_OFD_SETLK, &row), 0);
    assert_refused(shmring_open(&other, name, SHMRING_PRODUCER), EBUSY,
                   "producer's role is being taken");
    check_free(name, SHMRING_CONSUMER);
    close(fd);
    check_free(name, SHMRING_PRODUCER);
    shmring_close(&q);
}

/* A process that gets one of two roles and not the other keeps none. */
Test(participants, both_or_neither)
{
    static const unsigned roles[] = {SHMRING_PRODUCER, SHMRING_CONSUMER};
    char name[TEST_NAME_SIZE];
    struct shmring_stat stat;
    shmring_t *q, *other;

    test_name(name);
    for (int i = 0; i < 2; i++) {
        q = test_create(name, roles[i], CAPACITY);
        const struct holdings before = test_holdings();
        assert_refused(shmring_open(&other, name, BOTH), EBUSY, i ? "consumer" : "producer");
        assert_holds_no_more_than(&before, 1 << 20);
        cr_assert_eq(shmring_stat(q, &stat), 0);
        cr_assert_eq(stat.participants, 1);
        cr_assert_eq(stat.dead, 0);
        check_free(name, roles[1 - i]);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(name), 0);
    }
}

/* Closing one of a process's handles frees its roles, and those of no other handle. */
Test(participants, handles_of_one_process)
{
    char name[TEST_NAME_SIZE];
    shmring_t *producer, *consumer, *observer, *other;

    test_name(name);
    producer = test_create(name, SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    cr_assert_eq(shmring_open(&observer, name, SHMRING_OBSERVER), 0);
    shmring_close(&observer);
    shmring_close(&producer);
    assert_refused(shmring_open(&other, name, SHMRING_CONSUMER), EBUSY, "consumer");
    check_free(name, SHMRING_PRODUCER);
    shmring_close(&consumer);
    check_free(name, BOTH);
}

/* ---- Death and what is not death ------------------------------------------------------------- */

Test(participants, killed_holder_frees_its_roles_at_once)
{
    static const unsigned roles[] = {SHMRING_PRODUCER, SHMRING_CONSUMER, BOTH};
    char name[TEST_NAME_SIZE];
    struct shmring_participant rows[2];
    struct shmring_stat stat;
    uint64_t takeovers = 0;
    shmring_t *q;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        struct holder holder = {.name = name, .roles = roles[i]};
        const unsigned count = roles[i] == BOTH ? 2 : 1;
        const pid_t pid = start_holder(&holder);

        cr_assert_eq(shmring_stat(q, &stat), 0);
        cr_assert_eq(stat.participants, (uint32_t)count);
        cr_assert_eq(stat.dead, 0);
        test_kill(pid);
        cr_assert_eq(shmring_stat(q, &stat), 0);
        cr_assert_eq(stat.participants, 0);
        cr_assert_eq(stat.dead, (uint32_t)count);
        cr_assert_eq(stat.takeovers, takeovers);
        cr_assert_eq(shmring_participants(q, rows, 2), (int)count);
        cr_assert_eq(rows[0].alive, 0);
        cr_assert_eq(rows[0].pid, (uint32_t)pid);
        check_free(name, roles[i]);
        takeovers += count;
        cr_assert_eq(shmring_stat(q, &stat), 0);
        cr_assert_eq(stat.takeovers, takeovers);
        cr_assert_eq(stat.dead, 0);
        cr_assert_eq(shmring_participants(q, rows, 2), 0);
    }
    shmring_close(&q);
}

Test(participants, killed_many_times)
{
    char name[TEST_NAME_SIZE];
    struct holder holder = {.name = name, .roles = BOTH};
    shmring_t *q;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    for (int i = 0; i < 100; i++) {
        test_kill(start_holder(&holder));
        check_free(name, BOTH);
    }
    shmring_close(&q);
}

static int end(shmring_t *q)
{
    (void)q;
    return 0;
}

Test(participants, exit_without_closing)
{
    char name[TEST_NAME_SIZE];
    struct holder holder = {.name = name, .roles = BOTH, .then = end};
    struct shmring_stat stat;
    shmring_t *q;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    cr_assert_eq(test_wait(start_holder(&holder)), 0);
    cr_assert_eq(shmring_stat(q, &stat), 0);
    cr_assert_eq(stat.dead, 2);
    check_free(name, BOTH);
    shmring_close(&q);
}

static int become_another_program(shmring_t *q)
{
    (void)q;
    execlp("sleep", "sleep", "1000", (char *)NULL);
    return 1;
}

Test(participants, exec_gives_the_roles_back, .timeout = 300)
{
    char name[TEST_NAME_SIZE];
    struct holder holder = {.name = name, .roles = BOTH, .then = become_another_program};
    shmring_t *q, *other;
    int r;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    pid_t pid = start_holder(&holder);
    while ((r = shmring_open(&other, name, BOTH)) == -EBUSY)
        sched_yield(); /* the holder has not detached yet */
    cr_assert_eq(r, 0, "%s", shmring_strerror_detail());
    shmring_close(&other);
    test_kill(pid); /* the holder's process was still alive */
    shmring_close(&q);
}

Test(participants, stopped_holder_is_alive)
{
    char name[TEST_NAME_SIZE];
    struct holder holder = {.name = name, .roles = BOTH};
    struct shmring_stat stat;
    shmring_t *q, *other;
    int status;

    test_name(name);
    q = test_create(name, 0, CAPACITY);
    pid_t pid = start_holder(&holder);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status));
    assert_refused(shmring_open(&other, name, SHMRING_PRODUCER), EBUSY, "producer");
    assert_refused(shmring_open(&other, name, SHMRING_CONSUMER), EBUSY, "consumer");
    cr_assert_eq(shmring_stat(q, &stat), 0);
    cr_assert_eq(stat.participants, 2);
    cr_assert_eq(stat.dead, 0);
    test_kill(pid); /* works on a stopped process, too */
    check_free(name, BOTH);
    shmring_close(&q);
}

/* ---- What the participant table has ---------------------------------------------------------- */

/* Field 22 of /proc/PID/stat. The comm in it has no parenthesis here. */
static uint64_t start_time_of(pid_t pid)
{
    char path[64];
    unsigned long long start = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f,
                        "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
                        "%*d %*d %*d %*d %llu",
                        &start),
                 1);
    fclose(f);
    return start;
}

Test(participants, rows)
{
    char name[TEST_NAME_SIZE];
    struct holder holder = {.name = name, .roles = SHMRING_CONSUMER, .comm = "the consumer"};
    struct shmring_participant rows[3];
    struct timespec now;
    struct stat ns;
    shmring_t *q;

    test_name(name);
    q = test_create(name, SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(stat("/proc/self/ns/pid", &ns), 0);
    memset(rows, 0xff, sizeof rows);
    cr_assert_eq(shmring_participants(q, rows, 3), 1);
    cr_assert_eq(rows[1].row, UINT32_MAX, "more was written than there is");
    pid_t pid = start_holder(&holder);
    clock_gettime(CLOCK_REALTIME, &now);
    for (int generation = 1; generation < 4; generation++) {
        cr_assert_eq(shmring_participants(q, rows, 3), 2);
        const struct shmring_participant *p = &rows[0], *c = &rows[1];
        cr_assert_eq(p->row, 0);
        cr_assert_eq(p->role, (uint32_t)SHMRING_PRODUCER);
        cr_assert_eq(p->pid, (uint32_t)getpid());
        cr_assert_eq(p->generation, 1);
        cr_assert_eq(p->start_time, start_time_of(getpid()));
        cr_assert_eq(c->row, 1);
        cr_assert_eq(c->role, (uint32_t)SHMRING_CONSUMER);
        cr_assert_eq(c->pid, (uint32_t)pid);
        cr_assert_eq(c->generation, (uint32_t)generation);
        cr_assert_eq(c->start_time, start_time_of(pid));
        cr_assert_str_eq(c->comm, "the consumer");
        cr_assert_geq(c->attached_ns, p->attached_ns);
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(rows[i].alive, 1);
            cr_assert_eq(rows[i].uid, geteuid());
            cr_assert_eq(rows[i].pid_namespace, (uint64_t)ns.st_ino);
        }
        test_kill(pid);
        pid = start_holder(&holder);
    }
    test_kill(pid);
    shmring_close(&q);
}

Test(participants, fewer_rows_than_there_are)
{
    char name[TEST_NAME_SIZE];
    struct shmring_participant rows[2];
    shmring_t *q;

    test_name(name);
    q = test_create(name, BOTH, CAPACITY);
    cr_assert_eq(shmring_participants(q, NULL, 0), 2);
    memset(rows, 0xff, sizeof rows);
    cr_assert_eq(shmring_participants(q, rows, 1), 2);
    cr_assert_eq(rows[0].role, (uint32_t)SHMRING_PRODUCER);
    cr_assert_eq(rows[1].row, UINT32_MAX);
    assert_refused(shmring_participants(q, rows, -1), EINVAL, "-1");
    assert_refused(shmring_participants(q, NULL, 1), EINVAL, "rows");
    shmring_close(&q);
}

/* Locks work although pids mean nothing in another namespace. */
static int attach_as_init(const char *name)
{
    static shmring_t *q; /* never closed */
    struct shmring_participant rows[2];

    child_assert(getpid() == 1);
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == -EBUSY);
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_participants(q, rows, 2) == 2);
    child_assert(rows[0].alive == 1 && rows[1].alive == 1);
    child_assert(rows[0].pid_namespace != rows[1].pid_namespace);
    return 0;
}

/*
 * These run in processes of their own that end without _exit(): LeakSanitizer cannot work in a
 * process whose children belong to another namespace, nor in those children.
 */
static int attach_in_namespace(const char *name)
{
    if (unshare(CLONE_NEWPID) < 0)
        return 77;
    const pid_t pid = fork();
    if (pid == 0)
        syscall(SYS_exit_group, attach_as_init(name));
    return test_wait(pid);
}

Test(participants, another_pid_namespace)
{
    char name[TEST_NAME_SIZE];
    struct shmring_participant rows[2];
    shmring_t *q;

    test_name(name);
    q = test_create(name, SHMRING_PRODUCER, CAPACITY);
    const pid_t pid = fork();
    if (pid == 0)
        syscall(SYS_exit_group, attach_in_namespace(name));
    const int status = test_wait(pid);
    if (status == 77)
        cr_skip_test("no pid namespace here");
    cr_assert_eq(status, 0);
    cr_assert_eq(shmring_participants(q, rows, 2), 2);
    cr_assert_eq(rows[0].alive, 1);
    cr_assert_eq(rows[1].alive, 0);
    cr_assert_eq(rows[1].pid, 1);
    check_free(name, SHMRING_CONSUMER);
    shmring_close(&q);
}
