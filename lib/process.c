/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "back_off.h"
#include "cpu.h"
#include "error.h"

static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static pthread_mutex_t mark_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile uint32_t *mark_page;
static uint32_t last_mark; /* survives a fork, unlike *mark_page */

static void before_fork(void)
{
    pthread_mutex_lock(&fork_lock);
    pthread_mutex_lock(&mark_lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&mark_lock);
    pthread_mutex_unlock(&fork_lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

void shmr_process_hold_fork(void)
{
    pthread_once(&fork_once, watch_forks);
    pthread_mutex_lock(&fork_lock);
}

bool shmr_process_try_hold_fork(void)
{
    return pthread_mutex_trylock(&fork_lock) == 0;
}

void shmr_process_let_fork(void)
{
    pthread_mutex_unlock(&fork_lock);
}

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
    int r = 0;

    pthread_once(&fork_once, watch_forks);
    pthread_mutex_lock(&mark_lock);
    if (!mark_page)
        r = make_mark_page();
    if (r == 0 && *mark_page == 0) /* new, or wiped: this is a child */
        *mark_page = ++last_mark;
    *page = mark_page;
    pthread_mutex_unlock(&mark_lock);
    return r;
}

static _Atomic uint32_t measured_pauses, measured_ticks; /* pauses: 0 before they are */

static void measure_back_off(void)
{
    const unsigned many = 32;
    int64_t best = INT64_MAX; /* of a few tries: others may run meanwhile */
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
    /* The ticks before it; pairs with the acquire in shmr_process_pauses. */
    atomic_store_explicit(&measured_pauses,
                          pauses < 1     ? 1
                          : pauses > 100 ? 100
                                         : (uint32_t)pauses,
                          memory_order_release);
}

uint32_t shmr_process_pauses(void)
{
    /* Pairs with the release in measure_back_off. */
    if (atomic_load_explicit(&measured_pauses, memory_order_acquire) == 0)
        measure_back_off();
    return atomic_load_explicit(&measured_pauses, memory_order_relaxed);
}

uint32_t shmr_process_ticks(void)
{
    (void)shmr_process_pauses();
    return atomic_load_explicit(&measured_ticks, memory_order_relaxed);
}
