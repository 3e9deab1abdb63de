/* SPDX-License-Identifier: MIT */
/*
 * Random choices that can be repeated, and messages whose length and bytes follow from their
 * number.
 */
#ifndef TEST_MESSAGES_H
#define TEST_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_LONGEST = 1 << 16 };

/* $SHMRING_TEST_SEED, or a new seed each time; printed on stderr. */
uint64_t test_seed(void);

/* The next random number (splitmix64), and one below LIMIT. */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint32_t test_random_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(test_random(state) % limit);
}

/* A length up to LONGEST for the message of that number; short ones are more likely. */
uint32_t message_length(uint64_t seed, uint64_t number, uint32_t longest);

/* The content of that message: it has the first bytes of these MESSAGE_LONGEST. */
const uint8_t *message_content(uint64_t number);

/* Are these LEN bytes the start of the content of that message? */
bool message_is(uint64_t number, const void *bytes, size_t len);

#endif
