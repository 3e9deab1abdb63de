/* SPDX-License-Identifier: MIT */
/*
 * Who recovers a dead participant, where that is hard: on overlayfs, whose files change under an
 * open handle; and by processes that can no longer open files when the participant dies.
 */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

TestSuite(recovery, .timeout = 120);

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

enum { CANNOT = 77 };

static char name[TEST_NAME_SIZE + 32];
static const struct timespec long_enough = {.tv_sec = 60};

/* ---- overlayfs ------------------------------------------------------------------------------- */

static int hold(void *ready)
{
    const void *msg;
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_peek(q, &msg, NULL) >= 0);
    (void)test_fork_sleeper(); /* the child must not make this process look alive after its death */
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
    if (!test_own_mounts())
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

Test(recovery, overlay_on_tmpfs)
{
    on_overlay("tmpfs");
}

Test(recovery, overlay_on_ext4)
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

Test(recovery, recovery_without_privileges)
{
    confined_by(drop_privileges);
}

Test(recovery, recovery_in_an_empty_root)
{
    confined_by(leave_root);
}

Test(recovery, recovery_where_open_is_forbidden)
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

Test(recovery, recovery_of_an_spsc_queue_names_the_dead)
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
