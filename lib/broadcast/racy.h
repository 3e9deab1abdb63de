/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: copying payloads into and out of the ring.
 *
 * A consumer may read a payload while the producer overwrites it. It then finds out by the horizon
 * (ring.h), and uses nothing of the copy. By the letter of C11 that is a data race, as the bytes
 * are not atomic. So only the functions in this file read and write payloads of the ring. They use
 * memcpy between signal fences, which keep the compiler from moving the copy over the accesses to
 * headers and horizon. On the processors that the library runs on a copy has no effect other than
 * that of its loads and stores.
 *
 * Under ThreadSanitizer, and under a model checker (SHMR_RACY_WORDS), they copy by relaxed atomic
 * words instead: then there is no data race, and a tool that finds one has found a real one.
 */
#ifndef SHMR_BROADCAST_RACY_H
#define SHMR_BROADCAST_RACY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cpu.h"

#if defined __SANITIZE_THREAD__
#define SHMR_RACY_WORDS 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define SHMR_RACY_WORDS 1
#endif
#endif

#ifdef SHMR_RACY_WORDS

/*
 * Payloads start at multiples of 8. The last word of one may have the next record's header in its
 * second half; then a word of 4 bytes is what is left.
 */
static inline void shmr_racy_copy_in(void *ring, const void *from, size_t n)
{
    uint8_t *to = ring;
    const uint8_t *bytes = from;

    for (; n > 0;) {
        const size_t word = n > 4 ? 8 : 4, part = n < word ? n : word;
        uint64_t whole = 0;
        uint32_t half = 0;
        if (word == 8) {
            memcpy(&whole, bytes, part);
            atomic_store_explicit((_Atomic uint64_t *)(void *)to, whole, memory_order_relaxed);
        } else {
            memcpy(&half, bytes, part);
            atomic_store_explicit((_Atomic uint32_t *)(void *)to, half, memory_order_relaxed);
        }
        to += part;
        bytes += part;
        n -= part;
    }
}

static inline void shmr_racy_copy_out(void *to, const void *ring, size_t n)
{
    const uint8_t *from = ring;
    uint8_t *bytes = to;

    for (; n > 0;) {
        const size_t word = n > 4 ? 8 : 4, part = n < word ? n : word;
        if (word == 8) {
            const uint64_t whole = atomic_load_explicit(
                (const _Atomic uint64_t *)(const void *)from, memory_order_relaxed);
            memcpy(bytes, &whole, part);
        } else {
            const uint32_t half = atomic_load_explicit((const _Atomic uint32_t *)(const void *)from,
                                                       memory_order_relaxed);
            memcpy(bytes, &half, part);
        }
        from += part;
        bytes += part;
        n -= part;
    }
}

static inline void shmr_racy_copy_in_short(void *ring, const void *from, size_t n)
{
    shmr_racy_copy_in(ring, from, n);
}

static inline void shmr_racy_copy_out_short(void *to, const void *ring, size_t n)
{
    shmr_racy_copy_out(to, ring, n);
}

#else

__attribute__((always_inline)) static inline void shmr_racy_copy_in(void *ring, const void *from,
                                                                    size_t n)
{
    atomic_signal_fence(memory_order_seq_cst);
    shmr_copy(ring, from, n);
    atomic_signal_fence(memory_order_seq_cst);
}

__attribute__((always_inline)) static inline void shmr_racy_copy_out(void *to, const void *ring,
                                                                     size_t n)
{
    atomic_signal_fence(memory_order_seq_cst);
    shmr_copy(to, ring, n);
    atomic_signal_fence(memory_order_seq_cst);
}

/* At most SHMR_COPY_SHORT bytes. */
__attribute__((always_inline)) static inline void
shmr_racy_copy_in_short(void *ring, const void *from, size_t n)
{
    atomic_signal_fence(memory_order_seq_cst);
    shmr_copy_short(ring, from, n);
    atomic_signal_fence(memory_order_seq_cst);
}

__attribute__((always_inline)) static inline void
shmr_racy_copy_out_short(void *to, const void *ring, size_t n)
{
    atomic_signal_fence(memory_order_seq_cst);
    shmr_copy_short(to, ring, n);
    atomic_signal_fence(memory_order_seq_cst);
}

#endif

#endif
