/* SPDX-License-Identifier: MIT */
/* What went wrong, in words, for shmring_strerror_detail(). */
#ifndef SHMR_ERROR_H
#define SHMR_ERROR_H

#include <errno.h>
#include <stdint.h>

/* Set this thread's detail from a printf format; returns -error. For calls that are not
 * signal-safe. */
int shmr_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/*
 * The same for signal-safe calls: only notes a format string with up to two %llu and its numbers,
 * which are put together when somebody asks.
 */
int shmr_fail_fast(int error, const char *format, uint64_t a, uint64_t b) __attribute__((cold));

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
