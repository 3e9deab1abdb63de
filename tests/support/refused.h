/* SPDX-License-Identifier: MIT */
/*
 * System calls that are refused, as by a container's seccomp filter (EPERM) or an older kernel
 * (ENOSYS), and counts of a wait's system calls. syscall() and clock_nanosleep() of refused.c
 * replace the C library's, in the shared libraries as well. A wait that polls makes thousands of
 * calls in the time in which a wait that sleeps makes one in each millisecond.
 */
#ifndef TEST_REFUSED_H
#define TEST_REFUSED_H

#include <stdatomic.h>

/* The calls to refuse: futex_waitv(), FUTEX_WAIT, clock_nanosleep(), and the futex call with 64-bit
 * times that 32-bit machines have. */
enum { FUTEX_WAITV = 1, FUTEX_WAITS = 2, NANOSLEEP = 4, FUTEX_64 = 8 };

/* From now on refuse these calls, and count from 0. */
void refuse_calls(unsigned calls, int error);

/* The number of calls that would sleep, and of calls that were refused. */
extern _Atomic long sleeps, refusals;

/* CLOCK_MONOTONIC */
long now_ms(void);

/* Assert that there were at most Threads sleeps in each millisecond since Since, and a few more. */
#define assert_slept(Since, Threads)                                                               \
    do {                                                                                           \
        const long sleeps_ = sleeps - refusals, ms_ = now_ms() - (Since);                          \
        cr_assert_leq(sleeps_, (Threads) * (ms_ + 5), "%ld sleeps in %ld ms", sleeps_, ms_);       \
    } while (0)

#endif
