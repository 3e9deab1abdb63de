/* SPDX-License-Identifier: MIT */
/*
 * A producer and a consumer in two threads, with all operations. Under ThreadSanitizer the two
 * handles also share one mapping, so that it sees both sides at the same addresses.
 * tests/support/oracle.h needs messages of 8 bytes for their names; these may be shorter, and the
 * only consumer knows which one must come.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "lib/core/handle.h"
#include "messages.h"
#include "support.h"

enum { MESSAGES = 100000, LONGEST = 600, BATCH = 8 };

static shmring_t *producer, *consumer;
static uint64_t seed;
static _Atomic bool done;

static uint32_t length_of(uint64_t number)
{
    return message_length(seed, number, LONGEST);
}

/* For threads, where Criterion's assertions do not work: a failure ends the whole test. */
#define thread_assert(Condition) child_assert(Condition)

static void let_the_other_run(int *misses)
{
    if (++*misses % 64 == 0)
        sched_yield();
}

/* ---- Sending: each sends what begins with message NUMBER and returns how many it sent ------- */

static uint64_t send_one(uint64_t number)
{
    const int r = shmring_send(producer, message_content(number), length_of(number));

    thread_assert(r == 0 || r == -EAGAIN);
    return r == 0;
}

static uint64_t send_several(uint64_t number)
{
    struct iovec batch[BATCH];
    int n = 0;

    for (; n < BATCH && number + (uint64_t)n < MESSAGES; n++)
        batch[n] = (struct iovec){(void *)(uintptr_t)message_content(number + (uint64_t)n),
                                  length_of(number + (uint64_t)n)};
    const int r = shmring_send_batch(producer, batch, n);
    thread_assert((r > 0 && r <= n) || r == -EAGAIN);
    return r > 0 ? (uint64_t)r : 0;
}

static uint64_t send_in_place(uint64_t number)
{
    const uint32_t len = length_of(number), more = len + (uint32_t)(number % 3) * 50;
    void *msg;
    const int r = shmring_reserve(producer, more, &msg);

    thread_assert(r == 0 || r == -EAGAIN);
    if (r < 0)
        return 0;
    memset(msg, 0xff, more);
    if (number % 5 == 0) {
        thread_assert(shmring_cancel(producer, msg) == 0);
        return send_one(number);
    }
    memcpy(msg, message_content(number), len);
    thread_assert(shmring_commit(producer, msg, len) == 0);
    return 1;
}

static void *send_all(void *unused)
{
    uint64_t random = seed;
    int misses = 0;

    for (uint64_t sent = 0; sent < MESSAGES;) {
        const uint32_t kind = test_random_below(&random, 3);
        const uint64_t n = kind == 0   ? send_one(sent)
                           : kind == 1 ? send_several(sent)
                                       : send_in_place(sent);
        sent += n;
        if (n == 0)
            let_the_other_run(&misses);
    }
    return unused;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static uint64_t receive_one(uint64_t number)
{
    uint8_t buf[LONGEST];
    const ssize_t len = shmring_recv(consumer, buf, sizeof buf);

    if (len == -EAGAIN)
        return 0;
    thread_assert(len == (ssize_t)length_of(number));
    thread_assert(message_is(number, buf, (size_t)len));
    return 1;
}

static uint64_t receive_several(uint64_t number)
{
    static uint8_t bufs[BATCH][LONGEST];
    struct iovec batch[BATCH];

    for (int i = 0; i < BATCH; i++)
        batch[i] = (struct iovec){bufs[i], LONGEST};
    const int n = shmring_recv_batch(consumer, batch, BATCH);
    thread_assert(n > 0 || n == -EAGAIN);
    for (int i = 0; i < n; i++) {
        thread_assert(batch[i].iov_len == length_of(number + (uint64_t)i));
        thread_assert(message_is(number + (uint64_t)i, bufs[i], batch[i].iov_len));
    }
    return n > 0 ? (uint64_t)n : 0;
}

static uint64_t receive_in_place(uint64_t number)
{
    const void *msgs[BATCH];
    uint64_t n = 0;

    for (; n < BATCH; n++) {
        struct shmring_info info;
        const ssize_t len = shmring_peek(consumer, &msgs[n], &info);
        if (len == -EAGAIN)
            break;
        thread_assert(len == (ssize_t)length_of(number + n));
        thread_assert(info.deliveries == 1 && info.flags == 0);
    }
    for (uint64_t i = 0; i < n; i++) {
        thread_assert(message_is(number + i, msgs[i], length_of(number + i)));
        thread_assert(shmring_release(consumer, msgs[i]) == 0);
    }
    return n;
}

static void *receive_all(void *unused)
{
    uint64_t random = ~seed;
    int misses = 0;

    for (uint64_t received = 0; received < MESSAGES;) {
        const uint32_t kind = test_random_below(&random, 3);
        const uint64_t n = kind == 0   ? receive_one(received)
                           : kind == 1 ? receive_several(received)
                                       : receive_in_place(received);
        received += n;
        if (n == 0)
            let_the_other_run(&misses);
    }
    thread_assert(receive_one(MESSAGES) == 0);
    return unused;
}

/* ---- Together -------------------------------------------------------------------------------- */

/* An observer that opens and closes handles meanwhile. */
static void *observe(void *unused)
{
    struct shmring_stat st;
    shmring_t *q;

    while (!done) {
        thread_assert(shmring_dup(&q, producer, SHMRING_OBSERVER) == 0);
        thread_assert(shmring_stat(q, &st) == 0);
        thread_assert(st.participants == 2);
        thread_assert(st.sent <= MESSAGES && st.received <= MESSAGES);
        shmring_close(&q);
        sched_yield();
    }
    return unused;
}

static void run_threads(void)
{
    pthread_t sender, receiver, observer;
    struct shmring_stat st;

    seed = test_seed();
    message_content(0); /* the first call makes the random bytes: not in two threads */
    cr_assert_eq(pthread_create(&sender, NULL, send_all, NULL), 0);
    cr_assert_eq(pthread_create(&receiver, NULL, receive_all, NULL), 0);
    cr_assert_eq(pthread_create(&observer, NULL, observe, NULL), 0);
    pthread_join(sender, NULL);
    pthread_join(receiver, NULL);
    done = true;
    pthread_join(observer, NULL);
    cr_assert_eq(shmring_stat(producer, &st), 0);
    cr_assert_eq(st.sent, MESSAGES);
    cr_assert_eq(st.received, MESSAGES);
    cr_assert_eq(st.sent_bytes, st.received_bytes);
    cr_assert_eq(st.depth_bytes, 0);
}

static void open_both(uint64_t capacity)
{
    producer = test_create("memfd:test", SHMRING_PRODUCER, capacity);
    cr_assert_eq(shmring_dup(&consumer, producer, SHMRING_CONSUMER), 0);
}

static void close_both(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
}

Test(spsc_threads, a_small_ring, .timeout = 120)
{
    open_both(4096);
    run_threads();
    close_both();
}

Test(spsc_threads, a_large_ring, .timeout = 120)
{
    open_both(1 << 20);
    run_threads();
    close_both();
}

/* Let the consumer use the producer's mapping. The two handles share nothing else. */
static void share_mapping(void)
{
    const struct shmr_map *map = &producer->map;

    cr_assert_eq(
        mprotect(map->consumer, (size_t)(map->data - map->consumer), PROT_READ | PROT_WRITE), 0);
    consumer->spsc.consumer.data = map->data;
    consumer->spsc.consumer.page = (void *)map->consumer;
}

Test(spsc_threads, a_small_ring_at_the_same_addresses, .timeout = 120)
{
    open_both(4096);
    share_mapping();
    run_threads();
    close_both();
}

Test(spsc_threads, a_large_ring_at_the_same_addresses, .timeout = 120)
{
    open_both(1 << 16);
    share_mapping();
    run_threads();
    close_both();
}
