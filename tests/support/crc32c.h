/* SPDX-License-Identifier: MIT */
/* CRC-32C by its definition, the remainder of a polynomial division; independent of the library's
 * code. */
#ifndef TEST_CRC32C_H
#define TEST_CRC32C_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t crc32c(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint32_t remainder = 0xffffffff;

    for (size_t bit = 0; bit < n * 8; bit++) {
        const uint32_t out = (remainder ^ (uint32_t)(p[bit / 8] >> bit % 8)) & 1;
        remainder = (remainder >> 1) ^ (out ? 0x82f63b78 : 0);
    }
    return ~remainder;
}

#endif
