/* SPDX-License-Identifier: MIT */
/*
 * System calls that are refused, as by a container's seccomp filter (EPERM) or an older kernel
 * (ENOSYS), and how often a wait calls the kernel. syscall() and clock_nanosleep() of refused.c
 * stand in the place of the C library's, for the shared libraries as well. A wait that polls makes
 * thousands of calls in the time in which a wait that sleeps makes one in each millisecond.
 */
#ifndef TEST_REFUSED_H
#define TEST_REFUSED_H

#include <stdatomic.h>

/* Which calls: sleeping on several futexes, on one, by a clock, and by the futex call of 64 bits
 * that 32-bit machines have. */
enum { FUTEX_WAITV = 1, FUTEX_WAITS = 2, NANOSLEEP = 4, FUTEX_64 = 8 };

/* From now on refuse these, and count from 0. */
void refuse_calls(unsigned calls, int error);

/* Calls that would sleep; those of all calls that were refused. */
extern _Atomic long sleeps, refusals;

/* CLOCK_MONOTONIC */
long now_ms(void);

/* Not more than `threads` sleeps in each millisecond that has passed since then, and a few. */
#define assert_slept(Since, Threads)                                                               \
    do {                                                                                           \
        const long sleeps_ = sleeps - refusals, ms_ = now_ms() - (Since);                          \
        cr_assert_leq(sleeps_, (Threads) * (ms_ + 5), "%ld sleeps in %ld ms", sleeps_, ms_);       \
    } while (0)

#endif
