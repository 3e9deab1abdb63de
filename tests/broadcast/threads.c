/* SPDX-License-Identifier: MIT */
/*
 * One producer and several consumers in threads. Under ThreadSanitizer the handles also share one
 * mapping, so that it sees all sides at the same addresses: payloads go through
 * lib/broadcast/racy.h, and all else is ordered.
 */
#include <config.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/core/handle.h"
#include "messages.h"
#include "queue.h"

enum { MESSAGES = 60000, LONGEST = 600, BATCH = 8, CONSUMERS = 3 };

static shmring_t *producer;
static uint64_t seed;
static _Atomic bool sent_all;

/* All that each thread does with its handle. */
static struct receiver {
    shmring_t *q;
    bool reliable;
    uint64_t received, missed;
} receivers[CONSUMERS];

static uint32_t length_of(uint64_t number)
{
    return 8 + message_length(seed, number, LONGEST - 8);
}

static void fill(uint64_t number, uint8_t *bytes)
{
    memcpy(bytes, &number, 8);
    memcpy(bytes + 8, message_content(number), length_of(number) - 8);
}

/* In a thread, where Criterion's assertions do not work either, the whole test ends. */
#define thread_assert(Condition) child_assert(Condition)

static void check(uint64_t number, const void *bytes, ssize_t len)
{
    thread_assert(len == (ssize_t)length_of(number));
    thread_assert(memcmp(bytes, &number, 8) == 0);
    thread_assert(message_is(number, (const uint8_t *)bytes + 8, (size_t)len - 8));
}

/* ---- Sending --------------------------------------------------------------------------------- */

static uint64_t send_one(uint64_t number, unsigned flags)
{
    uint8_t bytes[LONGEST];

    fill(number, bytes);
    const int r = shmring_send_flags(producer, bytes, length_of(number), flags);
    thread_assert(r == 0 || r == -EAGAIN);
    return r == 0;
}

static uint64_t send_several(uint64_t number)
{
    static uint8_t bytes[BATCH][LONGEST];
    struct iovec batch[BATCH];
    int n = 0;

    for (; n < BATCH && number + (uint64_t)n < MESSAGES; n++) {
        fill(number + (uint64_t)n, bytes[n]);
        batch[n] = (struct iovec){bytes[n], length_of(number + (uint64_t)n)};
    }
    const int r = shmring_send_batch(producer, batch, n);
    thread_assert((r > 0 && r <= n) || r == -EAGAIN);
    return r > 0 ? (uint64_t)r : 0;
}

/* Only if no consumer can be lapped: the caller's own stores are not those of racy.h. */
static uint64_t send_in_place(uint64_t number)
{
    void *msg;
    const int r = shmring_reserve(producer, LONGEST, &msg);

    thread_assert(r == 0 || r == -EAGAIN);
    if (r < 0)
        return 0;
    fill(number, msg);
    thread_assert(shmring_commit(producer, msg, length_of(number)) == 0);
    return 1;
}

static void *send_all(void *in_place)
{
    uint64_t random = seed;

    for (uint64_t sent = 0; sent < MESSAGES;) {
        const uint32_t kind = test_random_below(&random, in_place ? 4 : 3);
        const uint64_t n = kind == 0   ? send_one(sent, 0)
                           : kind == 1 ? send_several(sent)
                           : kind == 2 ? send_one(sent, SHMRING_KEY)
                                       : send_in_place(sent);
        sent += n;
        if (n == 0 || test_random_below(&random, 64) == 0)
            sched_yield();
    }
    sent_all = true;
    return NULL;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static void note_lap(struct receiver *r)
{
    struct shmring_stat st;

    thread_assert(!r->reliable);
    thread_assert(shmring_stat(r->q, &st) == 0);
    r->missed = st.missed_here;
}

static bool receive_one(struct receiver *r)
{
    uint8_t buf[LONGEST];
    const ssize_t len = shmring_recv(r->q, buf, sizeof buf);

    if (len == -EOVERFLOW)
        note_lap(r);
    if (len < 0) {
        thread_assert(len == -EAGAIN || len == -EOVERFLOW);
        return len == -EOVERFLOW;
    }
    check(r->received + r->missed, buf, len);
    r->received++;
    return true;
}

static bool receive_several(struct receiver *r)
{
    uint8_t bufs[BATCH][LONGEST];
    struct iovec batch[BATCH];

    for (int i = 0; i < BATCH; i++)
        batch[i] = (struct iovec){bufs[i], LONGEST};
    const int n = shmring_recv_batch(r->q, batch, BATCH);
    if (n == -EOVERFLOW)
        note_lap(r);
    thread_assert(n > 0 || n == -EAGAIN || n == -EOVERFLOW);
    for (int i = 0; i < n; i++, r->received++)
        check(r->received + r->missed, bufs[i], (ssize_t)batch[i].iov_len);
    return n != -EAGAIN;
}

static bool receive_in_place(struct receiver *r)
{
    const void *msgs[BATCH];
    ssize_t lengths[BATCH];
    int n = 0;

    for (; n < BATCH; n++) {
        struct shmring_info info;
        lengths[n] = shmring_peek(r->q, &msgs[n], &info);
        if (lengths[n] == -EAGAIN)
            break;
        thread_assert(lengths[n] >= 0 && info.number == r->received + (uint64_t)n);
    }
    for (int i = 0; i < n; i++, r->received++) {
        check(r->received, msgs[i], lengths[i]);
        thread_assert(shmring_release(r->q, msgs[i]) == 0);
    }
    return n > 0;
}

static void *receive_all(void *arg)
{
    struct receiver *r = arg;
    uint64_t random = ~seed ^ (uint64_t)(r - receivers);

    for (bool more = true; more;) {
        const bool last = sent_all;
        const uint32_t kind = test_random_below(&random, r->reliable ? 3 : 2);
        const bool some = kind == 0   ? receive_one(r)
                          : kind == 1 ? receive_several(r)
                                      : receive_in_place(r);
        if (!some || (!r->reliable && test_random_below(&random, 200) == 0))
            sched_yield();
        more = some || !last;
    }
    thread_assert(r->received + r->missed == MESSAGES);
    return NULL;
}

/* Meanwhile consumers attach and leave, and an observer reads. */
static void *come_and_go(void *unused)
{
    const unsigned starts[] = {0, SHMRING_FROM_OLDEST, SHMRING_FROM_KEY, SHMRING_RELIABLE};
    struct shmring_participant rows[8];
    uint8_t buf[LONGEST];
    struct shmring_stat st;
    shmring_t *q;

    for (int i = 0; !sent_all; i++) {
        thread_assert(shmring_dup(&q, producer, SHMRING_CONSUMER | starts[i % 4]) == 0);
        for (int j = 0; j < 20; j++) {
            const ssize_t len = shmring_recv(q, buf, sizeof buf);
            uint64_t number;
            thread_assert(len >= 8 || len == -EAGAIN || (len == -EOVERFLOW && i % 4 != 3));
            if (len < 0)
                continue;
            memcpy(&number, buf, 8);
            check(number, buf, len);
        }
        thread_assert(shmring_skip(q) >= 0);
        thread_assert(shmring_stat(q, &st) == 0 && st.sent <= MESSAGES);
        thread_assert(shmring_participants(q, rows, 8) >= 2);
        shmring_close(&q);
        sched_yield();
    }
    return unused;
}

/* ---- Together -------------------------------------------------------------------------------- */

/* The consumers work on the producer's mapping: nothing else of the handles is shared. */
static void share_mapping(shmring_t *q)
{
    q->broadcast.consumer.ring = producer->broadcast.producer.ring;
    if (q->row != UINT32_MAX)
        q->broadcast.consumer.row = shmr_broadcast_row_at(producer->map.table, q->row);
}

static void run(uint64_t capacity, unsigned reliable, bool shared, bool others)
{
    pthread_t sender, threads[CONSUMERS], other;

    seed = test_seed();
    message_content(0); /* made now, not by two threads */
    producer = cast_create("memfd:test", capacity, CONSUMERS + 1);
    for (int i = 0; i < CONSUMERS; i++) {
        const bool is_reliable = reliable >> i & 1;
        receivers[i] = (struct receiver){
            .q = cast_attach(producer,
                             SHMRING_CONSUMER | (is_reliable ? (unsigned)SHMRING_RELIABLE : 0)),
            .reliable = is_reliable};
        if (shared)
            share_mapping(receivers[i].q);
    }
    for (int i = 0; i < CONSUMERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, receive_all, &receivers[i]), 0);
    cr_assert_eq(pthread_create(&sender, NULL, send_all, reliable == 7 && !others ? &seed : NULL),
                 0);
    if (others)
        cr_assert_eq(pthread_create(&other, NULL, come_and_go, NULL), 0);
    pthread_join(sender, NULL);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(threads[i], NULL);
    if (others)
        pthread_join(other, NULL);
    for (int i = 0; i < CONSUMERS; i++)
        shmring_close(&receivers[i].q);
    struct shmring_stat st;
    cr_assert_eq(shmring_stat(producer, &st), 0);
    cr_assert_eq(st.sent, MESSAGES);
    shmring_close(&producer);
}

Test(broadcast_threads, reliable_consumers_in_a_small_ring, .timeout = 240)
{
    run(4096, 7, false, false);
}

Test(broadcast_threads, reliable_consumers_at_the_same_addresses, .timeout = 240)
{
    run(16384, 7, true, false);
}

Test(broadcast_threads, lapped_consumers_in_a_small_ring, .timeout = 240)
{
    run(4096, 0, false, false);
}

Test(broadcast_threads, lapped_consumers_at_the_same_addresses, .timeout = 240)
{
    run(4096, 0, true, false);
}

Test(broadcast_threads, one_reliable_consumer_beside_others, .timeout = 240)
{
    run(8192, 2, true, false);
}

Test(broadcast_threads, consumers_come_and_go, .timeout = 240)
{
    run(8192, 1, false, true);
}

Test(broadcast_threads, consumers_come_and_go_beside_reliable_ones, .timeout = 240)
{
    run(1 << 16, 7, false, true);
}
