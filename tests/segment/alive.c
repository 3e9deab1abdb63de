/* SPDX-License-Identifier: MIT */
/*
 * Which participant is alive, where that is hard to tell: on file systems whose mappings do not
 * keep locks; by processes that can no longer open files when a participant dies; and with a fork,
 * a recovery or a removal in the middle of attaching.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/recovery.h"
#include "lib/core/rows.h"
#include "mpmc_pages.h"
#include "support.h"

TestSuite(alive, .timeout = 120);

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

enum { CANNOT = 77 };

static char name[TEST_NAME_SIZE + 32];
static const struct timespec long_enough = {.tv_sec = 60};

/* ---- Calls of the library that a test interferes with ---------------------------------------- */

/* The byte that the library locks to test whether locks hold. It lies behind every segment. */
#define IS_LONELY(Lock) ((Lock)->l_start >= (off_t)1 << 60)

static void (*on_row_lock)(void);   /* called once, before the library locks its first row */
static void (*on_open)(void);       /* called once, before its first open() */
static void (*on_dup)(void);        /* called once, before its first dup3() */
static bool (*on_nap)(void);        /* called for each nanosleep() */
static unsigned unseen;             /* how many tests of that byte shall not see its lock */
static unsigned tested;             /* tests of that byte so far */
static unsigned seen_first, fcntls; /* how many tests see the lock before; calls of fcntl() */

static void once(void (**hook)(void))
{
    void (*run)(void) = *hook;

    *hook = NULL;
    if (run)
        run();
}

int __real_fcntl(int fd, int command, ...);
int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

int __wrap_fcntl64(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    fcntls++;
    if (command == F_OFD_SETLK && !IS_LONELY((struct flock *)argument))
        once(&on_row_lock);
    const int r = __real_fcntl64(fd, command, argument);
    if (command == F_OFD_GETLK && IS_LONELY((struct flock *)argument) && tested++ >= seen_first &&
        unseen > 0) {
        unseen--;
        ((struct flock *)argument)->l_type = F_UNLCK;
    }
    return r;
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return __wrap_fcntl64(fd, command, argument);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    const mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    once(&on_open);
    return __real_open64(path, flags, mode);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    const mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return __wrap_open64(path, flags, mode);
}

int __real_dup3(int from, int to, int flags);
int __wrap_dup3(int from, int to, int flags);

int __wrap_dup3(int from, int to, int flags)
{
    once(&on_dup);
    return __real_dup3(from, to, flags);
}

int __real_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    if (on_nap && on_nap())
        return 0;
    return __real_nanosleep(time, left);
}

/* ---- Forks ----------------------------------------------------------------------------------- */

static pid_t sleeper;

/* Fork a child that inherits every descriptor and mapping, and only sleeps. */
static void fork_sleeper(void)
{
    const pid_t parent = getpid();
    int ready[2];

    if (pipe2(ready, O_CLOEXEC) < 0)
        abort();
    sleeper = fork();
    if (sleeper < 0)
        abort();
    if (sleeper == 0) {
        (void)!write(ready[1], "", 1);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    char byte;
    (void)!read(ready[0], &byte, 1); /* the child runs: its atfork handlers have ended */
    close(ready[0]);
    close(ready[1]);
}

static void fork_during(void (**hook)(void))
{
    for (int kind = SHMRING_SPSC; kind <= SHMRING_MPMC; kind++) {
        test_name(name);
        shmring_t *q, *watch = kind == SHMRING_SPSC ? test_create(name, 0, 4096)
                                                    : test_create_mpmc(name, 0, 4, 8);
        *hook = fork_sleeper;
        cr_assert_eq(shmring_open(&q, name, BOTH), 0);
        cr_assert_null(*hook);
        cr_assert_eq(shmr_row_holder(watch->fd, &watch->geometry, 0), SHMR_OWNER);
        shmring_close(&q);
        cr_assert_eq(shmr_row_holder(watch->fd, &watch->geometry, 0), SHMR_NO_HOLDER,
                     "the child has the parent's lock");
        test_kill(sleeper);
        shmring_close(&watch);
    }
}

Test(alive, fork_before_a_row_is_locked)
{
    fork_during(&on_row_lock);
}

Test(alive, fork_while_a_file_is_opened)
{
    fork_during(&on_open);
}

Test(alive, fork_while_the_descriptor_is_closed)
{
    fork_during(&on_dup);
}

/* A mapping does not keep locks here, so a descriptor has them: a forked child would have it,
 * too. */
Test(alive, fork_while_the_descriptor_has_the_locks)
{
    tested = 0, seen_first = 1, unseen = 1;
    fork_during(&on_row_lock);
}

/* A handle that recovers opens a descriptor for that. A child that is forked later must not have
 * it. */
Test(alive, fork_does_not_inherit_what_recovers)
{
    test_name(name);
    shmring_t *q = test_create_mpmc(name, BOTH, 4, 8);
    const struct holdings before = test_holdings();
    cr_assert_geq(q->kept.fd, 0);
    const int fd = q->kept.fd;
    const pid_t pid = fork();
    if (pid == 0)
        _exit(fcntl(fd, F_GETFD) < 0 && errno == EBADF && fcntl(q->fd, F_GETFD) >= 0 ? 0 : 1);
    cr_assert_eq(test_wait(pid), 0);
    assert_holds_no_more_than(&before, 1 << 20);
    cr_assert_geq(fcntl(fd, F_GETFD), 0);
    shmring_close(&q);
}

/* ---- Locks that do not hold ------------------------------------------------------------------ */

Test(alive, a_mapping_that_does_not_keep_locks)
{
    shmring_t *q, *other;

    test_name(name);
    shmring_t *watch = test_create(name, 0, 4096);
    /* The lock of the descriptor is seen, that of the mapping is not. */
    tested = 0, seen_first = 1, unseen = 1;
    cr_assert_eq(shmring_open(&q, name, SHMRING_PRODUCER), 0);
    cr_assert_eq(unseen, 0);
    /* So the library keeps a descriptor, which holds the row's lock. */
    cr_assert_eq(shmr_row_holder(watch->fd, &watch->geometry, SHMR_ROW_PRODUCER), SHMR_OWNER);
    shmr_unlock_all(q->kept.fd);
    cr_assert_eq(shmr_row_holder(watch->fd, &watch->geometry, SHMR_ROW_PRODUCER), SHMR_NO_HOLDER);
    cr_assert_eq(shmr_row_lock(q->kept.fd, &q->geometry, SHMR_ROW_PRODUCER), 0);
    assert_refused(shmring_open(&other, name, SHMRING_PRODUCER), EBUSY, "is held by pid");
    fork_sleeper();
    shmring_close(&q);
    cr_assert_eq(shmring_open(&other, name, SHMRING_PRODUCER), 0);
    test_kill(sleeper);
    shmring_close(&other);
    shmring_close(&watch);
}

/* Another process has a copy of the descriptor for a moment. If the lock is seen during that time,
 * this does not show that the mapping keeps it. */
Test(alive, a_test_of_a_mapping_that_is_disturbed)
{
    shmring_t *q;

    test_name(name);
    shmring_t *watch = test_create(name, 0, 4096);
    on_open = NULL;
    cr_assert_eq(shmring_open(&q, name, BOTH), 0);
    const int mapped = q->kept.fd;
    cr_assert_eq(shmr_row_holder(watch->fd, &watch->geometry, 0), SHMR_OWNER);
    /* This unlocks nothing: the mapping has the lock, not this descriptor. */
    shmr_unlock_all(mapped);
    cr_assert_eq(shmr_row_holder(watch->fd, &watch->geometry, 0), SHMR_OWNER);
    shmring_close(&q);
    shmring_close(&watch);
}

Test(alive, locks_that_no_process_sees)
{
    shmring_t *q;

    test_name(name);
    shmring_t *watch = test_create(name, 0, 4096);
    tested = 0, seen_first = 0, unseen = 100;
    assert_refused(shmring_open(&q, name, SHMRING_PRODUCER), EOPNOTSUPP, "use a queue in /dev/shm");
    cr_assert_null(q);
    unseen = 0;
    cr_assert_eq(shmring_open(&q, name, SHMRING_OBSERVER), 0);
    shmring_close(&q);
    shmring_close(&watch);
}

/* ---- overlayfs ------------------------------------------------------------------------------- */

static int hold(void *ready)
{
    const void *msg;
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_peek(q, &msg, NULL) >= 0);
    fork_sleeper(); /* the child must not make this process look alive after its death */
    test_tell(*(int *)ready);
    pause();
    return 0;
}

static pid_t start_holder(void)
{
    int ready[2];

    test_pipe(ready);
    const pid_t pid = test_fork(hold, &ready[1]);
    test_hear(ready[0]);
    return pid;
}

/* A queue in the lower layer, as in an image: an observer opens it before any participant
 * attaches. */
static void observe_lower(const char *directory)
{
    const struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = 4096};
    struct shmring_stat stat;
    shmring_t *q, *before, *after;

    snprintf(name, sizeof name, "file:%.100s/on/l/image", directory);
    child_assert(shmring_create(&q, name, &config) == 0);
    shmring_close(&q);
    snprintf(name, sizeof name, "file:%.100s/on/m/image", directory);
    child_assert(shmring_open(&before, name, SHMRING_OBSERVER) == 0);
    child_assert(shmring_check(before) == 0);
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_send(q, "one", 4) == 0);
    child_refused(shmring_check(before), ESTALE, "overlayfs");
    child_assert(shmring_stat(before, &stat) == 0 && stat.flags & SHMRING_STALE);
    child_assert(shmring_open(&after, name, SHMRING_OBSERVER) == 0);
    child_assert(shmring_check(after) == 0);
    child_assert(shmring_stat(after, &stat) == 0 && stat.sent == 1);
    child_assert(!(stat.flags & SHMRING_STALE));
    shmring_close(&after);
    shmring_close(&before);
    shmring_close(&q);
}

static int use_overlay(void)
{
    struct shmring_config config = {
        .kind = SHMRING_MPMC, .capacity = 4, .max_message = 8, .flags = BOTH};
    struct shmring_participant who[3];
    struct shmring_recovery report;
    struct shmring_info info;
    char command[TEST_NAME_SIZE + 100];
    const void *msg;
    shmring_t *q, *other;

    for (config.kind = SHMRING_SPSC; config.kind <= SHMRING_MPMC; config.kind++) {
        if (config.kind == SHMRING_SPSC)
            config.capacity = 4096, config.flags = SHMRING_PRODUCER;
        else
            config.capacity = 4, config.flags = BOTH;
        child_assert(shmring_create(&q, name, &config) == 0);
        child_assert(shmring_send(q, "one", 4) == 0);
        const pid_t holder = start_holder();
        child_assert(shmring_participants(q, who, 3) == 2);
        child_assert(who[0].alive && who[1].alive);
        child_assert(shmring_recover(q, &report) == 0);
        if (config.kind == SHMRING_SPSC) {
            child_refused(shmring_open(&other, name, SHMRING_CONSUMER), EBUSY, "is held by pid");
            child_refused(shmring_open(&other, name, SHMRING_PRODUCER), EBUSY, "is held by pid");
        } else {
            child_assert(shmring_peek(q, &msg, &info) == -EAGAIN);
        }
        snprintf(command, sizeof command, "tools/shmring gc --all %s >/dev/null", name);
        /* tests/prove/mutants/run runs the suites without programs. */
        child_assert(access("tools/shmring", X_OK) < 0 || system(command) == 0);
        child_assert(shmring_check(q) == 0);

        kill(holder, SIGKILL);
        child_assert(test_wait(holder) == -SIGKILL);
        child_assert(shmring_participants(q, who, 3) == 2);
        child_assert(who[0].alive && !who[1].alive);
        child_assert(shmring_recover(q, &report) == 1);
        child_assert(report.who[0].pid == (uint32_t)holder);
        if (config.kind == SHMRING_SPSC)
            child_assert(shmring_open(&other, name, SHMRING_CONSUMER) == 0);
        else
            other = q;
        child_assert(shmring_peek(other, &msg, &info) == 4 && info.flags & SHMRING_REDELIVERED);
        child_assert(shmring_release(other, msg) == 0);
        if (other != q)
            shmring_close(&other);
        shmring_close(&q);
        child_assert(shmring_unlink(name) == 0);
    }
    return 0;
}

/* Runs in a child, because its mounts end with it. below: the file system under the overlay,
 * "tmpfs" or "ext4". */
static int run_on_overlay(void *below)
{
    static char directory[TEST_NAME_SIZE], options[6 * TEST_NAME_SIZE], command[4 * TEST_NAME_SIZE];

    snprintf(directory, sizeof directory, "%.100s", name + strlen("file:"));
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
        return CANNOT;
    snprintf(command, sizeof command,
             "cd %s && truncate -s 32M ext4 && mkfs.ext4 -q ext4 && "
             "mkdir on && mount -o loop ext4 on",
             directory);
    if (strcmp(below, "tmpfs") == 0)
        snprintf(command, sizeof command, "cd %s && mkdir on && mount -t tmpfs none on", directory);
    snprintf(options, sizeof options,
             "%s 2>/dev/null && cd on && mkdir l u w m && mount -t overlay "
             "none -o lowerdir=l,upperdir=u,workdir=w m 2>/dev/null",
             command);
    if (system(options) != 0)
        return CANNOT;
    observe_lower(directory);
    snprintf(name, sizeof name, "file:%s/on/m/queue", directory);
    return use_overlay();
}

static void on_overlay(const char *below)
{
    char directory[TEST_NAME_SIZE];

    test_directory(directory);
    snprintf(name, sizeof name, "file:%s", directory);
    const int r = test_run(run_on_overlay, (void *)(uintptr_t)below);
    char command[2 * TEST_NAME_SIZE];
    snprintf(command, sizeof command, "rmdir %s/on 2>/dev/null", directory);
    (void)!system(command);
    if (r == CANNOT)
        cr_skip_test("may not mount an overlay on %s", below);
    cr_assert_eq(r, 0);
}

Test(alive, overlay_on_tmpfs)
{
    on_overlay("tmpfs");
}

Test(alive, overlay_on_ext4)
{
    on_overlay("ext4");
}

/* ---- Processes that cannot open anything any more -------------------------------------------- */

static int drop_privileges(void)
{
    return setgid(65534) < 0 || setuid(65534) < 0 ? CANNOT : 0;
}

static int leave_root(void)
{
    char empty[] = "/tmp/shmring-test-root-XXXXXX";

    if (!mkdtemp(empty))
        return CANNOT;
    const int r = chroot(empty) < 0 || chdir("/") < 0 ? CANNOT : 0;
    rmdir(r == 0 ? "/" : empty);
    return r;
}

static int forbid_open(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_open
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_open, 2, 0),
#endif
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0
               ? CANNOT
               : 0;
}

struct confined {
    int (*confine)(void);
    int kind, ready, go;
};

static int recover_confined(void *argument)
{
    const struct confined *c = argument;
    struct shmring_recovery report;
    shmring_t *q;
    char buf[8];

    child_assert(shmring_open(&q, name, c->kind == SHMRING_MPMC ? BOTH : SHMRING_PRODUCER) == 0);
    const int r = c->confine();
    test_tell(c->ready);
    test_hear(c->go);
    if (r != 0)
        return r;
    if (c->kind == SHMRING_MPMC) {
        child_assert(shmring_recv_wait(q, buf, sizeof buf, &long_enough) == 4);
        child_assert(shmring_recover(q, &report) == 1);
    } else {
        child_assert(shmring_recover(q, &report) == 1);
        child_assert(report.participants == 1);
        child_assert(shmring_send(q, "two", 4) == 0);
    }
    child_assert(shmring_check(q) == 0);
    shmring_close(&q);
    return 0;
}

static void confined_by(int (*confine)(void))
{
    for (int kind = SHMRING_SPSC; kind <= SHMRING_MPMC; kind++) {
        int ready[2], go[2];
        test_name(name);
        shmring_t *q = kind == SHMRING_SPSC ? test_create(name, SHMRING_PRODUCER, 4096)
                                            : test_create_mpmc(name, SHMRING_PRODUCER, 4, 8);
        cr_assert_eq(shmring_send(q, "one", 4), 0);
        shmring_close(&q);
        const pid_t holder = start_holder();
        test_pipe(ready);
        test_pipe(go);
        struct confined c = {confine, kind, ready[1], go[0]};
        const pid_t pid = test_fork(recover_confined, &c);
        test_hear(ready[0]);
        test_kill(holder);
        test_tell(go[1]);
        const int r = test_wait(pid);
        if (r == CANNOT)
            cr_skip_test("not allowed here");
        cr_assert_eq(r, 0, "kind %d: %d", kind, r);
        cr_assert_eq(shmring_unlink(name), 0);
    }
}

Test(alive, recovery_without_privileges)
{
    confined_by(drop_privileges);
}

Test(alive, recovery_in_an_empty_root)
{
    confined_by(leave_root);
}

Test(alive, recovery_where_open_is_forbidden)
{
    confined_by(forbid_open);
}

/* ---- Who died -------------------------------------------------------------------------------- */

static int hold_role(void *role)
{
    shmring_t *q;

    prctl(PR_SET_NAME, "the-dead-one");
    child_assert(shmring_open(&q, name, *(unsigned *)role) == 0);
    raise(SIGKILL);
    return 0;
}

Test(alive, recovery_of_an_spsc_queue_names_the_dead)
{
    struct shmring_recovery report;
    struct shmring_participant who[2];

    test_name(name);
    shmring_t *q = test_create(name, 0, 4096);
    for (unsigned role = SHMRING_PRODUCER; role <= SHMRING_CONSUMER; role *= 2) {
        const pid_t pid = test_fork(hold_role, &role);
        cr_assert_eq(test_wait(pid), -SIGKILL);
        cr_assert_eq(shmring_recover(q, &report), 1);
        cr_assert_eq(report.who[0].pid, (uint32_t)pid);
        cr_assert_str_eq(report.who[0].comm, "the-dead-one");
        cr_assert_eq(shmring_participants(q, who, 2), 0);
        cr_assert_eq(shmring_recover(q, &report), 0);
    }
    shmring_close(&q);
}

/* ---- Other processes that lock rows ---------------------------------------------------------- */

static shmring_t *watching;
static int locker = -1;
static unsigned naps;

/* Do what `shmring gc` does, while a process attaches. */
static bool remove_and_let_go(void)
{
    if (++naps == 3) {
        cr_assert_eq(shmring_unlink(name), 0);
        close(locker);
    }
    return true;
}

static bool let_go(void)
{
    if (++naps == 3)
        close(locker);
    return true;
}

static bool do_not_sleep(void)
{
    naps++;
    return true;
}

static void lock_out(void)
{
    test_name(name);
    watching = test_create(name, 0, 4096);
    locker = shmr_segment_reopen(watching->fd, O_RDONLY);
    cr_assert(shmr_rows_lock_all(locker, &watching->header));
    naps = 0;
}

Test(alive, attaching_while_the_queue_is_removed)
{
    struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = 4096, .flags = SHMRING_PRODUCER | SHMRING_OPEN_OR_CREATE};
    shmring_t *q;

    lock_out();
    on_nap = remove_and_let_go;
    assert_refused(shmring_open(&q, name, SHMRING_PRODUCER), ENOENT, "does not exist");
    cr_assert_eq(naps, 3);
    shmring_close(&watching);

    lock_out();
    cr_assert_eq(shmring_create(&q, name, &config), 0);
    cr_assert_eq(naps, 3);
    cr_assert_eq(shmring_check(q), 0);
    cr_assert_eq(shmring_check(watching), -ESTALE);
    shmring_close(&q);
    shmring_close(&watching);

    /* This time the process does not remove the queue in the end. */
    lock_out();
    on_nap = let_go;
    cr_assert_eq(shmring_open(&q, name, SHMRING_PRODUCER), 0);
    shmring_close(&q);
    shmring_close(&watching);
}

/* The process that removes the queue is stopped: no call waits for it for ever, and none returns
 * that a role is held. */
Test(alive, attaching_while_the_remover_is_stopped)
{
    struct shmring_stat stat;
    shmring_t *q;

    lock_out();
    on_nap = do_not_sleep;
    assert_refused(shmring_open(&q, name, SHMRING_PRODUCER), EBUSY, "shmring gc");
    cr_assert_null(strstr(shmring_strerror_detail(), "held"));
    cr_assert_gt(naps, 10);
    cr_assert_lt(naps, 1000);
    cr_assert_eq(shmring_stat(watching, &stat), 0);
    cr_assert_eq(stat.participants, 0, "the remover is not attached");
    close(locker);
    shmring_close(&watching);
}

/* All rows have live owners but one: its owner is dead, and a process recovers it, so it is free
 * soon. */
Test(alive, attaching_while_the_only_row_is_recovered)
{
    struct shmring_config config = {.kind = SHMRING_MPMC,
                                    .capacity = 4,
                                    .max_message = 8,
                                    .max_participants = 2,
                                    .flags = BOTH};
    shmring_t *q, *dying, *other;

    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0);
    cr_assert_eq(shmring_dup(&dying, q, BOTH), 0);
    mpmc_kill_handle(&dying);
    locker = shmr_segment_reopen(q->fd, O_RDWR);
    cr_assert_eq(shmr_row_lock_dead(locker, &q->geometry, 1), 0);

    on_nap = do_not_sleep;
    assert_refused(shmring_dup(&other, q, BOTH), EUSERS, "recovers");
    cr_assert_gt(naps, 10);
    naps = 0;
    on_nap = let_go;
    cr_assert_eq(shmring_dup(&other, q, BOTH), 0);
    cr_assert_eq(naps, 3);
    naps = 0;
    assert_refused(shmring_dup(&dying, q, BOTH), EUSERS, "close some handles");
    cr_assert_eq(naps, 0, "no call waits for live participants");
    shmring_close(&other);
    shmring_close(&q);
}

/* A participant first locks a row and then writes its pid and name into it: another participant may
 * read the row between these two steps. */
Test(alive, a_row_that_is_being_taken_is_passed_over)
{
    struct shmring_config config = {.kind = SHMRING_MPMC,
                                    .capacity = 4,
                                    .max_message = 8,
                                    .max_participants = 3,
                                    .flags = BOTH};
    shmring_t *q, *other;

    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0);
    locker = shmr_segment_reopen(q->fd, O_RDWR);
    cr_assert_eq(shmr_row_lock(locker, &q->geometry, 1), 0);
    on_nap = do_not_sleep;
    cr_assert_eq(shmring_dup(&other, q, BOTH), 0, "%s", shmring_strerror_detail());
    cr_assert_eq(other->row, 2);
    cr_assert_eq(naps, 0);
    shmring_close(&other);
    shmring_close(&q);
    close(locker);
}

/* ---- How much of a recovery one call does ---------------------------------------------------- */

static void sweep_now(shmring_t *q)
{
    q->mpmc.queue.tail_page->swept = 0;
    q->swept = 0;
    shmr_sweep(q, SHMR_SWEEP_UNITS);
}

Test(alive, a_sweep_tests_few_locks)
{
    struct shmring_config config = {.kind = SHMRING_MPMC,
                                    .capacity = 4,
                                    .max_message = 8,
                                    .max_participants = SHMRING_PARTICIPANTS_MAX,
                                    .flags = BOTH};
    struct shmring_recovery report;
    const uint32_t dead = SHMRING_PARTICIPANTS_MAX - 1;
    unsigned sweeps = 0;
    shmring_t *q;

    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0);
    for (uint32_t i = 0; i < SHMRING_PARTICIPANTS_MAX; i++)
        if (i != q->row)
            shmr_row_attach(shmr_row_at(q->map.table, i), BOTH);
    while (q->recovered.participants < dead) {
        fcntls = 0;
        sweep_now(q);
        cr_assert_gt(fcntls, 0);
        cr_assert_leq(fcntls, 100);
        cr_assert_leq(++sweeps, 2 * dead / 32);
    }
    cr_assert_eq(shmring_recover(q, &report), (int)dead);
    shmring_close(&q);
}

/* A large queue: the calls recover a dead row piece by piece, and free it at the end, not
 * before. */
Test(alive, a_sweep_reads_few_blocks)
{
    const uint64_t capacity = 8 * SHMR_SWEEP_UNITS;
    struct shmring_recovery report;
    shmring_t *q, *dying;
    void *msg;

    test_name(name);
    q = test_create_mpmc(name, BOTH, capacity, 8);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(shmring_dup(&dying, q, BOTH), 0);
        cr_assert_eq(shmring_reserve(dying, 8, &msg), 0);
        const uint32_t row = dying->row;
        mpmc_kill_handle(&dying);
        const struct shmr_row *dead = shmr_row_at(q->map.table, row);
        for (unsigned i = 1; i < 8; i++) {
            sweep_now(q);
            cr_assert_eq(q->sweep.next, i * SHMR_SWEEP_UNITS);
            cr_assert_eq(dead->state, SHMR_ROW_ATTACHED);
            cr_assert_eq(shmr_row_holder(q->fd, &q->geometry, row), SHMR_NO_HOLDER);
            /* Another participant has freed the row, and the row's next owner has died as well. */
            if (round == 1 && i == 4) {
                shmr_row_at(q->map.table, row)->generation++;
                sweep_now(q);
                cr_assert(!q->sweep.active || q->sweep.next <= SHMR_SWEEP_UNITS);
                break;
            }
        }
        while (q->sweep.active || dead->state == SHMR_ROW_ATTACHED)
            sweep_now(q);
        cr_assert_eq(shmring_recover(q, &report), 1);
        cr_assert_eq(report.freed, 1);
        cr_assert_eq(report.who[0].row, row);
    }

    /* shmring_recover() recovers the whole row at once, also a row of which a sweep has done a
     * part. */
    cr_assert_eq(shmring_dup(&dying, q, BOTH), 0);
    cr_assert_eq(shmring_reserve(dying, 8, &msg), 0);
    mpmc_kill_handle(&dying);
    sweep_now(q);
    cr_assert(q->sweep.active);
    cr_assert_eq(shmring_recover(q, &report), 1);
    cr_assert_eq(report.freed, 1);
    cr_assert_not(q->sweep.active);

    /* Another participant recovers the row before the sweep goes on: the sweep still reports what
     * it has done itself. */
    cr_assert_eq(shmring_dup(&dying, q, BOTH), 0);
    cr_assert_eq(shmring_reserve(dying, 8, &msg), 0);
    const uint32_t row = dying->row;
    mpmc_kill_handle(&dying);
    sweep_now(q);
    cr_assert_eq(q->sweep.done.freed, 1);
    locker = shmr_segment_reopen(q->fd, O_RDWR);
    cr_assert_eq(shmr_row_lock_dead(locker, &q->geometry, row), 0);
    sweep_now(q);
    cr_assert_not(q->sweep.active);
    close(locker);
    cr_assert_eq(shmring_recover(q, &report), 1);
    cr_assert_eq(report.freed, 1);
    shmring_close(&q);
}
