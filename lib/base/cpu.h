/* SPDX-License-Identifier: MIT */
/* What depends on the processor: a pause in a polling loop, copying a message, the processor's
 * clock, and fetching lines. */
#ifndef SHMR_CPU_H
#define SHMR_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SHMR_LINE 64

static inline void shmr_pause(unsigned times)
{
    while (times--) {
#if defined __x86_64__ || defined __i386__
        __builtin_ia32_pause();
#elif defined __aarch64__ || defined __arm__
        __asm__ volatile("yield");
#else
        __asm__ volatile("");
#endif
    }
}

/* Is every atomic read-modify-write a full fence too, even with relaxed order? */
#if defined __x86_64__ || defined __i386__
#define SHMR_RMW_IS_FENCE 1
#else
#define SHMR_RMW_IS_FENCE 0
#endif

/* Up to this many bytes are copied inline: at 64 bytes, calling memcpy would be a third of the
 * cost. */
#define SHMR_COPY_SHORT 128

/* From this many bytes on, memcpy mostly writes whole lines without fetching what was in them. */
#define SHMR_COPY_LONG 3072

/* Copy the first and the last `size` bytes of n: these are all bytes if n is at most twice
 * `size`. */
static inline void shmr_copy_ends(char *to, const char *from, size_t n, size_t size)
{
    __builtin_memcpy(to, from, size);
    __builtin_memcpy(to + n - size, from + n - size, size);
}

__attribute__((always_inline)) static inline void shmr_copy_short(void *to, const void *from,
                                                                  size_t n)
{
    if (n > 16) {
        if (n > 64)
            shmr_copy_ends(to, from, n, 64);
        else if (n > 32)
            shmr_copy_ends(to, from, n, 32);
        else
            shmr_copy_ends(to, from, n, 16);
    } else if (n >= 8) {
        shmr_copy_ends(to, from, n, 8);
    } else if (n >= 4) {
        shmr_copy_ends(to, from, n, 4);
    } else if (n > 0) {
        shmr_copy_ends(to, from, n, 1);
        ((char *)to)[n / 2] = ((const char *)from)[n / 2];
    }
}

__attribute__((always_inline)) static inline void shmr_copy(void *to, const void *from, size_t n)
{
    if (n <= SHMR_COPY_SHORT)
        shmr_copy_short(to, from, n);
    else
        memcpy(to, from, n);
}

/* The processor's clock, in its own unit, to compare durations; 0 where there is no such
 * instruction. */
static inline uint64_t shmr_ticks(void)
{
#if defined __x86_64__ || defined __i386__
    return __builtin_ia32_rdtsc();
#elif defined __aarch64__
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
}

/* Fetch a line to read it, or to write it: the latter takes it from the core that has it. */
static inline void shmr_prefetch(const void *line)
{
    __builtin_prefetch(line);
}

static inline void shmr_prefetch_to_write(const void *line)
{
#if defined __x86_64__ || defined __i386__
    /* In assembly: without -mprfchw the compiler would prefetch for reading. Older processors
     * ignore it. */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
    __builtin_prefetch(line, 1);
#endif
}

#endif
