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
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"
#include "faults_operations.h"
#include "support.h"

static char directory[TEST_NAME_SIZE + 16]; /* in /dev/shm, and the queue in it */

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
             kind == SHMRING_MPMC        ? "mpmc"
             : kind == SHMRING_BROADCAST ? "broadcast"
                                         : "spsc",
             round->nth, fallible[round->function].name, round->for_ever ? " and all after it" : "",
             round->error == CUT_SHORT ? "cut short" : strerror(round->error));
    return text;
}

static void check_result(const struct round *round, int r)
{
    const char *detail = shmring_strerror_detail();

    if (r >= 0)
        return;
    cr_assert(may_return(round->operation, -r), "%s: %s (%s)", words(round), strerror(-r), detail);
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
    for (size_t i = 0; i < OPERATIONS; i++)
        if (!operations[i].only || operations[i].only == kind)
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

Test(faults, broadcast)
{
    every_operation(SHMRING_BROADCAST);
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
        for (size_t i = 0; i < OPERATIONS; i++) {
            kind = kinds[k];
            if (operations[i].only && operations[i].only != kind)
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
