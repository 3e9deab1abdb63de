/* SPDX-License-Identifier: MIT */
/*
 * The futex calls of libshmring and libshmring-mux, and what each answer of the kernel means.
 *
 * A seccomp filter, or an older kernel, refuses a call with any error number: EPERM and ENOSYS are
 * the usual ones. Such an answer must not be taken for a wake-up: the caller would poll as fast as
 * it can. So every answer is one of these:
 *
 *     0           woken, or the word had changed before: poll the queue
 *     -ETIMEDOUT  the time is over, by the kernel's clock
 *     -EINTR      a signal handler ran
 *     otherwise   refused: each function says what the caller does then
 *
 * The caller says how long to sleep in ns from now, never until when: clock_gettime(2) may be
 * replaced in this process (libfaketime), and then the kernel's clock shows another time.
 */
#ifndef SHMR_FUTEX_H
#define SHMR_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <linux/types.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* A sleeper that the kernel cannot wake polls after this time, 1 ms. */
#define SHMR_FUTEX_SLICE_NS INT64_C(1000000)

/*
 * 68 years, for SHMR_FOR_EVER as well: the most that a time of 32 bits holds. A sleep without a
 * time limit would go on after a signal handler that has SA_RESTART.
 */
#define SHMR_FUTEX_MOST_S INT32_MAX

/* Which processes use the word: several, or only this one. */
enum { SHMR_FUTEX_SHARED = 0, SHMR_FUTEX_PRIVATE = FUTEX_PRIVATE_FLAG };

struct shmr_time_64 {
    int64_t seconds, ns;
};

static inline struct shmr_time_64 shmr_time_64(int64_t ns)
{
    if (ns / SHMR_SECOND >= SHMR_FUTEX_MOST_S)
        return (struct shmr_time_64){SHMR_FUTEX_MOST_S, 0};
    return (struct shmr_time_64){ns / SHMR_SECOND, ns % SHMR_SECOND};
}

/* FUTEX_WAIT for ns at the most. 0 or the negative errno. */
static inline int shmr_futex_call_wait(const void *word, int owner, uint32_t value, int64_t ns)
{
    const struct shmr_time_64 limit = shmr_time_64(ns);

#if defined SYS_futex_time64 /* 32-bit machines, from Linux 5.1 on */
    if (syscall(SYS_futex_time64, word, FUTEX_WAIT | owner, value, &limit, NULL, 0) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM)
        return -errno;
#endif
#if defined SYS_futex
    const struct {
        __kernel_long_t seconds, ns;
    } native = {(__kernel_long_t)limit.seconds, (__kernel_long_t)limit.ns};
    return syscall(SYS_futex, word, FUTEX_WAIT | owner, value, &native, NULL, 0) == 0 ? 0 : -errno;
#else
    return -ENOSYS;
#endif
}

/* futex(2) is refused: sleep without it. -error if that is refused, too. */
static inline int shmr_futex_doze(int64_t ns, int error)
{
    const struct timespec slice = {.tv_nsec =
                                       (long)(ns < SHMR_FUTEX_SLICE_NS ? ns : SHMR_FUTEX_SLICE_NS)};

    int cancel;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* as in all other sleeps */
    const int r = clock_nanosleep(CLOCK_MONOTONIC, 0, &slice, NULL);
    pthread_setcancelstate(cancel, NULL);
    switch (r) {
    case 0:
        return ns <= SHMR_FUTEX_SLICE_NS ? -ETIMEDOUT : 0;
    case EINTR:
        return -EINTR;
    default:
        return -error;
    }
}

/*
 * Sleep while the word has that value, for ns at the most. Where futex(2) is refused it sleeps for
 * SHMR_FUTEX_SLICE_NS at the most. Another error than -ETIMEDOUT and -EINTR: this process may use
 * no call that sleeps.
 */
static inline int shmr_futex_wait(const void *word, int owner, uint32_t value, int64_t ns)
{
    const int r = shmr_futex_call_wait(word, owner, value, ns > 0 ? ns : 0);

    switch (r) {
    case 0:
    case -EAGAIN:
        return 0;
    case -EINTR:
    case -ETIMEDOUT:
        return r;
    default: /* also -EFAULT: the word's memory is gone, as the caller will see */
        return shmr_futex_doze(ns > 0 ? ns : 0, -r);
    }
}

/* Wake up to n sleepers. If the kernel refuses, they recheck after their recheck_ms. */
static inline void shmr_futex_wake(const void *word, int owner, int n)
{
#if defined SYS_futex
    syscall(SYS_futex, word, FUTEX_WAKE | owner, n, NULL, NULL, 0);
#else
    syscall(SYS_futex_time64, word, FUTEX_WAKE | owner, n, NULL, NULL, 0);
#endif
}

#if defined SYS_futex_waitv
/* CLOCK_MONOTONIC as the kernel has it, whatever clock_gettime() has been replaced by. */
static inline int64_t shmr_kernel_now(void)
{
    struct shmr_time_64 now = {0};

#if defined SYS_clock_gettime64
    if (syscall(SYS_clock_gettime64, CLOCK_MONOTONIC, &now) == 0)
        return now.seconds * SHMR_SECOND + now.ns;
#elif __SIZEOF_LONG__ == 8
    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) == 0)
        return now.seconds * SHMR_SECOND + now.ns;
#endif
    (void)now;
    return shmr_now(); /* a filter may refuse this call, which no other code makes */
}

/*
 * Sleep while none of the words has changed, for ns at the most. Returns also -ENOMEM: refused this
 * time; or -ENOSYS: refused in this process always, by a kernel before Linux 5.16 or by a filter.
 */
static inline int shmr_futex_waitv(struct futex_waitv *words, unsigned count, int64_t ns)
{
    const int64_t now = shmr_kernel_now();
    const struct shmr_time_64 until =
        shmr_time_64(ns < SHMR_FOR_EVER - now ? now + ns : SHMR_FOR_EVER);

    if (syscall(SYS_futex_waitv, words, count, 0, &until, CLOCK_MONOTONIC) >= 0)
        return 0;
    switch (errno) {
    case EAGAIN:
        return 0;
    case EINTR:
    case ETIMEDOUT:
    case ENOMEM:
        return -errno;
    case EFAULT: /* a word's memory is gone: the caller's next check reports it */
        return -ENOMEM;
    default:
        return -ENOSYS;
    }
}
#endif

#endif
