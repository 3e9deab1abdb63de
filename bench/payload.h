/* SPDX-License-Identifier: MIT */
/*
 * The content of messages: 64-bit words, the first the message's sequence number, each next one
 * PAYLOAD_STEP more, the last cut off at the size. It is written and checked at the speed of
 * memory, so that every byte of every message can be without hiding the transport's cost: so the
 * benchmark does not use the tests' own check, tests/support/oracle.h, which takes longer than a
 * fast transport.
 */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PAYLOAD_STEP UINT64_C(0x9e3779b97f4a7c15)

/* Choose the widest vectors this processor has. Call it once, first. */
void payload_init(void);

enum { PAYLOAD_SHORT = 32, PAYLOAD_MEDIUM = 512 };

/* For messages that are not short: with vectors. */
void payload_fill_long(void *payload, size_t size, uint64_t seq);
uint64_t payload_check_long(const void *payload, size_t size, uint64_t seq);

static inline void payload_fill(void *payload, size_t size, uint64_t seq)
{
    unsigned char *p = (unsigned char *)payload;
    if (size > PAYLOAD_SHORT) {
        payload_fill_long(p, size, seq);
        return;
    }
    for (; size >= 8; size -= 8, p += 8, seq += PAYLOAD_STEP)
        memcpy(p, &seq, 8);
    for (; size > 0; size--, seq >>= 8)
        *p++ = (unsigned char)seq;
}

/* Returns 0 when payload is message seq. */
static inline uint64_t payload_check(const void *payload, size_t size, uint64_t seq)
{
    const unsigned char *p = (const unsigned char *)payload;
    uint64_t wrong = 0;
    if (size > PAYLOAD_SHORT)
        return payload_check_long(p, size, seq);
    for (; size >= 8; size -= 8, p += 8, seq += PAYLOAD_STEP) {
        uint64_t word;
        memcpy(&word, p, 8);
        wrong |= word ^ seq;
    }
    for (; size > 0; size--, seq >>= 8)
        wrong |= *p++ ^ (seq & 0xff);
    return wrong;
}

#ifdef __cplusplus
}
#endif

#endif
