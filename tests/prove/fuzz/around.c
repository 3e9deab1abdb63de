/* SPDX-License-Identifier: MIT */
/*
 * Functions of libc that the library calls, by way of the linker's --wrap.
 *
 * All that it maps lies between guard pages, so that an access beyond the end is a fault. Time is
 * the target's own: every deadline is over, and every run of an input is like the one before. A
 * sleep ends at once without a system call, which would also return at once, but let other
 * processes run first.
 */
#include <config.h>

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

enum { GUARD = 1 << 16, GUARDED_MOST = 64, TICK = 1000000 };

void *__real_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t length);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t length);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

static void *guarded[GUARDED_MOST];
static bool stopped;
static int64_t now_ns = 1000000000;

static void **guarded_slot(const void *p)
{
    for (int i = 0; i < GUARDED_MOST; i++)
        if (guarded[i] == p)
            return &guarded[i];
    return NULL;
}

void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    void **slot = guarded_slot(NULL);

    /* The range that the library then maps the pieces of a segment into. */
    if (at != NULL || protection != PROT_NONE || slot == NULL)
        return __real_mmap(at, length, protection, flags, fd, offset);
    uint8_t *p = __real_mmap(NULL, length + 2 * GUARD, protection, flags, fd, offset);
    if (p == MAP_FAILED)
        return p;
    *slot = p + GUARD;
    return *slot;
}

int __wrap_munmap(void *at, size_t length)
{
    void **slot = at == NULL ? NULL : guarded_slot(at);

    if (slot == NULL)
        return __real_munmap(at, length);
    *slot = NULL;
    return __real_munmap((uint8_t *)at - GUARD, length + 2 * GUARD);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!stopped)
        return __real_clock_gettime(clock, now);
    now_ns += TICK;
    now->tv_sec = (time_t)(now_ns / 1000000000);
    now->tv_nsec = (long)(now_ns % 1000000000);
    return 0;
}

static bool is_futex(long number)
{
#if defined SYS_futex_time64
    if (number == SYS_futex_time64)
        return true;
#endif
#if defined SYS_futex
    if (number == SYS_futex)
        return true;
#endif
    return false;
}

static int end_of_sleep(long word, uint32_t value)
{
    const _Atomic uint32_t *now = (const _Atomic uint32_t *)word;

    return atomic_load_explicit(now, memory_order_relaxed) == value ? ETIMEDOUT : EAGAIN;
}

/* As many arguments as a call can have. If the caller gives fewer, the others are undefined, as
 * with syscall() itself. */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    int error = 0;

    if (stopped && is_futex(number) && (b & FUTEX_CMD_MASK) != FUTEX_WAKE) {
        fuzz_check((b & FUTEX_CMD_MASK) == FUTEX_WAIT && d, "operation %ld: sleeps in the kernel",
                   b);
        error = end_of_sleep(a, (uint32_t)c);
    }
#if defined SYS_futex_waitv
    const struct futex_waitv *w = (const void *)a;
    if (stopped && number == SYS_futex_waitv && d)
        for (long i = 0; i < b && error != EAGAIN; i++)
            error = end_of_sleep((long)w[i].uaddr, (uint32_t)w[i].val);
#endif
    if (error == 0)
        return __real_syscall(number, a, b, c, d, e, f);
    errno = error;
    return -1;
}

void around_stop_clock(void)
{
    stopped = true;
    now_ns = 1000000000;
}
