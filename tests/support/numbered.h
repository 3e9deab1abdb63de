/* SPDX-License-Identifier: MIT */
/* Messages whose length and bytes follow from their number, the same in every build. */
#ifndef TEST_ABI_NUMBERED_H
#define TEST_ABI_NUMBERED_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBERED_LONGEST = 100 };

/* Write message N. Returns its length. */
static inline size_t numbered(char text[NUMBERED_LONGEST], uint32_t n)
{
    const size_t length = n * 37 % (NUMBERED_LONGEST + 1);

    for (size_t i = 0; i < length; i++)
        text[i] = (char)(n * 31 + i * 7);
    return length;
}

/* "N-M", or "N" alone. */
static inline void numbered_range(const char *text, uint32_t *first, uint32_t *last)
{
    char *end;

    *first = *last = (uint32_t)strtoul(text, &end, 10);
    if (*end == '-')
        *last = (uint32_t)strtoul(end + 1, NULL, 10);
}

#endif
