/* SPDX-License-Identifier: MIT */
/* A producer and a consumer of one mpmc queue, and numbered messages between them. */
#ifndef TEST_MPMC_PAIR_H
#define TEST_MPMC_PAIR_H

#include <errno.h>

#include "messages.h"
#include "support.h"

enum { CAPACITY = 8, LONGEST = 100 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static shmring_t *producer, *consumer;

static inline shmring_t *attach(const shmring_t *q, unsigned roles)
{
    shmring_t *copy;

    cr_assert_eq(shmring_dup(&copy, q, roles), 0, "%s", shmring_strerror_detail());
    return copy;
}

static inline void open_both(void)
{
    producer = test_create_mpmc("memfd:test", SHMRING_PRODUCER, CAPACITY, LONGEST);
    consumer = attach(producer, SHMRING_CONSUMER);
}

static inline void close_both(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
}

static inline int send_number(uint64_t number, uint32_t len)
{
    return shmring_send(producer, message_content(number), len);
}

static inline void send_numbers(uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++)
        cr_assert_eq(send_number(i, 10), 0);
}

static inline void assert_receives(uint64_t number, uint32_t len)
{
    uint8_t buf[LONGEST];

    cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), len);
    cr_assert(message_is(number, buf, len), "not message %d", (int)number);
}

static inline void assert_empty(void)
{
    cr_assert_eq(shmring_recv(consumer, NULL, 0), -EAGAIN);
}

static inline const void *peek_number(uint64_t number, uint32_t len, uint32_t deliveries)
{
    struct shmring_info info;
    const void *msg;

    cr_assert_eq(shmring_peek(consumer, &msg, &info), len);
    cr_assert(message_is(number, msg, len), "not message %d", (int)number);
    cr_assert_eq((uintptr_t)msg % 8, 0);
    cr_assert_eq(info.deliveries, deliveries, "%u deliveries", info.deliveries);
    cr_assert_eq(info.flags, deliveries > 1 ? SHMRING_REDELIVERED : 0);
    return msg;
}

static inline void *reserve_number(uint64_t number, uint32_t len)
{
    void *msg = NULL;

    cr_assert_eq(shmring_reserve(producer, len, &msg), 0);
    cr_assert_eq((uintptr_t)msg % 8, 0);
    memcpy(msg, message_content(number), len);
    return msg;
}

/* Assert that exactly count messages fit into the queue. */
static inline void assert_fits(shmring_t *q, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        cr_assert_eq(shmring_send(q, "x", 1), 0, "%d of %d", (int)i, (int)count);
    cr_assert_eq(shmring_send(q, "x", 1), -EAGAIN, "more than %d fit", (int)count);
}

static inline struct shmring_stat stat_of(shmring_t *q)
{
    struct shmring_stat st;

    cr_assert_eq(shmring_stat(q, &st), 0);
    return st;
}

#endif
