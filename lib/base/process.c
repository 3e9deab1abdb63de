/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/back_off.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/kept.h"

/* ---- The fork lock --------------------------------------------------------------------------- */

/*
 * Not a mutex: the forked child unlocks it, and POSIX says of a mutex that only the thread that
 * locked it may.
 */
enum { FREE, HELD, AWAITED }; /* AWAITED: held, and a thread may sleep until it is free */
static _Atomic uint32_t fork_lock;

/*
 * The thread that is inside fork() now and holds the lock; 0: none. This thread does not take the
 * lock again: the program's own pthread_atfork() handlers, which run in it, may open and close
 * queues.
 */
static _Atomic uintptr_t forker;
static sigset_t forkers_signals;

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int watch_error; /* the error of pthread_atfork(), or 0 */

/* This file passes no timeout, so it makes no difference whether the futex call has times of 32 or
 * of 64 bits. */
#if defined SYS_futex
#define FUTEX SYS_futex
#else
#define FUTEX SYS_futex_time64
#endif

static bool try_lock(void)
{
    uint32_t free = FREE;

    return atomic_compare_exchange_strong_explicit(&fork_lock, &free, HELD, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void lock(void)
{
    if (try_lock())
        return;
    while (atomic_exchange_explicit(&fork_lock, AWAITED, memory_order_acquire) != FREE)
        syscall(FUTEX, &fork_lock, FUTEX_WAIT_PRIVATE, AWAITED, NULL, NULL, 0);
}

static void unlock(void)
{
    if (atomic_exchange_explicit(&fork_lock, FREE, memory_order_release) == AWAITED)
        syscall(FUTEX, &fork_lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Block all signals but those of faults. The kernel kills a process in which a fault's signal is
 * blocked, and shmring_guard_sigbus() could not help. */
static void block_signals(sigset_t *before)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    sigset_t all;

    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

static bool this_thread_forks(void)
{
    return atomic_load_explicit(&forker, memory_order_relaxed) == (uintptr_t)pthread_self();
}

static void before_fork(void)
{
    sigset_t signals;

    block_signals(&signals);
    lock();
    forkers_signals = signals;
    atomic_store_explicit(&forker, (uintptr_t)pthread_self(), memory_order_relaxed);
    shmr_kept_before_fork();
}

/* Runs in the parent and in the child, where this thread has the same pthread_self(). */
static void after_fork(void)
{
    const sigset_t signals = forkers_signals;

    atomic_store_explicit(&forker, 0, memory_order_relaxed);
    unlock();
    pthread_sigmask(SIG_SETMASK, &signals, NULL);
}

static void after_fork_in_child(void)
{
    shmr_kept_in_child();
    after_fork();
}

static void watch_forks(void)
{
    watch_error = pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

void shmr_process_hold_fork(sigset_t *signals)
{
    block_signals(signals);
    pthread_once(&fork_once, watch_forks);
    if (!this_thread_forks())
        lock();
}

bool shmr_process_try_hold_fork(sigset_t *signals)
{
    block_signals(signals);
    if (this_thread_forks() || try_lock())
        return true;
    pthread_sigmask(SIG_SETMASK, signals, NULL);
    return false;
}

void shmr_process_let_fork(const sigset_t *signals)
{
    const int error = errno;

    if (!this_thread_forks())
        unlock();
    pthread_sigmask(SIG_SETMASK, signals, NULL);
    errno = error;
}

/* ---- The mark of this process ---------------------------------------------------------------- */

static volatile uint32_t *mark_page;
static uint32_t last_mark; /* survives a fork, unlike *mark_page */

static int make_mark_page(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return shmr_fail(ENOMEM, "a page of memory: %s", strerror(errno));
    if (madvise(page, size, MADV_WIPEONFORK) < 0) {
        int error = errno;
        munmap(page, size);
        if (error == EINVAL)
            return shmr_fail(ENOSYS, "madvise(MADV_WIPEONFORK): needs Linux 4.14 or later");
        return shmr_fail(ENOMEM, "madvise(MADV_WIPEONFORK): %s", strerror(error));
    }
    mark_page = page;
    return 0;
}

int shmr_process_mark(const volatile uint32_t **page)
{
    sigset_t signals;
    int r = 0;

    shmr_process_hold_fork(&signals);
    if (watch_error)
        r = shmr_fail(watch_error, "pthread_atfork: %s", strerror(watch_error));
    if (r == 0 && !mark_page)
        r = make_mark_page();
    if (r == 0 && *mark_page == 0) /* the page is new, or was wiped because this is a child */
        *mark_page = ++last_mark;
    *page = mark_page;
    shmr_process_let_fork(&signals);
    return r;
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

int shmr_process_keep_fd(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    const int kept = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = errno;
    close(fd);
    errno = error;
    return kept;
}

/* ---- The processor --------------------------------------------------------------------------- */

static _Atomic uint32_t measured_pauses, measured_ticks; /* pauses: 0: not measured yet */

static void measure_back_off(void)
{
    const unsigned many = 32;
    int64_t best = INT64_MAX; /* of 5 tries, because another process may run meanwhile */
    uint64_t best_ticks = 0;

    for (int i = 0; i < 5; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        const uint64_t before = shmr_ticks();
        shmr_pause(many);
        const uint64_t ticks = shmr_ticks() - before;
        clock_gettime(CLOCK_MONOTONIC, &to);
        int64_t ns = (int64_t)(to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
        if (ns < best) {
            best = ns;
            best_ticks = ticks;
        }
    }
    const int64_t ns = best > 0 ? best : 1;
    const int64_t pauses = SHMR_BACK_OFF_NS * (int64_t)many / ns;
    const uint64_t ticks = SHMR_BACK_OFF_NS * best_ticks / (uint64_t)ns;
    atomic_store_explicit(&measured_ticks, ticks < 10000 ? (uint32_t)ticks : 10000,
                          memory_order_relaxed);
    /* If the acquire load in shmr_process_pauses() reads this store, then shmr_process_ticks()
     * reads the ticks stored before it. */
    atomic_store_explicit(&measured_pauses,
                          pauses < 1     ? 1
                          : pauses > 100 ? 100
                                         : (uint32_t)pauses,
                          memory_order_release);
}

uint32_t shmr_process_pauses(void)
{
    /* Pairs with the release in measure_back_off(). */
    if (atomic_load_explicit(&measured_pauses, memory_order_acquire) == 0)
        measure_back_off();
    return atomic_load_explicit(&measured_pauses, memory_order_relaxed);
}

uint32_t shmr_process_ticks(void)
{
    (void)shmr_process_pauses();
    return atomic_load_explicit(&measured_ticks, memory_order_relaxed);
}
