/* SPDX-License-Identifier: MIT */
/* What the suites of broadcast queues share: a queue, numbered messages, and who received which. */
#ifndef TEST_BROADCAST_QUEUE_H
#define TEST_BROADCAST_QUEUE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>

#include <shmring/shmring.h>

#include "support.h"

enum { CAST_RING = 4096, CAST_LEN = 100, CAST_RECORD = 104 };

/* How many messages of CAST_LEN a lapped consumer finds in the ring, at least. */
enum { CAST_LEFT = (CAST_RING * 14 / 16 - 2 * CAST_RECORD - 512) / CAST_RECORD };

/* A queue with that many rows for consumers, and its producer. */
static inline shmring_t *cast_create(const char *name, uint64_t capacity, uint32_t rows)
{
    const struct shmring_config config = {.kind = SHMRING_BROADCAST,
                                          .capacity = capacity,
                                          .max_participants = rows,
                                          .flags = SHMRING_PRODUCER};
    shmring_t *q;

    cr_assert_eq(shmring_create(&q, name, &config), 0, "%s", shmring_strerror_detail());
    return q;
}

static inline shmring_t *cast_attach(const shmring_t *q, unsigned flags)
{
    shmring_t *copy;

    cr_assert_eq(shmring_dup(&copy, q, flags), 0, "%s", shmring_strerror_detail());
    return copy;
}

/* Message `number`: its number, CAST_LEN / 8 times or a bit more. */
static inline void cast_fill(uint64_t number, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)((number >> i % 8 * 8) + i / 8);
}

static inline bool cast_is(uint64_t number, const void *bytes, size_t len)
{
    uint8_t expected[1024];

    cast_fill(number, expected, len);
    return memcmp(bytes, expected, len) == 0;
}

static inline void cast_send(shmring_t *producer, uint64_t first, uint32_t n)
{
    uint8_t bytes[CAST_LEN];

    for (uint64_t i = first; i < first + n; i++) {
        cast_fill(i, bytes, sizeof bytes);
        cr_assert_eq(shmring_send(producer, bytes, sizeof bytes), 0, "message %d: %s", (int)i,
                     shmring_strerror_detail());
    }
}

static inline void cast_receives(shmring_t *consumer, uint64_t first, uint32_t n)
{
    uint8_t bytes[1024];

    for (uint64_t i = first; i < first + n; i++) {
        const ssize_t r = shmring_recv(consumer, bytes, sizeof bytes);
        cr_assert_eq(r, CAST_LEN, "message %d: %d (%s)", (int)i, (int)r, shmring_strerror_detail());
        cr_assert(cast_is(i, bytes, CAST_LEN), "message %d", (int)i);
    }
}

static inline void cast_is_empty(shmring_t *consumer)
{
    uint8_t bytes[1024];

    cr_assert_eq(shmring_recv(consumer, bytes, sizeof bytes), -EAGAIN);
}

/* How many messages this handle has missed. */
static inline uint64_t cast_missed(shmring_t *consumer)
{
    struct shmring_stat st;

    cr_assert_eq(shmring_stat(consumer, &st), 0);
    return st.missed_here;
}

/* The row of the only participant with that role. */
static inline struct shmring_participant cast_participant(shmring_t *q, uint32_t role)
{
    struct shmring_participant rows[16];
    const int n = shmring_participants(q, rows, 16);

    for (int i = 0; i < n; i++)
        if (rows[i].role == role)
            return rows[i];
    cr_assert_fail("no participant with role %u", role);
    return rows[0];
}

#endif
