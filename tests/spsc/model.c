/* SPDX-License-Identifier: MIT */
/*
 * Hundreds of thousands of random operations of all kinds on a queue. After each, results,
 * contents, redeliveries and counters are compared with a reference that is so simple that it is
 * obviously right. tests/support/oracle.h would say less: here exactly one result of each call is
 * right, with its position and its counters.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "messages.h"
#include "support.h"

/* The reference: messages are numbered from 0, and never move in memory. */
enum { SLOTS = 1024, BATCH = 12 };
static struct {
    uint32_t capacity, max_message;
    /* The next message to release, to take, to send: first <= taken <= next. */
    uint64_t first, taken, next;
    uint64_t given;          /* peek gave out the messages before this one */
    uint32_t lengths[SLOTS]; /* of the messages from first to next - 1 */
    uint64_t positions[SLOTS];
    uint64_t end;  /* position of the next message */
    uint64_t used; /* bytes of the ring that messages take */
    uint64_t most;
    uint64_t sent_bytes, received_bytes, full_events, empty_events;
    /* Found so since the last success, or since the handle was opened. */
    bool found_full, found_empty;
    bool reserved;
    uint32_t reservation;
    void *reservation_at;
    const void *held[SLOTS]; /* the messages from first to taken - 1 */
} ref;

static shmring_t *observer, *producer, *consumer;
static uint64_t random_state;

static uint32_t below(uint32_t limit)
{
    return test_random_below(&random_state, limit);
}

static uint32_t length_of(uint64_t number)
{
    return ref.lengths[number % SLOTS];
}

static bool fits(uint32_t len)
{
    return ref.used + shmring_record_size(len) + 8 <= ref.capacity;
}

static void add(uint32_t len)
{
    ref.lengths[ref.next % SLOTS] = len;
    ref.positions[ref.next++ % SLOTS] = ref.end;
    ref.end += shmring_record_size(len);
    ref.used += shmring_record_size(len);
    ref.most = ref.most > ref.used ? ref.most : ref.used;
    ref.sent_bytes += len;
    ref.found_full = false;
}

static void take(void)
{
    ref.taken++;
    ref.found_empty = false;
}

static void retire(void)
{
    const uint32_t len = length_of(ref.first++);

    ref.used -= shmring_record_size(len);
    ref.received_bytes += len;
}

/* The error that a send of that length returns; 0: none. */
static int refusal(uint32_t len)
{
    if (ref.reserved)
        return -EINPROGRESS;
    if (len > ref.max_message)
        return -EMSGSIZE;
    if (fits(len))
        return 0;
    ref.full_events += !ref.found_full;
    ref.found_full = true;
    return -EAGAIN;
}

static int nothing_there(void)
{
    ref.empty_events += !ref.found_empty;
    ref.found_empty = true;
    return -EAGAIN;
}

/* Mostly short, at times up to the limit or beyond it. */
static uint32_t random_length(void)
{
    const uint32_t kind = below(20);

    if (kind == 0)
        return below(ref.max_message + 10);
    if (kind == 1)
        return ref.max_message - below(3) + 1;
    return below(kind < 6 ? 300 : 40);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void do_send(void)
{
    const uint32_t len = random_length();
    const int expected = refusal(len);

    cr_assert_eq(shmring_send(producer, message_content(ref.next), len), expected);
    if (expected == 0)
        add(len);
}

static void do_send_batch(void)
{
    struct iovec batch[BATCH];
    const uint64_t first = ref.next;
    const int n = (int)below(BATCH + 1);
    int expected = n == 0 ? -EINVAL : 0;

    for (int i = 0; i < n; i++)
        batch[i] = (struct iovec){(void *)(uintptr_t)message_content(first + (uint64_t)i),
                                  random_length()};
    if (n > 0)
        expected = refusal((uint32_t)batch[0].iov_len);
    if (expected == 0)
        while (expected < n && batch[expected].iov_len <= ref.max_message &&
               fits((uint32_t)batch[expected].iov_len))
            add((uint32_t)batch[expected++].iov_len);
    cr_assert_eq(shmring_send_batch(producer, batch, n), expected);
}

static void do_reserve(void)
{
    const uint32_t len = random_length();
    const int expected = refusal(len);
    void *msg;

    cr_assert_eq(shmring_reserve(producer, len, &msg), expected);
    if (expected < 0)
        return;
    memcpy(msg, message_content(ref.next), len);
    ref.reserved = true;
    ref.reservation = len;
    ref.reservation_at = msg;
}

static void do_commit(void)
{
    const uint32_t len = below(8) == 0   ? ref.reservation + 1
                         : below(2) == 0 ? ref.reservation
                                         : below(ref.reservation + 1);
    const int expected = !ref.reserved ? -EINVAL : len > ref.reservation ? -EMSGSIZE : 0;

    cr_assert_eq(shmring_commit(producer, (char *)ref.reservation_at + 1, len), -EINVAL);
    cr_assert_eq(shmring_commit(producer, ref.reservation_at, len), expected);
    if (expected < 0)
        return;
    ref.reserved = false;
    add(len);
}

static void do_cancel(void)
{
    const int expected = ref.reserved && below(4) == 0 ? 0 : -EINVAL;

    cr_assert_eq(shmring_cancel(producer, expected ? NULL : ref.reservation_at), expected);
    if (expected == 0)
        ref.reserved = false;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static void do_recv(void)
{
    static uint8_t buf[1 << 13];
    const uint32_t len = length_of(ref.taken);
    const uint32_t size = below(4) == 0 ? below(len + 10) : sizeof buf;
    const ssize_t got = shmring_recv(consumer, buf, size);

    if (ref.first != ref.taken) {
        cr_assert_eq(got, -EINPROGRESS);
    } else if (ref.taken == ref.next) {
        cr_assert_eq(got, nothing_there());
    } else if (len > size) {
        cr_assert_eq(got, -EMSGSIZE);
        ref.found_empty = false;
    } else {
        cr_assert_eq(got, (ssize_t)len);
        cr_assert(message_is(ref.taken, buf, len));
        take();
        retire();
    }
}

static int expected_batch(const struct iovec *batch, int n)
{
    int expected = 0;

    if (n == 0)
        return -EINVAL;
    if (ref.first != ref.taken)
        return -EINPROGRESS;
    if (ref.taken == ref.next)
        return nothing_there();
    ref.found_empty = false;
    if (length_of(ref.taken) > batch[0].iov_len)
        return -EMSGSIZE;
    while (expected < n && ref.taken < ref.next &&
           length_of(ref.taken) <= batch[expected].iov_len) {
        expected++;
        take();
    }
    return expected;
}

static void do_recv_batch(void)
{
    static uint8_t bufs[BATCH][1 << 13];
    struct iovec batch[BATCH];
    const int n = (int)below(BATCH + 1);

    for (int i = 0; i < n; i++)
        batch[i] = (struct iovec){bufs[i], below(10) == 0 ? below(100) : 1 << 13};
    const int expected = expected_batch(batch, n);
    cr_assert_eq(shmring_recv_batch(consumer, batch, n), expected);
    for (int i = 0; i < expected; i++) {
        cr_assert_eq(batch[i].iov_len, length_of(ref.first));
        cr_assert(message_is(ref.first, bufs[i], length_of(ref.first)));
        retire();
    }
}

static void do_peek(void)
{
    struct shmring_info info;
    const void *msg;
    const ssize_t got = shmring_peek(consumer, &msg, &info);

    if (ref.taken == ref.next) {
        cr_assert_eq(got, nothing_there());
        return;
    }
    cr_assert_eq(got, (ssize_t)length_of(ref.taken));
    cr_assert(message_is(ref.taken, msg, length_of(ref.taken)));
    cr_assert_eq(info.flags, ref.taken < ref.given ? SHMRING_REDELIVERED : 0);
    cr_assert_eq(info.deliveries > 1, ref.taken < ref.given);
    cr_assert_eq(info.position, ref.positions[ref.taken % SLOTS]);
    ref.held[ref.taken % SLOTS] = msg;
    take();
    ref.given = ref.given > ref.taken ? ref.given : ref.taken;
}

static void do_release(void)
{
    const void *oldest = ref.held[ref.first % SLOTS];

    if (ref.first == ref.taken) {
        cr_assert_eq(shmring_release(consumer, oldest), -EINVAL);
        return;
    }
    cr_assert(message_is(ref.first, oldest, length_of(ref.first)), "it changed meanwhile");
    cr_assert_eq(shmring_release(consumer, (const char *)oldest + 8), -EINVAL);
    cr_assert_eq(shmring_release(consumer, oldest), 0);
    retire();
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void do_reopen_producer(void)
{
    shmring_close(&producer);
    cr_assert_eq(shmring_dup(&producer, observer, SHMRING_PRODUCER), 0);
    ref.reserved = false;
    ref.found_full = true;
}

static void do_reopen_consumer(void)
{
    shmring_close(&consumer);
    cr_assert_eq(shmring_dup(&consumer, observer, SHMRING_CONSUMER), 0);
    ref.taken = ref.first;
    ref.found_empty = true;
}

static void do_stat(void)
{
    struct shmring_stat st;

    cr_assert_eq(shmring_stat(observer, &st), 0);
    cr_assert_eq(st.sent, ref.next);
    cr_assert_eq(st.sent_bytes, ref.sent_bytes);
    cr_assert_eq(st.received, ref.first);
    cr_assert_eq(st.received_bytes, ref.received_bytes);
    cr_assert_eq(st.depth, ref.next - ref.first);
    cr_assert_eq(st.depth_bytes, ref.used);
    cr_assert_eq(st.full_events, ref.full_events);
    cr_assert_eq(st.empty_events, ref.empty_events);
    cr_assert_leq(st.high_water, ref.most + ref.capacity / 8);
    cr_assert_geq(st.high_water + ref.capacity / 8, ref.most);
}

static const struct {
    void (*run)(void);
    uint32_t likely[2]; /* how often of 100, while the queue grows and while it shrinks */
} operations[] = {
    {do_send, {40, 10}},          {do_send_batch, {10, 2}},     {do_reserve, {20, 5}},
    {do_commit, {30, 10}},        {do_cancel, {10, 5}},         {do_recv, {10, 20}},
    {do_recv_batch, {1, 10}},     {do_peek, {10, 30}},          {do_release, {10, 40}},
    {do_reopen_producer, {1, 1}}, {do_reopen_consumer, {1, 1}}, {do_stat, {5, 5}},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static void operate(int direction)
{
    uint32_t all = 0, i = 0;

    for (int j = 0; j < OPERATIONS; j++)
        all += operations[j].likely[direction];
    for (uint32_t r = below(all); r >= operations[i].likely[direction]; i++)
        r -= operations[i].likely[direction];
    operations[i].run();
}

/* Make a queue, and do n random operations on it. */
static void compare(uint32_t capacity, uint32_t max_message, int n)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = capacity, .max_message = max_message};
    int direction = 0;

    random_state = test_seed();
    ref.capacity = capacity;
    ref.max_message = max_message ? max_message : capacity - 16;
    ref.reservation_at = &ref; /* an address that is no reservation */
    cr_assert_eq(shmring_create(&observer, "memfd:test", &config), 0);
    do_reopen_producer();
    do_reopen_consumer();
    for (int i = 0; i < n; i++) {
        if (below(200) == 0)
            direction = (int)below(2);
        operate(direction);
    }
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_close(&observer);
}

Test(spsc_model, messages_of_all_lengths)
{
    compare(4096, 0, 200000);
}

Test(spsc_model, a_larger_ring)
{
    compare(8192, 0, 200000);
}

Test(spsc_model, short_messages)
{
    compare(4096, 100, 200000);
}

Test(spsc_model, nearly_empty_messages)
{
    compare(4096, 5, 200000);
}
