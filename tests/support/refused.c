/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "refused.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
    unsigned calls; /* calls that were refused */
    int error;
} refused;

_Atomic long sleeps, refusals;

void refuse_calls(unsigned calls, int error)
{
    refused.calls = calls;
    refused.error = error;
    sleeps = refusals = 0;
}

long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool refuse(unsigned call)
{
    if (!(refused.calls & call))
        return false;
    refusals++;
    errno = refused.error;
    return true;
}

static bool is_futex_64(long number)
{
#if defined SYS_futex_time64
    return number == SYS_futex_time64;
#else
    (void)number;
    return false;
#endif
}

static bool is_futex(long number)
{
#if defined SYS_futex
    return is_futex_64(number) || number == SYS_futex;
#else
    return is_futex_64(number);
#endif
}

static bool is_waitv(long number)
{
#if defined SYS_futex_waitv
    return number == SYS_futex_waitv;
#else
    (void)number;
    return false;
#endif
}

long syscall(long number, ...)
{
    static long (*real)(long number, ...);
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    const bool waits = is_futex(number) && (a[1] & FUTEX_CMD_MASK) != FUTEX_WAKE;
    if (waits || is_waitv(number))
        sleeps++;
    if ((is_waitv(number) && refuse(FUTEX_WAITV)) || (waits && refuse(FUTEX_WAITS)) ||
        (is_futex_64(number) && refuse(FUTEX_64)))
        return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_nanosleep");
    sleeps++;
    if (refuse(NANOSLEEP))
        return refused.error;
    return real(clock, flags, time, left);
}
