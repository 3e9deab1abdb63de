/* SPDX-License-Identifier: MIT */
/* The futex calls that a mux makes, and the clock they go by: CLOCK_MONOTONIC, in nanoseconds. */
#ifndef MUX_FUTEX_H
#define MUX_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MUX_SECOND   INT64_C(1000000000)
#define MUX_FOR_EVER INT64_MAX
#define MUX_AT_ONCE  INT64_C(0)

#if defined SYS_futex_time64 /* 32-bit machines: a time of 64 bits all the same */
#define MUX_FUTEX SYS_futex_time64
#else
#define MUX_FUTEX SYS_futex
#endif

struct mux_kernel_time {
    int64_t seconds, ns;
};

static inline int64_t mux_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MUX_SECOND + now.tv_nsec;
}

/* Sleep while the word has that value, of this process alone. 0, -EINTR, -ETIMEDOUT. */
static inline int mux_futex_wait(const _Atomic uint32_t *word, uint32_t value, int64_t until)
{
    struct mux_kernel_time limit = {until / MUX_SECOND, until % MUX_SECOND};

    if (syscall(MUX_FUTEX, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
                until == MUX_FOR_EVER ? NULL : &limit, NULL, FUTEX_BITSET_MATCH_ANY) < 0 &&
        (errno == EINTR || errno == ETIMEDOUT))
        return -errno;
    return 0;
}

/* Wake one. */
static inline void mux_futex_wake(const _Atomic uint32_t *word)
{
    syscall(MUX_FUTEX, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

/* Sleep while none of the words has changed. 0 or a negative error; -ETIMEDOUT is one. */
static inline int mux_futex_waitv(struct futex_waitv *words, unsigned count, int64_t until)
{
    struct mux_kernel_time limit = {until / MUX_SECOND, until % MUX_SECOND};

    return syscall(SYS_futex_waitv, words, count, 0, until == MUX_FOR_EVER ? NULL : &limit,
                   CLOCK_MONOTONIC) < 0
               ? -errno
               : 0;
}

#endif
