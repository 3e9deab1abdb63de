/* SPDX-License-Identifier: MIT */
/*
 * A hostile peer between any two steps: what is included after this counts its atomic loads and
 * compare-and-swaps, and before each of them somebody else has a turn. So a test can have memory
 * change at the very moment that it asks for, and count how often a call looks.
 */
#ifndef TEST_TURNS_H
#define TEST_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum turn { LOOK, SWAP };

/* Before a look at that word, or a swap of it; NULL: nobody is there. */
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
    have_a_turn(LOOK, word);
    return atomic_load_explicit(word, order);
}

static inline uint64_t look_64(const volatile _Atomic uint64_t *word, memory_order order)
{
    have_a_turn(LOOK, word);
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
