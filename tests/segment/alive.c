/* SPDX-License-Identifier: MIT */
/*
 * Which participant is alive, where that is hard to tell: with a fork, a recovery or a removal in
 * the middle of attaching, and where mappings do not keep locks.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/recovery.h"
#include "lib/core/rows.h"
#include "mpmc_pages.h"
#include "support.h"

TestSuite(alive, .timeout = 120);

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static char name[TEST_NAME_SIZE + 32];

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

static void fork_sleeper(void)
{
    sleeper = test_fork_sleeper();
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
