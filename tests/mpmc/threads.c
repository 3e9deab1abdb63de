/* SPDX-License-Identifier: MIT */
/*
 * Several producers and consumers in threads, with deaths and recovery. They share one mapping and
 * use lib/mpmc/participant.h on it, so that ThreadSanitizer sees all of them at the same addresses.
 * In another test, threads open and close handles of one queue all the time.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "lib/mpmc/participant.h"
#include "messages.h"
#include "oracle.h"
#include "support.h"

enum { CAPACITY = 16, LONGEST = 100, MESSAGES = 30000 };
enum { PRODUCERS = 3, CONSUMERS = 3, ROWS = PRODUCERS + CONSUMERS + 1 };

/* For threads, where Criterion's assertions do not work: a failure ends the whole test. */
#define thread_assert(Condition) child_assert(Condition)

static struct shmr_geometry geometry;
static struct shmr_map map;
static uint64_t seed;

/* Messages released; each counts once, because a dead participant releases nothing. */
static _Atomic uint32_t delivered;
static struct oracle *oracle;

/* Dead participants, by row: their thread uses them no more. */
static pthread_mutex_t dead_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t dead_change = PTHREAD_COND_INITIALIZER;
static bool dead[ROWS];
static bool over;
static uint64_t recovered;

static void map_memory(void)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .capacity = CAPACITY,
                                          .max_message = LONGEST,
                                          .max_participants = ROWS};

    cr_assert_eq(shmr_geometry(&geometry, &config), 0);
    map.base = aligned_alloc(geometry.page_size, (size_t)geometry.segment_size);
    cr_assert_not_null(map.base);
    memset(map.base, 0, (size_t)geometry.segment_size);
    map.producer = map.base + geometry.producer;
    map.table = map.base + geometry.table;
    map.consumer = map.base + geometry.consumer;
    map.data = map.base + geometry.data;
    oracle = oracle_new(PRODUCERS, MESSAGES);
    cr_assert_not_null(oracle);
    oracle->noted = true;
}

static void free_memory(void)
{
    free(map.base);
    oracle_free(oracle);
}

/* Leave what the participant of that row holds to the recoverer, wait for the recovery, and go on
 * as a new participant. */
static void die(struct shmr_mpmc_participant *p, uint32_t row)
{
    pthread_mutex_lock(&dead_lock);
    dead[row] = true;
    pthread_cond_broadcast(&dead_change);
    while (dead[row])
        pthread_cond_wait(&dead_change, &dead_lock);
    pthread_mutex_unlock(&dead_lock);
    shmr_mpmc_participant_init(p, &geometry, &map, row);
}

static int send_or_commit(struct shmr_mpmc_participant *p, uint64_t message, bool in_place)
{
    const uint32_t length = oracle_length(message, LONGEST);
    uint8_t bytes[LONGEST];
    void *block = NULL;

    if (!in_place) {
        oracle_write(message, bytes, length);
        return shmr_mpmc_send(p, bytes, length);
    }
    const int r = shmr_mpmc_reserve(p, LONGEST, &block);
    if (r < 0)
        return r;
    oracle_write(message, block, length);
    return shmr_mpmc_commit(p, block, length);
}

static void *produce(void *argument)
{
    const uint32_t producer = (uint32_t)(uintptr_t)argument;
    uint64_t state = seed + producer;
    struct shmr_mpmc_participant p;
    void *block = NULL;

    shmr_mpmc_participant_init(&p, &geometry, &map, producer);
    for (uint32_t number = 0; number < MESSAGES;) {
        const uint32_t way = test_random_below(&state, 1000);
        if (way == 0) { /* die while it owns a block that it was about to fill */
            if (shmr_mpmc_reserve(&p, LONGEST, &block) == 0)
                memset(block, 0xff, LONGEST);
            die(&p, producer);
        }
        oracle_begin(&oracle->sent[producer], number + 1);
        const int r = send_or_commit(&p, oracle_name(producer, number), way % 2);
        thread_assert(r == 0 || r == -EAGAIN);
        number += r == 0;
        oracle_settle(&oracle->sent[producer], number);
        if (r < 0)
            sched_yield();
    }
    return NULL;
}

static void judge(const void *msg, ssize_t len, const struct shmring_info *info,
                  struct oracle_reader *reader)
{
    uint64_t message;

    thread_assert((info->flags == SHMRING_REDELIVERED) == (info->deliveries > 1));
    child_judge(oracle_read(&message, msg, (size_t)len, LONGEST));
    child_judge(oracle_receive(oracle, reader, message, info->flags));
}

static void *consume(void *argument)
{
    const uint32_t row = (uint32_t)(uintptr_t)argument;
    uint64_t state = seed + row;
    struct oracle_reader reader = oracle_reader(false);
    struct shmr_mpmc_participant p;
    const void *msg[2];
    struct shmring_info info = {0};

    shmr_mpmc_participant_init(&p, &geometry, &map, row);
    while (atomic_load(&delivered) < PRODUCERS * MESSAGES) {
        const uint32_t way = test_random_below(&state, 1000);
        int n = 0;
        ssize_t len;
        while (n < 2 && (len = shmr_mpmc_peek(&p, &msg[n], &info)) >= 0)
            judge(msg[n++], len, &info, &reader);
        if (n == 0)
            sched_yield();
        if (way == 0) {
            oracle_receiver_may_die(oracle);
            die(&p, row);
            continue;
        }
        while (n-- > 0) {
            thread_assert(shmr_mpmc_release(&p, msg[n]) == 0);
            atomic_fetch_add(&delivered, 1);
        }
    }
    return NULL;
}

/* Recovers dead participants one after the other, while the other threads go on. */
static void *recover(void *unused)
{
    struct shmr_mpmc_participant p;
    struct shmr_recovered report = {0};

    (void)unused;
    shmr_mpmc_participant_init(&p, &geometry, &map, ROWS - 1);
    pthread_mutex_lock(&dead_lock);
    while (!over) {
        for (uint32_t row = 0; row < ROWS; row++) {
            if (!dead[row])
                continue;
            pthread_mutex_unlock(&dead_lock);
            shmr_mpmc_recover(&p.queue, row, (struct shmr_row *)(void *)map.table + row, false,
                              &report);
            pthread_mutex_lock(&dead_lock);
            dead[row] = false;
            pthread_cond_broadcast(&dead_change);
        }
        if (!over)
            pthread_cond_wait(&dead_change, &dead_lock);
    }
    pthread_mutex_unlock(&dead_lock);
    thread_assert(report.left == 0 && report.dropped == 0);
    recovered = report.redelivered + report.freed;
    return NULL;
}

Test(mpmc_threads, what_is_sent_comes_whatever_dies, .init = map_memory, .fini = free_memory,
     .timeout = 60)
{
    pthread_t threads[ROWS];
    struct shmr_mpmc_participant p;
    uint64_t lost, came;

    seed = test_seed();
    for (uintptr_t i = 0; i < ROWS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL,
                                    i < PRODUCERS  ? produce
                                    : i < ROWS - 1 ? consume
                                                   : recover,
                                    (void *)i),
                     0);
    for (int i = 0; i < ROWS - 1; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_lock(&dead_lock);
    over = true;
    pthread_cond_broadcast(&dead_change);
    pthread_mutex_unlock(&dead_lock);
    pthread_join(threads[ROWS - 1], NULL);

    cr_assert_gt(recovered, 0);
    cr_assert_eq(oracle_end_all(oracle, &lost, &came), ORACLE_RIGHT, "message %d.%d was lost",
                 (int)oracle_stream(lost), (int)oracle_number(lost));
    cr_assert_eq(came, PRODUCERS * MESSAGES);
    shmr_mpmc_participant_init(&p, &geometry, &map, 0);
    for (int i = 0; i <= CAPACITY; i++)
        cr_assert_eq(shmr_mpmc_send(&p, "x", 1), i < CAPACITY ? 0 : -EAGAIN, "%d fit", i);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

enum { GUESTS = 4, VISITS = 150 };

static shmring_t *host;
static _Atomic uint64_t brought, taken;

static void *visit(void *argument)
{
    uint64_t state = seed + (uintptr_t)argument;

    for (int i = 0; i < VISITS; i++) {
        struct shmring_info info = {0};
        const void *msg;
        shmring_t *q;
        void *block;
        thread_assert(shmring_dup(&q, host, SHMRING_PRODUCER | SHMRING_CONSUMER) == 0);
        for (int k = 0; k < 20; k++) {
            atomic_fetch_add(&brought, shmring_send(q, "message", 7) == 0);
            if (shmring_peek(q, &msg, &info) >= 0) {
                thread_assert(memcmp(msg, "message", 7) == 0);
                thread_assert(shmring_release(q, msg) == 0);
                atomic_fetch_add(&taken, 1);
            }
        }
        (void)shmring_reserve(q, 5, &block);
        (void)shmring_peek(q, &msg, &info);
        thread_assert(shmring_recover(q, NULL) == 0);
        if (test_random_below(&state, 4) == 0)
            sched_yield();
        shmring_close(&q);
    }
    return NULL;
}

Test(mpmc_threads, handles_come_and_go, .timeout = 60)
{
    struct shmring_participant rows[1];
    pthread_t threads[GUESTS];
    struct shmring_stat st;

    seed = test_seed();
    host = test_create_mpmc("memfd:test", SHMRING_CONSUMER, CAPACITY, LONGEST);
    const struct holdings before = test_holdings();
    for (uintptr_t i = 0; i < GUESTS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, visit, (void *)i), 0);
    for (int i = 0; i < GUESTS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(test_holdings().descriptors, before.descriptors);
    cr_assert_eq(shmring_stat(host, &st), 0);
    cr_assert_eq(st.participants, 1);
    cr_assert_eq(st.dead, 0);
    cr_assert_eq(st.sent, brought);
    cr_assert_eq(st.received, taken);
    cr_assert_eq(st.depth, brought - taken);
    cr_assert_eq(shmring_participants(host, rows, 1), 1);
    cr_assert_eq(rows[0].held, 0);
    shmring_close(&host);
}
