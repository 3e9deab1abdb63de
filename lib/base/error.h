/* SPDX-License-Identifier: MIT */
/* What went wrong, in words, for shmring_strerror_detail(). */
#ifndef SHMR_ERROR_H
#define SHMR_ERROR_H

#include <errno.h>
#include <stdint.h>

/*
 * Thread-local variables that a signal handler may reach. glibc makes a thread's part of a library
 * that was loaded by dlopen() when the thread first touches it, with malloc(). Variables of the
 * initial-exec model are there from the start, but in a space that all such libraries of a process
 * share, and of which dlopen() has some 1,600 bytes to give: so they are few and small. musl makes
 * all parts at once, and refuses to dlopen() libraries with variables of that model.
 */
#if defined __GLIBC__
#define SHMR_SIGNAL_SAFE_TLS __attribute__((tls_model("initial-exec")))
#else
#define SHMR_SIGNAL_SAFE_TLS
#endif

/* Set this thread's detail from a printf format; returns -error. For calls that are not
 * signal-safe. */
int shmr_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/*
 * The same for signal-safe calls: only notes a format string with up to two %llu or %lld and its
 * numbers, which are put together when somebody asks. shmr_fail_call() is for a call to the kernel
 * that failed: the words for errno follow.
 */
int shmr_fail_fast(int error, const char *format, uint64_t a, uint64_t b) __attribute__((cold));
int shmr_fail_call(int error, const char *format, uint64_t a, uint64_t b) __attribute__((cold));

/*
 * What the two note. Signal-safe code that fails on the way and goes on all the same saves it first
 * and puts it back, so that the detail stays that of a call that failed.
 */
struct shmr_detail {
    const char *format; /* not yet put into words; NULL: they are ready */
    uint64_t a, b;
    int call; /* errno of shmr_fail_call(), else 0 */
};
struct shmr_detail shmr_detail_save(void);
void shmr_detail_restore(const struct shmr_detail *saved);

/*
 * An errno of the kernel's, where -EAGAIN would be taken for "its creator is still at work" and
 * shmring_open_wait() would wait for that: mmap(2) and madvise(2) say so when memory may not be
 * locked or is short, open(2) of a file that somebody has leased.
 */
static inline int shmr_not_again(int error, int instead)
{
    return error == EAGAIN ? instead : error;
}

#endif
