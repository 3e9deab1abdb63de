/* SPDX-License-Identifier: MIT */
/*
 * Every call that the library makes to the kernel and for memory fails: in each operation each
 * function, first one of its calls and then all, with each errno that it may return. The operation
 * still succeeds, or returns an error that its documentation lists, with a detail. It leaks
 * nothing, and it succeeds when no call fails any more.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"
#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* A time limit: long, so that the wait does not end by it; short where all calls fail. */
static const struct timespec *a_while(void)
{
    static const struct timespec longest = {.tv_sec = 10}, shortest = {.tv_nsec = 20 * 1000 * 1000};

    return plan.for_ever ? &shortest : &longest;
}

/* A directory in /dev/shm, and a queue in it. */
static char directory[TEST_NAME_SIZE + 16], name[TEST_NAME_SIZE + 32];
static uint32_t kind;
static shmring_t *q, *other; /* closed after each round */

/* ---- What operations may return -------------------------------------------------------------- */

enum { DOCUMENTED_MAX = 32 };

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

#define OPENING                                                                                    \
    ENOENT, EBUSY, EBADMSG, ELOOP, EISDIR, EUSERS, ENOSYS, ENOTDIR, ENOSPC, EFBIG, EROFS,          \
        ENAMETOOLONG, EOPNOTSUPP

struct operation {
    const char *name;
    void (*before)(void); /* creates the queue and the other participants */
    int (*run)(void);
    int documented[DOCUMENTED_MAX];
    void (*on_sleep)(void);
    bool no_tmpfile;
    bool mpmc_only;
};

/* ---- Operations ------------------------------------------------------------------------------ */

static struct shmring_config config_with(unsigned flags)
{
    const bool mpmc = kind == SHMRING_MPMC;

    return (struct shmring_config){.kind = kind,
                                   .flags = flags,
                                   .capacity = mpmc ? 4 : 4096,
                                   .max_message = mpmc ? 64 : 0,
                                   .max_participants = mpmc ? 4 : 0};
}

static int create(shmring_t **handle, const char *where, unsigned flags)
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

static int run_create_memfd(void)
{
    return create(&q, "memfd:orders", BOTH);
}

/* By a relative path. */
static int run_create_here(void)
{
    return create(&q, "file:queue", BOTH);
}

static void must(int r)
{
    cr_assert_geq(r, 0, "%s", shmring_strerror_detail());
}

/* A queue with a message and without participants. */
static void queue(void)
{
    must(create(&q, name, BOTH));
    must(shmring_send(q, "a", 1));
    shmring_close(&q);
}

/* ... with a handle. */
static void queue_open(void)
{
    queue();
    must(shmring_open(&q, name, BOTH));
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
    child_assert(shmring_open(&q, name, BOTH) == 0);
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

static int run_open(void)
{
    return shmring_open(&q, name, BOTH | SHMRING_PREFAULT | SHMRING_ASYMMETRIC_FENCE);
}

static int run_observe(void)
{
    return shmring_open(&q, name, SHMRING_OBSERVER);
}

static void make_queue(void)
{
    shmring_t *made;

    if (access(name + 5, F_OK) < 0) {
        must(create(&made, name, 0));
        shmring_close(&made);
    }
    cr_assert_eq(chmod(name + 5, 0600), 0); /* readable again, for the second attempt */
}

static int run_open_wait(void)
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
    must(shmring_open(&q, name, SHMRING_CONSUMER));
    must(shmring_open(&other, name, SHMRING_PRODUCER | SHMRING_ASYMMETRIC_FENCE));
    must((int)shmring_recv(q, &byte, 1));
    must(shmring_set_waiting(q, &at_once));
}

static void two_sides_full(void)
{
    const struct shmring_waiting at_once = {.recheck_ms = 20};

    queue();
    must(shmring_open(&q, name, SHMRING_PRODUCER));
    must(shmring_open(&other, name, SHMRING_CONSUMER | SHMRING_ASYMMETRIC_FENCE));
    while (shmring_send(q, "12345678", 8) == 0)
        ;
    must(shmring_set_waiting(q, &at_once));
}

static void other_sends(void)
{
    must(shmring_send(other, "b", 1));
}

static void other_receives(void)
{
    char bytes[8];

    must((int)shmring_recv(other, bytes, sizeof bytes));
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

static int run_close(void)
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

static int run_unlink(void)
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

static const struct operation operations[] = {
    {"create", nothing_before, run_create, {OPENING, EEXIST, EOPNOTSUPP}, NULL, false, false},
    {"create in place",
     nothing_before,
     run_create,
     {OPENING, EEXIST, EOPNOTSUPP},
     NULL,
     true,
     false},
    {"create on btrfs", btrfs_before, run_create, {OPENING, EEXIST}, NULL, false, false},
    {"open on btrfs", queue_on_btrfs, run_open, {OPENING}, NULL, false, false},
    {"create or open",
     queue,
     run_create_or_open,
     {OPENING, EEXIST, EOPNOTSUPP},
     NULL,
     false,
     false},
    {"create a memfd", nothing_before, run_create_memfd, {OPENING, EOPNOTSUPP}, NULL, false, false},
    {"create here",
     nothing_before,
     run_create_here,
     {OPENING, EEXIST, EOPNOTSUPP},
     NULL,
     false,
     false},
    {"open", queue, run_open, {OPENING}, NULL, false, false},
    {"open, a participant died", queue_of_dead, run_open, {OPENING}, NULL, false, false},
    {"observe", queue, run_observe, {OPENING}, NULL, false, false},
    {"open_wait", nothing_before, run_open_wait, {OPENING, ETIMEDOUT}, make_queue, false, false},
    {"open_fd", memfd, run_open_fd, {OPENING, EBADF}, NULL, false, false},
    {"dup", queue_observed, run_dup, {OPENING}, NULL, false, false},
    {"recv_wait", two_sides, run_recv_wait, {ETIMEDOUT, ESTALE}, other_sends, false, false},
    {"send_wait", two_sides_full, run_send_wait, {ETIMEDOUT, ESTALE}, other_receives, false, false},
    {"wait for both",
     two_sides_stuck,
     run_wait_for_both,
     {ETIMEDOUT, ESTALE},
     other_releases,
     false,
     true},
    {"fd",
     queue_empty,
     run_fd,
     {EEXIST, EBUSY, ENOENT, EROFS, ENOSPC, ENOTDIR, EOPNOTSUPP},
     NULL,
     false,
     false},
    {"fd_arm",
     queue_empty,
     run_fd_arm,
     {EEXIST, EBUSY, ENOENT, EROFS, ENOSPC, ENOTDIR, EOPNOTSUPP},
     NULL,
     false,
     false},
    {"fd_arm again", polled, run_fd_arm, {0}, NULL, false, false},
    {"send, waking", asleep, run_send, {0}, NULL, false, false},
    {"send, notifying", polled_by_other, run_send, {0}, NULL, false, false},
    {"recover", queue_of_dead_open, run_recover, {OPENING}, NULL, false, false},
    {"participants", queue_open, run_participants, {0}, NULL, false, false},
    {"stat", queue_open, run_stat, {0}, NULL, false, false},
    {"dump", queue_open, run_dump, {0}, NULL, false, false},
    {"check", queue_open, run_check, {0}, NULL, false, false},
    {"close", queue_open, run_close, {0}, NULL, false, false},
    {"close, last at the wait word", polled_and_removed, run_close, {0}, NULL, false, false},
    {"unlink", polled_by_dead, run_unlink, {OPENING}, NULL, false, false},
};

/* ---- One round ------------------------------------------------------------------------------- */

struct round {
    const struct operation *operation;
    int function, error, nth;
    bool for_ever;
};

static void enter(void)
{
    char own[TEST_NAME_SIZE];

    test_name(own); /* test_name() has noted it, and removes it when the test ends */
    snprintf(directory, sizeof directory, "/dev/shm/%s", own);
    snprintf(name, sizeof name, "file:%s/queue", directory);
    cr_assert(mkdir(directory, 0700) == 0 && chdir(directory) == 0);
}

static void leave(void)
{
    shmring_close(&q);
    shmring_close(&other);
    (void)shmring_unlink(name);
}

static const char *words(const struct round *round)
{
    static char text[256];

    snprintf(text, sizeof text, "%s, %s: call %d of %s%s fails: %s", round->operation->name,
             kind == SHMRING_MPMC ? "mpmc" : "spsc", round->nth, fallible[round->function].name,
             round->for_ever ? " and all after it" : "",
             round->error == CUT_SHORT ? "cut short" : strerror(round->error));
    return text;
}

static void check_result(const struct round *round, int r)
{
    const char *detail = shmring_strerror_detail();

    if (r >= 0)
        return;
    cr_assert(is_in(anywhere, -r) || is_in(round->operation->documented, -r), "%s: %s (%s)",
              words(round), strerror(-r), detail);
    cr_assert(detail[0] && !strstr(detail, "the handle is NULL"), "%s: %s, without a detail",
              words(round), strerror(-r));
}

static void check_kept(const struct round *round, const struct holdings *before, const char *when)
{
    const struct holdings now = test_holdings();

    cr_assert(now.descriptors == before->descriptors && now.shared_maps == before->shared_maps,
              "%s: %d descriptors, %d before, %d mappings, %d before, %s", words(round),
              now.descriptors, before->descriptors, now.shared_maps, before->shared_maps, when);
}

/* A file that could not be removed stays; `shmring gc` removes it. */
static bool may_stay(const struct round *round)
{
    switch (round->function) {
    case CALL_UNLINK:
        return true;
    case CALL_UNLINKAT:
    case CALL_OPENAT:
    case CALL_FLOCK:
    case CALL_FSTAT:
    case CALL_READLINK:
    case CALL_ASPRINTF:
    case CALL_LSTAT:
    case CALL_OPEN:
        return round->for_ever || round->operation->run == run_close ||
               round->operation->run == run_unlink;
    default:
        return false;
    }
}

static void check_files(const struct round *round)
{
    const int files = test_count_files(directory);

    cr_assert(files == 0 || may_stay(round), "%s: %d files are left", words(round), files);
    DIR *d = opendir(".");
    for (struct dirent *entry; files != 0 && (entry = readdir(d));)
        unlink(entry->d_name);
    closedir(d);
}

static void one_round(const struct round *round)
{
    const struct operation *o = round->operation;
    const struct holdings outset = test_holdings();
    struct holdings before;
    int r;

    plan.file_system = 0;
    o->before();
    before = test_holdings();
    const bool fresh = !q;
    (void)shmring_check(NULL); /* replaces the detail */
    plan.on_sleep = o->on_sleep;
    plan.no_tmpfile = o->no_tmpfile;
    plan_fault(round->function, round->error, round->nth, round->for_ever);
    r = o->run();
    plan_end();
    cr_assert(plan.fired || round->nth > 1, "%s: it did not", words(round));
    check_result(round, r);
    if (r < 0 && fresh) {
        cr_assert_null(q, "%s", words(round));
        check_kept(round, &before, "after it");
    }
    if (r < 0) {
        plan_fault(FALLIBLE, 0, 0, false);
        r = o->run();
        plan_end();
        cr_assert_geq(r, 0, "%s, and without: %s (%s)", words(round), strerror(-r),
                      shmring_strerror_detail());
    }
    leave();
    check_kept(round, &outset, "in the end");
    check_files(round);
}

/* Count how often the operation calls each function when nothing fails. */
static void count_calls(const struct operation *o, int calls[FALLIBLE])
{
    plan.file_system = 0;
    o->before();
    plan.on_sleep = o->on_sleep;
    plan.no_tmpfile = o->no_tmpfile;
    plan_fault(FALLIBLE, 0, 0, false);
    const int r = o->run();
    plan_end();
    cr_assert_geq(r, 0, "%s: %s", o->name, shmring_strerror_detail());
    memcpy(calls, plan.calls, sizeof plan.calls);
    leave();
}

static void every_fault(const struct operation *o)
{
    struct round round = {.operation = o};
    int calls[FALLIBLE];

    count_calls(o, calls);
    calls[CALL_WIPE] = 0; /* this happens once a process: see first_calls */
    for (int f = 0; f < FALLIBLE; f++)
        for (const int *error = fallible[f].errors; *error; error++)
            for (int nth = 1; nth <= calls[f]; nth++)
                for (int for_ever = 0; for_ever <= (nth == 1); for_ever++) {
                    round.function = f;
                    round.error = *error;
                    round.nth = nth;
                    round.for_ever = for_ever != 0;
                    one_round(&round);
                }
}

static void every_operation(uint32_t of_kind)
{
    kind = of_kind;
    enter();
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (kind == SHMRING_MPMC || !operations[i].mpmc_only)
            every_fault(&operations[i]);
}

Test(faults, spsc)
{
    every_operation(SHMRING_SPSC);
}

Test(faults, mpmc)
{
    every_operation(SHMRING_MPMC);
}

/* Or the library calls the function by another name than the one that the linker was told to
 * replace. Four functions are called only in special cases, which other tests make: access() after
 * a linkat() that has failed, chmod() after a umask that takes all permissions, calloc() with many
 * handles, and lseek() where the file system does not allocate. */
Test(faults, each_function_is_called)
{
    static const uint32_t kinds[] = {SHMRING_SPSC, SHMRING_MPMC};
    int sums[FALLIBLE] = {0}, calls[FALLIBLE];

    enter();
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
            kind = kinds[k];
            if (kind != SHMRING_MPMC && operations[i].mpmc_only)
                continue;
            count_calls(&operations[i], calls);
            for (int f = 0; f < FALLIBLE; f++)
                sums[f] += calls[f];
        }
    for (int f = 0; f < FALLIBLE; f++)
        cr_assert(sums[f] > 0 || f == CALL_ACCESS || f == CALL_CALLOC || f == CALL_CHMOD ||
                      f == CALL_LSEEK,
                  "%s", fallible[f].name);
}

/* The library notes a process's handles in arrays of 64, and allocates more arrays as needed. */
static int open_many(void *unused)
{
    enum { MANY = 64 };
    shmring_t *many[MANY];

    (void)unused;
    child_assert(create(&other, "memfd:orders", SHMRING_OBSERVER) == 0);
    for (int i = 1; i < MANY; i++)
        child_assert(shmring_dup(&many[i], other, SHMRING_OBSERVER) == 0);
    plan_fault(CALL_CALLOC, ENOMEM, 1, false);
    child_refused(shmring_dup(&q, other, SHMRING_OBSERVER), ENOMEM, "no memory to note the handle");
    plan_end();
    child_assert(plan.fired && !q && shmring_dup(&q, other, SHMRING_OBSERVER) == 0);
    return 0;
}

Test(faults, more_handles_than_there_are_places)
{
    kind = SHMRING_SPSC;
    cr_assert_eq(test_run(open_many, NULL), 0);
}

/* Without inotify the library checks for the name every 20 ms, and the error detail says so. */
Test(faults, no_inotify)
{
    static const int without[] = {CALL_INOTIFY_INIT, CALL_INOTIFY_ADD};
    const struct timespec none = {0};

    kind = SHMRING_SPSC;
    enter();
    for (int i = 0; i < 2; i++) {
        plan_fault(without[i], i == 0 ? EMFILE : ENOSPC, 1, true);
        assert_refused(shmring_open_wait(&q, name, BOTH, &none), ETIMEDOUT,
                       "see fs.inotify.max_user_instances");
        plan.on_sleep = make_queue;
        plan_fault(without[i], i == 0 ? EMFILE : ENOSPC, 1, true);
        cr_assert_eq(run_open_wait(), 0, "%s", shmring_strerror_detail());
        plan_end();
        plan.on_sleep = NULL;
        leave();
    }
}

/* A sparse copy on a file system that does not allocate, and that may not know where holes are. */
Test(faults, holes_that_cannot_be_filled)
{
    kind = SHMRING_SPSC;
    enter();
    queue();
    const int fd = open(name + 5, O_RDWR | O_CLOEXEC);
    cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * 4096, 4096), 0);
    plan_fault(CALL_FALLOCATE, EOPNOTSUPP, 1, true);
    assert_refused(run_open(), EOPNOTSUPP, "has holes (the first at byte 16384), and tmpfs cannot");
    plan_end();
    cr_assert_eq(run_open(), 0, "%s", shmring_strerror_detail());
    shmring_close(&q);
    close(fd);
}

/* A file system without fallocate(): the creator writes each block, so the memory is allocated. */
Test(faults, a_new_queue_has_its_room)
{
    static const int errors[] = {EOPNOTSUPP, ENOSYS};
    struct shmring_stat whole;
    struct stat st;

    enter();
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 2; i++) {
            kind = k == 0 ? SHMRING_SPSC : SHMRING_MPMC;
            plan_fault(CALL_FALLOCATE, errors[i], 1, true);
            must(create(&q, name, 0)); /* the first to attach with a role allocates the rest */
            plan_end();
            cr_assert(plan.fired);
            cr_assert_eq(shmring_stat(q, &whole), 0);
            cr_assert_eq(fstat(shmring_segment_fd(q), &st), 0);
            cr_assert_geq((uint64_t)st.st_size, whole.segment_bytes);
            cr_assert_geq((uint64_t)st.st_blocks * 512, whole.segment_bytes);
            shmring_close(&q);
            must(shmring_unlink(name));
        }
}

/* A file system that returns success for fchmod(), and does not set the mode. */
Test(faults, a_mode_that_is_not_kept)
{
    struct shmring_config config;

    kind = SHMRING_SPSC;
    enter();
    config = config_with(BOTH);
    config.mode = 0640;
    plan_fault(CALL_FCHMOD, DOES_NOTHING, 1, true);
    assert_refused(shmring_create(&q, name, &config), EOPNOTSUPP, "makes its mode 0600, not 0640");
    plan_end();
    cr_assert(plan.fired);
    must(shmring_create(&q, name, &config));
    shmring_close(&q);
}

/* What the library does once in each process, in the first call. */
struct first {
    int function, error, expected;
};

static int create_first(void *argument)
{
    const struct first *first = argument;

    plan_fault(first->function, first->error, 1, false);
    child_assert(run_create_memfd() == -first->expected);
    plan_end();
    child_assert(strlen(shmring_strerror_detail()) > 0 && !q);
    child_assert(run_create_memfd() == 0);
    return 0;
}

Test(faults, first_calls)
{
    static const struct first firsts[] = {
        {CALL_MMAP, ENOMEM, ENOMEM}, {CALL_MMAP, EAGAIN, ENOMEM}, {CALL_WIPE, EINVAL, ENOSYS},
        {CALL_WIPE, EAGAIN, ENOMEM}, {CALL_WIPE, ENOMEM, ENOMEM},
    };

    kind = SHMRING_SPSC;
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++)
        cr_assert_eq(test_run(create_first, (void *)(uintptr_t)&firsts[i]), 0, "%s: %s",
                     fallible[firsts[i].function].name, strerror(firsts[i].error));
}

/* Where a name does not tell the queue's state, no call waits for it, and none removes it. */
Test(faults, not_taken_for_unfinished)
{
    static const struct first those[] = {
        {CALL_OPEN, EAGAIN, EBUSY}, {CALL_MMAP, EAGAIN, ENOMEM}, {CALL_MADVISE, EAGAIN, ENOMEM}};

    kind = SHMRING_SPSC;
    enter();
    queue();
    for (size_t i = 0; i < sizeof those / sizeof those[0]; i++) {
        plan_fault(those[i].function, those[i].error, 1, false);
        const int r = shmring_open_wait(&q, name, BOTH, NULL);
        plan_end();
        cr_assert_eq(r, -those[i].expected, "%s: %s", strerror(-r), shmring_strerror_detail());
    }
    plan_fault(CALL_PREAD, EIO, 1, false);
    assert_refused(shmring_unlink(name), EIO, "error");
    plan_end();
    /* After the call that checks whether it is a directory. */
    plan_fault(CALL_FSTAT, EIO, 2, false);
    assert_refused(shmring_unlink(name), EIO, "error");
    plan_end();
    must(shmring_unlink(name));
}
