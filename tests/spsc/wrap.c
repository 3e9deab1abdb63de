/* SPDX-License-Identifier: MIT */
/* The end of the ring, with a message at every offset; and the ends of the range of positions. */
#include <config.h>

#include <errno.h>

#include "messages.h"
#include "spsc_pages.h"
#include "support.h"

enum { CAPACITY = 4096, LENGTHS = 401 };

static shmring_t *q;

static void setup(void)
{
    q = test_create("memfd:test", SHMRING_PRODUCER | SHMRING_CONSUMER, CAPACITY);
}

static void teardown(void)
{
    shmring_close(&q);
}

/* Send and receive a message whose record takes this many bytes of the ring. Its payload is neither
 * written nor read. */
static void advance(uint64_t bytes)
{
    void *sent;
    const void *received;

    if (bytes == 0)
        return;
    cr_assert_eq(shmring_reserve(q, bytes - 8, &sent), 0);
    cr_assert_eq(shmring_commit(q, sent, bytes - 8), 0);
    cr_assert_eq(shmring_peek(q, &received, NULL), (ssize_t)bytes - 8);
    cr_assert_eq(shmring_release(q, received), 0);
}

static void copy_through(uint64_t number, uint32_t len)
{
    uint8_t buf[LENGTHS];

    cr_assert_eq(shmring_send(q, message_content(number), len), 0);
    cr_assert_eq(shmring_recv(q, buf, sizeof buf), len);
    cr_assert(message_is(number, buf, len), "%u bytes", len);
    cr_assert_eq(shmring_recv(q, buf, sizeof buf), -EAGAIN);
}

static void pass_through(uint64_t number, uint32_t len)
{
    void *sent;
    const void *received;

    cr_assert_eq(shmring_reserve(q, len, &sent), 0);
    memcpy(sent, message_content(number), len);
    cr_assert_eq(shmring_commit(q, sent, len), 0);
    cr_assert_eq(shmring_peek(q, &received, NULL), len);
    cr_assert(message_is(number, received, len), "%u bytes", len);
    cr_assert_eq(shmring_release(q, received), 0);
    cr_assert_eq(shmring_peek(q, &received, NULL), -EAGAIN);
}

/* Each length at each offset; the queue is otherwise empty. */
static void at_every_offset(void (*through)(uint64_t number, uint32_t len))
{
    uint64_t number = 0;

    for (uint32_t len = 0; len < LENGTHS; len++)
        for (int offset = 0; offset < CAPACITY / 8; offset++) {
            through(number++, len);
            advance((CAPACITY + 8 - shmring_record_size(len)) % CAPACITY); /* to the next offset */
        }
}

Test(spsc_wrap, every_length_copied_at_every_offset, .init = setup, .fini = teardown)
{
    at_every_offset(copy_through);
}

Test(spsc_wrap, every_length_in_place_at_every_offset, .init = setup, .fini = teardown)
{
    at_every_offset(pass_through);
}

/* Send as many messages as fit, in one batch. Returns how many bytes of the ring they take. */
static uint64_t batch_through(uint64_t number)
{
    enum { N = 12 };
    static uint8_t bufs[N][LENGTHS];
    struct iovec out[N], in[N];
    uint64_t bytes = 0;
    int fit = 0;

    for (int i = 0; i < N; i++) {
        const uint64_t this = number + (uint64_t)i, len = 360 + this % 41;
        out[i] = (struct iovec){(void *)(uintptr_t)message_content(this), len};
        in[i] = (struct iovec){bufs[i], LENGTHS};
        if (bytes + shmring_record_size((uint32_t)len) + 8 <= CAPACITY && fit == i) {
            bytes += shmring_record_size((uint32_t)len);
            fit++;
        }
    }
    cr_assert_eq(shmring_send_batch(q, out, N), fit);
    cr_assert_eq(shmring_recv_batch(q, in, N), fit);
    for (int i = 0; i < fit; i++) {
        cr_assert_eq(in[i].iov_len, out[i].iov_len);
        cr_assert(message_is(number + (uint64_t)i, bufs[i], in[i].iov_len));
    }
    return bytes;
}

Test(spsc_wrap, a_full_ring_at_every_offset, .init = setup, .fini = teardown)
{
    for (uint64_t offset = 0; offset < CAPACITY / 8; offset++)
        for (uint64_t i = 0; i < 41; i++) {
            const uint64_t next = i == 40 ? 8 : 0;
            advance((CAPACITY + next - batch_through(offset + i)) % CAPACITY);
        }
}

/* ---- Positions ------------------------------------------------------------------------------- */

/* Fill the ring and empty it, with other handles before and after. */
static void fill_and_drain(const shmring_t *observer, uint64_t *number, uint64_t seed)
{
    uint64_t first = *number, bytes = 0;
    struct shmring_stat st;
    uint8_t buf[CAPACITY];
    shmring_t *producer, *consumer;
    uint32_t len;
    int r;

    cr_assert_eq(shmring_dup(&producer, observer, SHMRING_PRODUCER), 0);
    while (len = message_length(seed, *number, 400),
           (r = shmring_send(producer, message_content(*number), len)) == 0) {
        bytes += shmring_record_size(len);
        ++*number;
    }
    cr_assert_eq(r, -EAGAIN);
    cr_assert_gt(bytes + shmring_record_size(len) + 8, CAPACITY, "full too early");
    cr_assert_leq(bytes + 8, CAPACITY, "full too late");
    shmring_close(&producer);

    cr_assert_eq(shmring_dup(&q, observer, SHMRING_PRODUCER), 0);
    cr_assert_eq(shmring_send(q, message_content(*number), len), -EAGAIN);
    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_eq(st.depth, *number - first);
    cr_assert_eq(st.depth_bytes, bytes);
    cr_assert_geq(st.high_water, bytes);
    cr_assert_leq(st.high_water, CAPACITY);

    for (uint64_t i = first; i < *number; i++) {
        if ((i - first) % 4 == 0)
            cr_assert_eq(shmring_dup(&consumer, observer, SHMRING_CONSUMER), 0);
        len = message_length(seed, i, 400);
        cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), len);
        cr_assert(message_is(i, buf, len));
        if ((i - first) % 4 == 3 || i + 1 == *number)
            shmring_close(&consumer);
    }
    shmring_close(&q);
}

static void start_around(uint64_t wrap)
{
    const uint64_t seed = test_seed();

    for (uint64_t before = 0; before <= 2 * CAPACITY; before += before < 128 ? 8 : 248) {
        uint64_t number = 0;
        struct shmring_stat st;
        struct pages pages;
        shmring_t *observer = test_create("memfd:test", 0, CAPACITY);

        pages_map(&pages, observer);
        pages_start_at(&pages, wrap - before);
        for (int i = 0; i < 3; i++)
            fill_and_drain(observer, &number, seed + before);
        cr_assert_eq(shmring_stat(observer, &st), 0);
        cr_assert_eq(st.sent, number);
        cr_assert_eq(st.received, number);
        cr_assert_eq(st.depth_bytes, 0);
        pages_unmap(&pages);
        shmring_close(&observer);
    }
}

Test(spsc_wrap, positions_past_4_gibibytes)
{
    start_around(UINT64_C(1) << 32);
}

Test(spsc_wrap, positions_past_half_their_range)
{
    start_around(UINT64_C(1) << 63);
}

Test(spsc_wrap, positions_past_their_range)
{
    start_around(0);
}
