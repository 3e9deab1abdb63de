/* SPDX-License-Identifier: MIT */
/* What depends on the processor: a pause in a polling loop, and copying a small message. */
#ifndef SHMR_CPU_H
#define SHMR_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SHMR_LINE 64

/*
 * How long to fall back when the queue is found empty or full: about the transfer of a line there
 * and back. In time, not in pauses: one pause takes from 10 to 50 ns, depending on the processor.
 */
#define SHMR_BACK_OFF_NS 200

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

/* Is an atomic read-modify-write, of whatever memory order, a full fence as well? */
#if defined __x86_64__ || defined __i386__
#define SHMR_RMW_IS_FENCE 1
#else
#define SHMR_RMW_IS_FENCE 0
#endif

/*
 * The queue is empty, or full, after so many messages in a row: how many pauses to fall back for,
 * where `pauses` last for SHMR_BACK_OFF_NS. One who follows a stream closely takes the lines that
 * the other is writing; then both become slow, and neither gets away. So the longer the stream, the
 * longer the pause: roughly as long as the messages took, and at most SHMR_BACK_OFF_MOST times
 * SHMR_BACK_OFF_NS. One message at a time, as in a dialogue, is no stream, and the answer may be
 * there in less than that.
 */
#define SHMR_BACK_OFF_MOST     16
#define SHMR_BACK_OFF_MESSAGES 4
#define SHMR_BACK_OFF_DIALOGUE 8 /* a part of it */
static inline unsigned shmr_back_off(unsigned pauses, uint64_t messages)
{
    uint64_t times = messages / SHMR_BACK_OFF_MESSAGES;

    if (messages <= 1)
        return 1 + pauses / SHMR_BACK_OFF_DIALOGUE;
    return pauses * (times < 1                    ? 1
                     : times < SHMR_BACK_OFF_MOST ? (unsigned)times
                                                  : SHMR_BACK_OFF_MOST);
}

/* Up to so many bytes are copied in place: calling memcpy would be a third of the cost at 64. */
#define SHMR_COPY_SHORT 128

/* Copy the first and the last `size` bytes of n: all of them, if n is at most twice that. */
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

static inline void shmr_copy(void *to, const void *from, size_t n)
{
    if (n <= SHMR_COPY_SHORT)
        shmr_copy_short(to, from, n);
    else
        memcpy(to, from, n);
}

/* Get a line to read, or to write: the latter takes it from the core that has it. */
static inline void shmr_prefetch(const void *line)
{
    __builtin_prefetch(line);
}

static inline void shmr_prefetch_to_write(const void *line)
{
#if defined __x86_64__ || defined __i386__
    /* Spelt out: without -mprfchw the compiler would prefetch for reading. Ignored where unknown.
     */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
    __builtin_prefetch(line, 1);
#endif
}

#endif
