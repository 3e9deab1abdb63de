/* SPDX-License-Identifier: MIT */
/*
 * The algorithm when a participant dies: in many random situations one operation is repeated; it is
 * killed before its first store to the shared memory, then before its second, and so on, also in
 * the middle of a copy. Then the survivor goes on, a successor takes over (which may die in doing
 * so), and content, order, flags and counters must be right.
 */
#include <config.h>

#include <setjmp.h>
#include <stdatomic.h>

#include "lib/base/cpu.h"
#include "messages.h"

static jmp_buf death;
static int stores_to_live = -1; /* how many more stores it makes; -1: it does not die */

static void before_store(void)
{
    if (stores_to_live >= 0 && stores_to_live-- == 0)
        longjmp(death, 1);
}

static void mortal_copy(void *to, const void *from, size_t n)
{
    before_store();
    shmr_copy(to, from, n / 2);
    before_store();
    shmr_copy((char *)to + n / 2, (const char *)from + n / 2, n - n / 2);
}

/* The algorithm, with a place to die before each of its stores. */
#undef atomic_store_explicit
#define atomic_store_explicit(Object, Value, Order) (before_store(), (void)(*(Object) = (Value)))
#define shmr_copy(To, From, N)                      mortal_copy(To, From, N)
#define shmr_copy_short(To, From, N)                mortal_copy(To, From, N)
/* Batches put together in private memory are no longer than these messages. */
#define SHMR_SPSC_STAGE       640
#define SHMR_SPSC_STAGE_LEAST 200
#include "ring.h"

enum { CAPACITY = 4096, NUMBERS = 4096 };

/* Messages are numbered from 0: where each starts, and the payload before it. */
static uint64_t seed, first_position;
static uint32_t lengths[NUMBERS];
static uint64_t starts[NUMBERS + 1], bytes_before[NUMBERS + 1];

static struct ring ring;

enum { HELD = 64 }; /* at a time */

/* The private memory of the participants, and what the test knows about the queue. */
static struct world {
    struct shmr_spsc_producer p;
    struct shmr_spsc_consumer c;
    uint64_t committed, released; /* messages */
    /* Messages that a dead producer may have committed besides: all of them or none. */
    uint64_t maybe_committed;
    uint64_t given;          /* peek has returned the messages before this one */
    uint64_t may_be_flagged; /* only messages before this one may be flagged */
    const void *held[HELD];
    uint32_t held_count;
} w;

struct snapshot {
    struct world world;
    uint8_t data[CAPACITY];
    struct shmr_spsc_producer_page producer_page;
    struct shmr_spsc_consumer_page consumer_page;
};

static void save(struct snapshot *s)
{
    s->world = w;
    memcpy(s->data, ring.data, CAPACITY);
    memcpy(&s->producer_page, ring.producer_page, sizeof s->producer_page);
    memcpy(&s->consumer_page, ring.consumer_page, sizeof s->consumer_page);
}

static void restore(const struct snapshot *s)
{
    w = s->world;
    memcpy(ring.data, s->data, CAPACITY);
    memcpy(ring.producer_page, &s->producer_page, sizeof s->producer_page);
    memcpy(ring.consumer_page, &s->consumer_page, sizeof s->consumer_page);
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* How many of the next N messages fit into the ring. */
static uint64_t fitting(uint64_t n)
{
    uint64_t fit = 0;

    while (fit < n && starts[w.committed + fit + 1] + 8 - starts[w.released] <= CAPACITY)
        fit++;
    return fit;
}

/* ---- Operations: w changes only after they have succeeded
 * --------------------------------------- */

enum operation { SEND, SEND_BATCH, COMMIT, RECV, RECV_BATCH, PEEK, RELEASE, OPERATIONS };
enum { BATCH = 4 };

static bool is_sending(enum operation o)
{
    return o == SEND || o == SEND_BATCH || o == COMMIT;
}

/* The number of messages that the undisturbed operation commits, receives or releases. */
static uint64_t worth(enum operation o)
{
    uint64_t n = o == SEND_BATCH || o == RECV_BATCH ? BATCH : 1;
    uint64_t there = w.committed - w.released;

    return is_sending(o) ? fitting(n) : n < there ? n : there;
}

static int send_batch(void)
{
    struct iovec msgs[BATCH];

    for (uint64_t i = 0; i < BATCH; i++)
        msgs[i] = (struct iovec){(void *)(uintptr_t)message_content(w.committed + i),
                                 lengths[w.committed + i]};
    return shmr_spsc_send_batch(&w.p, msgs, BATCH);
}

static int reserve_and_commit(void)
{
    const uint32_t len = lengths[w.committed];
    void *msg;
    int r = shmr_spsc_reserve(&w.p, len, &msg);

    if (r < 0)
        return r;
    mortal_copy(msg, message_content(w.committed), len);
    return shmr_spsc_commit(&w.p, msg, len);
}

static void do_send(enum operation o)
{
    const uint64_t expected = worth(o);
    const int r = o == SEND
                      ? shmr_spsc_send(&w.p, message_content(w.committed), lengths[w.committed])
                  : o == SEND_BATCH ? send_batch()
                                    : reserve_and_commit();

    if (expected == 0)
        cr_assert_eq(r, -EAGAIN);
    else
        cr_assert_eq(r, o == SEND_BATCH ? (int)expected : 0);
    w.committed += expected;
}

/* Message NUMBER came, or no message (-EAGAIN): note what that says about a dead producer's last
 * call. */
static void learn(uint64_t number, ssize_t len)
{
    if (len == -EAGAIN) {
        cr_assert_eq(number, w.committed);
        w.maybe_committed = 0;
        return;
    }
    if (number >= w.committed) {
        w.committed += w.maybe_committed;
        w.maybe_committed = 0;
    }
    cr_assert_lt(number, w.committed);
    cr_assert_eq(len, (ssize_t)lengths[number]);
}

static void do_recv(void)
{
    uint8_t buf[CAPACITY];
    const ssize_t len = shmr_spsc_recv(&w.c, buf, sizeof buf);

    if (w.held_count != 0) {
        cr_assert_eq(len, -EINPROGRESS);
        return;
    }
    learn(w.released, len);
    if (len < 0)
        return;
    cr_assert(message_is(w.released, buf, (size_t)len));
    w.released++;
}

static void do_recv_batch(void)
{
    static uint8_t bufs[BATCH][CAPACITY];
    struct iovec msgs[BATCH];

    for (int i = 0; i < BATCH; i++)
        msgs[i] = (struct iovec){bufs[i], CAPACITY};
    const int n = shmr_spsc_recv_batch(&w.c, msgs, BATCH);
    if (w.held_count != 0) {
        cr_assert_eq(n, -EINPROGRESS);
        return;
    }
    if (n < 0)
        learn(w.released, n);
    for (int i = 0; i < n; i++) {
        learn(w.released, (ssize_t)msgs[i].iov_len);
        cr_assert(message_is(w.released, msgs[i].iov_base, msgs[i].iov_len));
        w.released++;
    }
}

static void do_peek(void)
{
    const uint64_t number = w.released + w.held_count;
    struct shmring_info info;
    const void *msg;

    if (w.held_count == HELD)
        return;
    const ssize_t len = shmr_spsc_peek(&w.c, &msg, &info);

    learn(number, len);
    if (len < 0)
        return;
    cr_assert(message_is(number, msg, (size_t)len));
    cr_assert_eq(info.flags == SHMRING_REDELIVERED, info.deliveries > 1);
    if (number < w.given)
        cr_assert_eq(info.flags, SHMRING_REDELIVERED, "%d given before", (int)number);
    if (number >= w.may_be_flagged)
        cr_assert_eq(info.flags, 0, "%d never given before", (int)number);
    w.held[number % HELD] = msg;
    w.held_count++;
    w.given = most(w.given, number + 1);
}

static void do_release(void)
{
    if (w.held_count == 0) {
        cr_assert_eq(shmr_spsc_release(&w.c, w.held[0]), -EINVAL);
        return;
    }
    const void *msg = w.held[w.released % HELD];
    cr_assert(message_is(w.released, msg, lengths[w.released]));
    cr_assert_eq(shmr_spsc_release(&w.c, msg), 0);
    w.held_count--;
    w.released++;
}

static void operate(enum operation o)
{
    if (is_sending(o))
        do_send(o);
    else if (o == RECV)
        do_recv();
    else if (o == RECV_BATCH)
        do_recv_batch();
    else if (o == PEEK)
        do_peek();
    else
        do_release();
}

/* ---- Taking over --------------------------------------------------------------------------- */

static void check_progress(const struct shmr_progress pair[2], uint64_t messages)
{
    const struct shmr_progress *whole = shmr_progress_whole(pair);

    cr_assert_eq(whole->messages, messages);
    cr_assert_eq(whole->position, starts[messages]);
    cr_assert_eq(whole->bytes, bytes_before[messages]);
}

/* Successors take over and die until one succeeds; DEATHS says when they die. */
static void take_over_producer(uint64_t *deaths)
{
    struct shmr_spsc_producer p;

    stores_to_live = (int)test_random_below(deaths, 4) - 1;
    while (setjmp(death) != 0)
        stores_to_live = (int)test_random_below(deaths, 4) - 1;
    cr_assert_eq(ring_resume_producer(&ring, &p), 0);
    stores_to_live = -1;
    w.p = p;
    cr_assert(p.messages == w.committed || p.messages == w.committed + w.maybe_committed);
    w.committed = p.messages;
    w.maybe_committed = 0;
    cr_assert_eq(p.position, starts[w.committed]);
    cr_assert_eq(p.bytes, bytes_before[w.committed]);
    check_progress(ring.producer_page->progress, w.committed);
}

/* The dead consumer may have released up to LOST messages. */
static void take_over_consumer(uint64_t *deaths, bool died, uint64_t lost)
{
    struct shmr_spsc_consumer c;

    w.may_be_flagged = most(w.may_be_flagged, w.given);
    if (died) {
        w.may_be_flagged = most(w.may_be_flagged, w.released + w.held_count + most(lost, 1));
        stores_to_live = (int)test_random_below(deaths, 7) - 1;
        while (setjmp(death) != 0)
            stores_to_live = (int)test_random_below(deaths, 7) - 1;
    }
    cr_assert_eq(ring_resume_consumer(&ring, &c, died), 0);
    stores_to_live = -1;
    w.c = c;
    cr_assert(c.messages == w.released || c.messages == w.released + lost);
    w.released = c.messages;
    w.held_count = 0;
    if (died)
        w.may_be_flagged = most(w.may_be_flagged, w.released + 1);
    cr_assert_eq(c.position, starts[w.released]);
    cr_assert_eq(c.bytes, bytes_before[w.released]);
    check_progress(ring.consumer_page->progress, w.released);
}

/* The producer overwrites all that it may, before a successor knows the dead consumer's
 * position. */
static void fill_up(void)
{
    int r;

    while ((r = shmr_spsc_send(&w.p, message_content(w.committed), lengths[w.committed])) == 0)
        w.committed++;
    cr_assert_eq(r, -EAGAIN);
}

static void drain(bool peeking)
{
    for (uint64_t before = UINT64_MAX; before != w.released + w.held_count;) {
        before = w.released + w.held_count;
        if (w.held_count == HELD || (w.held_count != 0 && !peeking)) {
            do_release();
            before = UINT64_MAX;
        } else {
            operate(peeking ? PEEK : RECV);
        }
    }
    while (w.held_count != 0)
        do_release();
}

/* The participant that ran operation O has died in it: let a successor recover. */
static void recover(enum operation o, uint64_t *random)
{
    const uint64_t lost = worth(o);

    if (is_sending(o)) {
        w.maybe_committed = lost;
        for (uint32_t i = test_random_below(random, 40); i > 0; i--)
            operate(RECV + test_random_below(random, OPERATIONS - RECV));
        if (test_random(random) % 4 == 0)
            take_over_consumer(random, false, 0);
        take_over_producer(random);
    } else {
        if (test_random(random) % 4 == 0)
            take_over_producer(random);
        fill_up();
        take_over_consumer(random, true, o == PEEK ? 0 : lost);
        if (test_random(random) % 4 == 0) {
            for (uint32_t i = test_random_below(random, 5); i > 0; i--)
                operate(PEEK);
            take_over_consumer(random, true, 0);
        }
    }
}

static void check_all_is_there(bool peeking)
{
    for (int i = 0; i < 2; i++) {
        drain(peeking);
        cr_assert_eq(w.released, w.committed);
        check_progress(ring.producer_page->progress, w.committed);
        check_progress(ring.consumer_page->progress, w.committed);
        while (fitting(1) == 1)
            operate(SEND);
        operate(SEND);
    }
}

static void number_messages(uint32_t longest)
{
    starts[0] = first_position;
    for (uint64_t i = 0; i < NUMBERS; i++) {
        lengths[i] = message_length(seed, i, longest);
        starts[i + 1] = starts[i] + shmring_record_size(lengths[i]);
        bytes_before[i + 1] = bytes_before[i] + lengths[i];
    }
}

static void begin(uint64_t *random)
{
    static const uint64_t wraps[] = {0, 0, UINT64_C(1) << 32, UINT64_C(1) << 63};

    seed = test_random(random);
    /* Three of four situations soon pass a wrap of the position, at 2^64 or before. */
    first_position = wraps[test_random_below(random, 4)] - 8 * test_random_below(random, 1024);
    number_messages(test_random(random) % 4 == 0 ? CAPACITY - 16 : 300);
    ring_make(&ring, CAPACITY, first_position);
    memset(&w, 0, sizeof w);
    cr_assert_eq(ring_resume_producer(&ring, &w.p), 0);
    cr_assert_eq(ring_resume_consumer(&ring, &w.c, false), 0);
    for (uint32_t i = test_random_below(random, 120); i > 0; i--)
        operate(test_random_below(random, OPERATIONS));
}

/* Does the operation die after this many stores? */
static bool dies(enum operation o, int stores)
{
    stores_to_live = stores;
    if (setjmp(death) != 0)
        return true;
    operate(o);
    stores_to_live = -1;
    return false;
}

static void die_at_every_step(enum operation o, uint64_t *random)
{
    static struct snapshot before;
    bool dead = true;

    save(&before);
    for (int stores = 0; dead; stores++) {
        cr_assert_lt(stores, 100);
        restore(&before);
        dead = dies(o, stores);
        if (dead)
            recover(o, random);
        check_all_is_there(test_random(random) % 2 == 0);
    }
}

static void die_in_many_situations(enum operation o)
{
    uint64_t random = test_seed();

    for (int i = 0; i < 1000; i++) {
        begin(&random);
        die_at_every_step(o, &random);
        ring_free(&ring);
    }
}

Test(spsc_steps, producer_dies_sending)
{
    die_in_many_situations(SEND);
}

Test(spsc_steps, producer_dies_sending_a_batch)
{
    die_in_many_situations(SEND_BATCH);
}

Test(spsc_steps, producer_dies_writing_or_committing)
{
    die_in_many_situations(COMMIT);
}

Test(spsc_steps, consumer_dies_receiving)
{
    die_in_many_situations(RECV);
}

Test(spsc_steps, consumer_dies_receiving_a_batch)
{
    die_in_many_situations(RECV_BATCH);
}

Test(spsc_steps, consumer_dies_peeking)
{
    die_in_many_situations(PEEK);
}

Test(spsc_steps, consumer_dies_releasing)
{
    die_in_many_situations(RELEASE);
}
