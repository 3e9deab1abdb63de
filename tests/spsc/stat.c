/* SPDX-License-Identifier: MIT */
/* What an observer of an spsc queue reads: counters, depth, high-water mark, and how often it was
 * full and empty. */
#include <config.h>

#include <errno.h>
#include <signal.h>

#include "lib/core/handle.h"
#include "messages.h"
#include "spsc_pages.h"
#include "support.h"

enum { CAPACITY = 4096, LEN = 100, RECORD = 104, ROOM = (CAPACITY - 8) / RECORD };

static char name[TEST_NAME_SIZE];
static shmring_t *observer, *producer, *consumer;
static struct shmring_stat st;

static void setup(void)
{
    test_name(name);
    producer = test_create(name, SHMRING_PRODUCER, CAPACITY);
    cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    cr_assert_eq(shmring_open(&observer, name, SHMRING_OBSERVER), 0);
}

static void teardown(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_close(&observer);
}

static int send_one(void)
{
    return shmring_send(producer, message_content(0), LEN);
}

static ssize_t receive_one(void)
{
    uint8_t buf[LEN];

    return shmring_recv(consumer, buf, LEN);
}

static void read_stat(void)
{
    cr_assert_eq(shmring_stat(observer, &st), 0);
}

static void assert_counts(uint64_t sent, uint64_t sent_bytes, uint64_t received,
                          uint64_t received_bytes)
{
    read_stat();
    cr_assert_eq(st.sent, sent);
    cr_assert_eq(st.sent_bytes, sent_bytes);
    cr_assert_eq(st.received, received);
    cr_assert_eq(st.received_bytes, received_bytes);
    cr_assert_eq(st.depth, sent - received);
}

/* ---- Counters -------------------------------------------------------------------------------- */

Test(spsc_stat, a_new_queue_has_counted_nothing, .init = setup, .fini = teardown)
{
    assert_counts(0, 0, 0, 0);
    cr_assert_eq(st.capacity, CAPACITY);
    cr_assert_eq(st.max_message, CAPACITY - 16);
    cr_assert_eq(st.depth_bytes, 0);
    cr_assert_eq(st.high_water, 0);
    cr_assert_eq(st.full_events, 0);
    cr_assert_eq(st.empty_events, 0);
    cr_assert_eq(st.takeovers, 0);
}

Test(spsc_stat, what_is_sent_and_received_is_counted, .init = setup, .fini = teardown)
{
    uint8_t bufs[2][LEN] = {0};
    struct iovec out[] = {{bufs[0], 7}, {bufs[1], 0}}, in[] = {{bufs[0], LEN}, {bufs[1], LEN}};
    const void *taken;
    void *msg;

    cr_assert_eq(shmring_send(producer, bufs, 10), 0);
    assert_counts(1, 10, 0, 0);
    cr_assert_eq(shmring_send_batch(producer, out, 2), 2);
    assert_counts(3, 17, 0, 0);
    cr_assert_eq(shmring_reserve(producer, 50, &msg), 0);
    assert_counts(3, 17, 0, 0);
    cr_assert_eq(shmring_commit(producer, msg, 30), 0);
    assert_counts(4, 47, 0, 0);
    cr_assert_eq(st.depth_bytes, 16 + 16 + 8 + 40);

    cr_assert_eq(shmring_recv(consumer, bufs, LEN), 10);
    assert_counts(4, 47, 1, 10);
    cr_assert_eq(shmring_recv_batch(consumer, in, 2), 2);
    assert_counts(4, 47, 3, 17);
    cr_assert_eq(shmring_peek(consumer, &taken, NULL), 30);
    assert_counts(4, 47, 3, 17);
    cr_assert_eq(st.depth_bytes, 40, "a message that is held is still in the queue");
    cr_assert_eq(shmring_release(consumer, taken), 0);
    assert_counts(4, 47, 4, 47);
    cr_assert_eq(st.depth_bytes, 0);
}

Test(spsc_stat, what_failed_is_not_counted, .init = setup, .fini = teardown)
{
    void *msg;

    cr_assert_eq(shmring_send(producer, NULL, CAPACITY), -EMSGSIZE);
    cr_assert_eq(shmring_reserve(producer, LEN, &msg), 0);
    cr_assert_eq(shmring_cancel(producer, msg), 0);
    cr_assert_eq(receive_one(), -EAGAIN);
    assert_counts(0, 0, 0, 0);
    cr_assert_eq(send_one(), 0);
    cr_assert_eq(shmring_recv(consumer, NULL, 0), -EMSGSIZE);
    assert_counts(1, LEN, 0, 0);
}

Test(spsc_stat, every_handle_sees_the_same, .init = setup, .fini = teardown)
{
    struct shmring_stat other;

    for (int i = 0; i < 7; i++)
        cr_assert_eq(send_one(), 0);
    cr_assert_eq(receive_one(), LEN);
    read_stat();
    cr_assert_eq(shmring_stat(producer, &other), 0);
    cr_assert_arr_eq(&other, &st, sizeof st);
    cr_assert_eq(shmring_stat(consumer, &other), 0);
    cr_assert_arr_eq(&other, &st, sizeof st);
}

Test(spsc_stat, counters_go_on_with_the_next_handles, .init = setup, .fini = teardown)
{
    for (uint64_t i = 1; i <= 5; i++) {
        for (int j = 0; j < ROOM; j++)
            cr_assert_eq(send_one(), 0);
        cr_assert_eq(send_one(), -EAGAIN);
        for (int j = 0; j < ROOM; j++)
            cr_assert_eq(receive_one(), LEN);
        cr_assert_eq(receive_one(), -EAGAIN);
        shmring_close(&producer);
        shmring_close(&consumer);
        assert_counts(i * ROOM, i * ROOM * LEN, i * ROOM, i * ROOM * LEN);
        cr_assert_eq(st.full_events, i);
        cr_assert_eq(st.empty_events, i);
        cr_assert_geq(st.high_water, ROOM * RECORD);
        cr_assert_eq(st.takeovers, 0, "they closed");
        cr_assert_eq(shmring_open(&producer, name, SHMRING_PRODUCER), 0);
        cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
    }
}

/* The numbers are of two different moments, or of a corrupt segment. */
Test(spsc_stat, the_depth_is_never_more_than_a_ring, .init = setup, .fini = teardown)
{
    static const uint64_t positions[] = {0, 8, CAPACITY, CAPACITY + 8, UINT64_MAX};
    static const uint64_t counts[] = {0, 1, CAPACITY / 8, CAPACITY / 8 + 1, UINT64_MAX};
    struct pages pages;

    pages_map(&pages, producer);
    for (int i = 0; i < 5 * 5; i++) {
        pages.producer->progress[0].position = positions[i % 5];
        pages.producer->progress[0].messages = counts[i / 5];
        read_stat();
        cr_assert_leq(st.depth_bytes, CAPACITY);
        cr_assert_leq(st.depth * 8, st.depth_bytes);
        cr_assert_leq(st.high_water, CAPACITY);
    }
    pages_unmap(&pages);
}

/* ---- Full and empty -------------------------------------------------------------------------- */

static void assert_events(uint64_t full, uint64_t empty)
{
    read_stat();
    cr_assert_eq(st.full_events, full, "%d full events", (int)st.full_events);
    cr_assert_eq(st.empty_events, empty, "%d empty events", (int)st.empty_events);
}

Test(spsc_stat, full_counts_once_after_a_success, .init = setup, .fini = teardown)
{
    void *msg;

    for (int i = 0; i < ROOM; i++)
        cr_assert_eq(send_one(), 0);
    assert_events(0, 0);
    for (uint64_t i = 1; i < 5 * ROOM; i++) {
        for (int j = 0; j < 3; j++) {
            cr_assert_eq(send_one(), -EAGAIN);
            cr_assert_eq(shmring_reserve(producer, LEN, &msg), -EAGAIN);
        }
        assert_events(i, 0);
        cr_assert_eq(receive_one(), LEN);
        cr_assert_eq(send_one(), 0);
        assert_events(i, 0);
    }
}

Test(spsc_stat, room_found_late_is_not_full, .init = setup, .fini = teardown)
{
    for (int i = 0; i < ROOM; i++)
        cr_assert_eq(send_one(), 0);
    for (int i = 0; i < 5 * ROOM; i++) {
        cr_assert_eq(receive_one(), LEN);
        cr_assert_eq(send_one(), 0);
    }
    assert_events(0, 0);
}

Test(spsc_stat, a_batch_cut_short_is_full_the_next_time, .init = setup, .fini = teardown)
{
    struct iovec batch[2 * ROOM];

    for (int i = 0; i < 2 * ROOM; i++)
        batch[i] = (struct iovec){(void *)(uintptr_t)message_content(0), LEN};
    cr_assert_eq(shmring_send_batch(producer, batch, 2 * ROOM), ROOM);
    assert_events(0, 0);
    cr_assert_eq(shmring_send_batch(producer, batch, 1), -EAGAIN);
    cr_assert_eq(send_one(), -EAGAIN);
    assert_events(1, 0);
}

Test(spsc_stat, empty_counts_once_after_a_success, .init = setup, .fini = teardown)
{
    uint8_t buf[LEN];
    struct iovec batch[2] = {{buf, LEN}, {buf, LEN}};
    const void *msg;

    cr_assert_eq(receive_one(), -EAGAIN);
    assert_events(0, 0);
    for (uint64_t i = 1; i < 100; i++) {
        cr_assert_eq(send_one(), 0);
        if (i % 3 == 0) {
            cr_assert_eq(receive_one(), LEN);
        } else if (i % 3 == 1) {
            cr_assert_eq(shmring_peek(consumer, &msg, NULL), LEN);
            cr_assert_eq(shmring_release(consumer, msg), 0);
        } else {
            cr_assert_eq(shmring_recv_batch(consumer, batch, 2), 1);
        }
        assert_events(0, i - 1);
        for (int j = 0; j < 3; j++) {
            cr_assert_eq(receive_one(), -EAGAIN);
            cr_assert_eq(shmring_recv_batch(consumer, batch, 2), -EAGAIN);
            cr_assert_eq(shmring_peek(consumer, &msg, NULL), -EAGAIN);
        }
        assert_events(0, i);
    }
}

Test(spsc_stat, polling_for_ever_is_one_event, .init = setup, .fini = teardown)
{
    for (int i = 0; i < ROOM; i++)
        cr_assert_eq(send_one(), 0);
    cr_assert_eq(send_one(), -EAGAIN);
    producer->sending->misses = UINT32_MAX - 2;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(send_one(), -EAGAIN);
    for (int i = 0; i < ROOM; i++)
        cr_assert_eq(receive_one(), LEN);
    cr_assert_eq(receive_one(), -EAGAIN);
    consumer->receiving->misses = UINT32_MAX - 2;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(receive_one(), -EAGAIN);
    assert_events(1, 1);
}

/* ---- High-water mark ------------------------------------------------------------------------- */

static void assert_high_water(uint64_t most)
{
    read_stat();
    cr_assert_leq(st.high_water, most + CAPACITY / 8, "%d, at most %d", (int)st.high_water,
                  (int)most);
    cr_assert_geq(st.high_water + CAPACITY / 8, most, "%d, at most %d", (int)st.high_water,
                  (int)most);
}

Test(spsc_stat, the_high_water_mark_follows_the_depth, .init = setup, .fini = teardown)
{
    for (uint64_t high = 1; high <= ROOM; high++) {
        for (uint64_t i = 0; i < high; i++)
            cr_assert_eq(send_one(), 0);
        for (uint64_t i = 0; i < high; i++)
            cr_assert_eq(receive_one(), LEN);
        assert_high_water(high * RECORD);
    }
}

Test(spsc_stat, the_high_water_mark_stays, .init = setup, .fini = teardown)
{
    for (int i = 0; i < ROOM / 2; i++)
        cr_assert_eq(send_one(), 0);
    for (int i = 0; i < ROOM / 2; i++)
        cr_assert_eq(receive_one(), LEN);
    shmring_close(&producer);
    cr_assert_eq(shmring_open(&producer, name, SHMRING_PRODUCER), 0);
    for (int i = 0; i < 10 * ROOM; i++) {
        cr_assert_eq(send_one(), 0);
        cr_assert_eq(receive_one(), LEN);
    }
    assert_high_water(ROOM / 2 * RECORD);
}

Test(spsc_stat, the_high_water_mark_of_any_traffic, .init = setup, .fini = teardown)
{
    uint64_t random = test_seed(), sent = 0, received = 0, used = 0, most = 0;
    const uint64_t seed = random;

    for (int i = 0; i < 20000; i++) {
        /* The depth rises slowly, with long ups and downs. */
        const bool up = test_random_below(&random, 100) < (i / 500 % 2 ? 60U : 40U);
        const uint64_t number = up ? sent : received;
        const uint32_t len = message_length(seed, number, 900);
        uint8_t buf[1000];
        if (up && used + shmring_record_size(len) + 8 <= CAPACITY * (uint64_t)(i / 500) / 40) {
            cr_assert_eq(shmring_send(producer, message_content(sent++), len), 0);
            used += shmring_record_size(len);
        } else if (!up && sent != received) {
            cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), len);
            received++;
            used -= shmring_record_size(len);
        }
        most = most > used ? most : used;
        if (i % 100 == 0)
            assert_high_water(most);
    }
    cr_assert_gt(most, CAPACITY / 2);
}

/* ---- After deaths ---------------------------------------------------------------------------- */

static int send_and_die(void *unused)
{
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    for (int i = 0; i < 5; i++)
        child_assert(shmring_send(q, message_content(0), LEN) == 0);
    return raise(SIGKILL);
}

static int take_and_die(void *unused)
{
    const void *first, *second;
    uint8_t buf[LEN];
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_recv(q, buf, LEN) == LEN);
    child_assert(shmring_peek(q, &first, NULL) == LEN);
    child_assert(shmring_peek(q, &second, NULL) == LEN);
    child_assert(shmring_release(q, first) == 0);
    return raise(SIGKILL);
}

Test(spsc_stat, counters_of_the_dead, .init = setup, .fini = teardown)
{
    struct shmring_info info;
    const void *msg;

    shmring_close(&producer);
    shmring_close(&consumer);
    for (uint64_t i = 1; i <= 4; i++) {
        cr_assert_eq(test_run(send_and_die, NULL), -SIGKILL);
        assert_counts(5 * i, 5 * i * LEN, 5 * (i - 1), 5 * (i - 1) * LEN);
        cr_assert_eq(st.dead, 1);
        cr_assert_eq(st.participants, 0);
        cr_assert_eq(st.takeovers, 2 * (i - 1));

        cr_assert_eq(test_run(take_and_die, NULL), -SIGKILL);
        assert_counts(5 * i, 5 * i * LEN, 5 * i - 3, (5 * i - 3) * LEN);
        cr_assert_eq(st.dead, 2);

        cr_assert_eq(shmring_open(&producer, name, SHMRING_PRODUCER), 0);
        cr_assert_eq(shmring_open(&consumer, name, SHMRING_CONSUMER), 0);
        for (int j = 0; j < 3; j++) {
            cr_assert_eq(shmring_peek(consumer, &msg, &info), LEN);
            cr_assert_eq(info.flags, j == 0 ? SHMRING_REDELIVERED : 0);
            cr_assert_eq(shmring_release(consumer, msg), 0);
        }
        cr_assert_eq(receive_one(), -EAGAIN);
        assert_counts(5 * i, 5 * i * LEN, 5 * i, 5 * i * LEN);
        cr_assert_eq(st.depth_bytes, 0);
        cr_assert_eq(st.takeovers, 2 * i);
        cr_assert_eq(st.dead, 0);
        cr_assert_eq(st.participants, 2);
        shmring_close(&producer);
        shmring_close(&consumer);
    }
}

/* ---- An observer of processes at work -------------------------------------------------------- */

enum { TRAFFIC = 20000 };

static int send_traffic(void *unused)
{
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    for (int i = 0; i < TRAFFIC;) {
        const int r = shmring_send(q, message_content(0), LEN);
        child_assert(r == 0 || r == -EAGAIN);
        i += r == 0;
    }
    shmring_close(&q);
    return 0;
}

static int receive_traffic(void *unused)
{
    uint8_t buf[LEN];
    shmring_t *q;

    (void)unused;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    for (int i = 0; i < TRAFFIC;) {
        const ssize_t r = shmring_recv(q, buf, LEN);
        child_assert(r == LEN || r == -EAGAIN);
        i += r == LEN;
    }
    shmring_close(&q);
    return 0;
}

Test(spsc_stat, an_observer_of_processes_at_work, .init = setup, .fini = teardown, .timeout = 120)
{
    shmring_close(&producer);
    shmring_close(&consumer);
    const pid_t sender = test_fork(send_traffic, NULL);
    const pid_t receiver = test_fork(receive_traffic, NULL);

    do {
        read_stat();
        cr_assert_leq(st.sent, TRAFFIC);
        cr_assert_leq(st.sent_bytes, TRAFFIC * LEN);
        cr_assert_leq(st.received, TRAFFIC);
        cr_assert_leq(st.depth, CAPACITY / 8);
        cr_assert_leq(st.depth_bytes, CAPACITY);
        cr_assert_leq(st.high_water, CAPACITY);
    } while (st.received < TRAFFIC);
    cr_assert_eq(test_wait(sender), 0);
    cr_assert_eq(test_wait(receiver), 0);
    assert_counts(TRAFFIC, TRAFFIC * LEN, TRAFFIC, TRAFFIC * LEN);
    cr_assert_eq(st.depth_bytes, 0);
}
