/* SPDX-License-Identifier: MIT */
/* What went wrong, in words, for shmring_strerror_detail(). */
#ifndef SHMR_ERROR_H
#define SHMR_ERROR_H

#include <errno.h>
#include <stdint.h>

/*
 * For thread-local variables that a signal handler may use. In a library that was loaded by
 * dlopen(), glibc allocates a thread's variables with malloc() when the thread first uses them,
 * which is not signal-safe. Variables of the initial-exec model are there from the start. But all
 * such libraries of a process share a space of about 1,600 bytes for them, so these variables must
 * be few and small. musl allocates all thread-local variables at once, and refuses to dlopen()
 * libraries with variables of that model.
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
 * The same for signal-safe calls: these functions only note a format string, with up to two %llu or
 * %lld, and its numbers. shmring_strerror_detail() makes the sentence of them later.
 * shmr_fail_call() is for a system call that failed: the sentence ends with the words for errno.
 */
int shmr_fail_fast(int error, const char *format, uint64_t a, uint64_t b) __attribute__((cold));
int shmr_fail_call(int error, const char *format, uint64_t a, uint64_t b) __attribute__((cold));

/*
 * What these two functions note. Signal-safe code that meets an error and yet goes on saves this
 * before and restores it after, so that the detail stays that of the last failed call.
 */
struct shmr_detail {
    const char *format; /* no sentence made of it yet; NULL: the sentence is in the thread's text */
    uint64_t a, b;
    int call; /* errno of shmr_fail_call(), else 0 */
};
struct shmr_detail shmr_detail_save(void);
void shmr_detail_restore(const struct shmr_detail *saved);

/*
 * Replace EAGAIN from the kernel by another errno where a call of shmring_open() passes it on.
 * There -EAGAIN means "its creator is still at work", and shmring_open_wait() would wait for that.
 * mmap(2) and madvise(2) return EAGAIN when memory may not be locked or is short, open(2) when a
 * process has a lease on the file.
 */
static inline int shmr_not_again(int error, int instead)
{
    return error == EAGAIN ? instead : error;
}

#endif
