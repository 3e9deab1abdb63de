/* SPDX-License-Identifier: MIT */
/*
 * A hostile peer between any two steps: headers that are included after this one count their atomic
 * loads and compare-and-swaps, and call peer() before each of them. So a test can change memory at
 * any moment inside a call, and count the call's loads.
 */
#ifndef TEST_TURNS_H
#define TEST_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum turn { LOAD, SWAP };

/* Called before a load of the word, or a compare-and-swap; NULL: there is no peer. */
static void (*peer)(enum turn turn, volatile void *word);
static uint64_t turns;

static inline void have_a_turn(enum turn turn, const volatile void *word)
{
    turns++;
    if (peer)
        peer(turn, (volatile void *)(uintptr_t)word);
}

static inline uint32_t look_32(const volatile _Atomic uint32_t *word, memory_order order)
{
    have_a_turn(LOAD, word);
    return atomic_load_explicit(word, order);
}

static inline uint64_t look_64(const volatile _Atomic uint64_t *word, memory_order order)
{
    have_a_turn(LOAD, word);
    return atomic_load_explicit(word, order);
}

static inline bool swap_64(volatile _Atomic uint64_t *word, uint64_t *expected, uint64_t value,
                           memory_order success, memory_order failure)
{
    have_a_turn(SWAP, word);
    return atomic_compare_exchange_strong_explicit(word, expected, value, success, failure);
}

#undef atomic_load_explicit
#define atomic_load_explicit(Word, Order)                                                          \
    _Generic((Word), _Atomic uint32_t *: look_32, const _Atomic uint32_t *: look_32,               \
             _Atomic uint64_t *: look_64, const _Atomic uint64_t *: look_64)(Word, Order)
#undef atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_strong_explicit(Word, Expected, Value, Success, Failure)           \
    swap_64(Word, Expected, Value, Success, Failure)

#endif
