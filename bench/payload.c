/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "payload.h"

static const uint64_t steps[4] = {0, PAYLOAD_STEP, 2 * PAYLOAD_STEP, 3 * PAYLOAD_STEP};

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 4")
#endif

/* The same two loops for vectors of BYTES bytes, compiled for the processors that TARGET names. */
#define DEFINE_PAYLOAD(NAME, BYTES, TARGET)                                                        \
    typedef uint64_t NAME##_vector __attribute__((vector_size(BYTES), aligned(1), may_alias));     \
                                                                                                   \
    TARGET static void NAME##_fill(void *payload, size_t size, uint64_t seq)                       \
    {                                                                                              \
        unsigned char *p = payload;                                                                \
        NAME##_vector v = *(const NAME##_vector *)steps + seq;                                     \
        UNROLL                                                                                     \
        for (; size >= BYTES; size -= BYTES, p += BYTES, v += BYTES / 8 * PAYLOAD_STEP)            \
            *(NAME##_vector *)(void *)p = v;                                                       \
        payload_fill(p, size, v[0]);                                                               \
    }                                                                                              \
                                                                                                   \
    TARGET static uint64_t NAME##_check(const void *payload, size_t size, uint64_t seq)            \
    {                                                                                              \
        const unsigned char *p = payload;                                                          \
        NAME##_vector v = *(const NAME##_vector *)steps + seq, wrong = {0};                        \
        UNROLL                                                                                     \
        for (; size >= BYTES; size -= BYTES, p += BYTES, v += BYTES / 8 * PAYLOAD_STEP)            \
            wrong |= *(const NAME##_vector *)(const void *)p ^ v;                                  \
        uint64_t any = payload_check(p, size, v[0]);                                               \
        for (unsigned i = 0; i < BYTES / 8; i++)                                                   \
            any |= wrong[i];                                                                       \
        return any;                                                                                \
    }

DEFINE_PAYLOAD(plain, 16, )
#ifdef __x86_64__
DEFINE_PAYLOAD(avx2, 32, __attribute__((target("avx2"))))
#endif

static void (*widest_fill)(void *payload, size_t size, uint64_t seq) = plain_fill;
static uint64_t (*widest_check)(const void *payload, size_t size, uint64_t seq) = plain_check;

void payload_init(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        widest_fill = avx2_fill;
        widest_check = avx2_check;
    }
#endif
}

void payload_fill_long(void *payload, size_t size, uint64_t seq)
{
    widest_fill(payload, size, seq);
}

uint64_t payload_check_long(const void *payload, size_t size, uint64_t seq)
{
    /* A load that spans two stores which have not reached the cache waits for both. Short messages
     * were just copied here by 16 bytes at a time. So they are checked by 16 bytes, as a program
     * would read their fields. */
    return size <= PAYLOAD_MEDIUM ? plain_check(payload, size, seq)
                                  : widest_check(payload, size, seq);
}
