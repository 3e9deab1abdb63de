/* SPDX-License-Identifier: MIT */
/*
 * What a hostile or broken peer may write into an mpmc queue's segment: it costs messages, and
 * calls return an error. No call runs for ever or touches memory that is not the queue's.
 */
#include <config.h>

#include <errno.h>

#include "messages.h"
#include "mpmc_pages.h"
#include "support.h"

enum { CAPACITY = 8, LONGEST = 100, ROWS = 8 };

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static shmring_t *q;
static struct mpmc_pages pages;

static void open_queue(void)
{
    q = test_create_mpmc("memfd:test", BOTH, CAPACITY, LONGEST);
    mpmc_pages_map(&pages, q);
}

static void close_queue(void)
{
    mpmc_pages_unmap(&pages);
    shmring_close(&q);
}

static shmring_t *attach(const shmring_t *to)
{
    shmring_t *copy;

    cr_assert_eq(shmring_dup(&copy, to, BOTH), 0, "%s", shmring_strerror_detail());
    return copy;
}

/* ---- One damaged word at a time -------------------------------------------------------------- */

enum way { RECV, RECV_BATCH, PEEK, WAYS };

static long receive(enum way way)
{
    uint8_t buf[LONGEST];
    struct iovec one = {buf, sizeof buf};
    const void *msg;

    return way == RECV   ? (long)shmring_recv(q, buf, sizeof buf)
           : way == PEEK ? (long)shmring_peek(q, &msg, NULL)
                         : shmring_recv_batch(q, &one, 1);
}

static void assert_poisoned(void)
{
    struct shmring_stat st;
    void *msg;

    for (enum way way = RECV; way < WAYS; way++)
        assert_refused(receive(way), EBADMSG, "corrupt before");
    assert_refused(shmring_send(q, "x", 1), EBADMSG, "corrupt before");
    assert_refused(shmring_reserve(q, 1, &msg), EBADMSG, "corrupt before");
    assert_refused(shmring_recover(q, NULL), EBADMSG, "corrupt before");
    cr_assert_eq(shmring_stat(q, &st), 0, "looking is possible");
}

Test(mpmc_damage, an_entry_that_names_no_block)
{
    static const uint64_t no_blocks[] = {CAPACITY, CAPACITY + 1, SHMR_BLOCK_MASK};

    for (enum way way = RECV; way < WAYS; way++)
        for (int i = 0; i < 3; i++) {
            open_queue();
            cr_assert_eq(shmring_send(q, "a", 1), 0);
            cr_assert_eq(shmring_send(q, "b", 1), 0);
            mpmc_pages_block(&pages, 1)->entry = UINT64_C(1) << SHMR_BLOCK_BITS | no_blocks[i];
            cr_assert_eq(receive(way), 1);
            assert_refused(receive(way), EBADMSG, "names no block");
            assert_poisoned();
            close_queue();
        }
}

Test(mpmc_damage, a_length_beyond_the_maximum)
{
    static const uint32_t lengths[] = {LONGEST + 1, LONGEST + 29, 1u << 31, UINT32_MAX};

    for (enum way way = RECV; way < WAYS; way++)
        for (int i = 0; i < 4; i++) {
            open_queue();
            cr_assert_eq(shmring_send(q, "a", 1), 0);
            cr_assert_eq(shmring_send(q, "b", 1), 0);
            mpmc_pages_block(&pages, 1)->length = lengths[i];
            cr_assert_eq(receive(way), 1);
            assert_refused(receive(way), EBADMSG, "longer than max_message");
            assert_poisoned();
            close_queue();
        }
}

Test(mpmc_damage, a_batch_gives_what_came_before, .init = open_queue, .fini = close_queue)
{
    uint8_t buf[LONGEST];
    struct iovec msgs[3] = {{buf, LONGEST}, {buf, LONGEST}, {buf, LONGEST}};

    for (int i = 0; i < 3; i++)
        cr_assert_eq(shmring_send(q, "a", 1), 0);
    mpmc_pages_block(&pages, 1)->length = UINT32_MAX;
    cr_assert_eq(shmring_recv_batch(q, msgs, 3), 1);
    assert_refused(shmring_recv_batch(q, msgs, 3), EBADMSG, "longer than max_message");
    assert_poisoned();
}

/* max_message itself is a correct length. */
Test(mpmc_damage, the_maximum_is_no_damage, .init = open_queue, .fini = close_queue)
{
    cr_assert_eq(shmring_send(q, "a", 1), 0);
    mpmc_pages_block(&pages, 0)->length = LONGEST;
    cr_assert_eq(receive(PEEK), LONGEST);
}

/* A peer writes a descriptor which says that this handle holds a message that it has released. */
Test(mpmc_damage, what_is_not_held_is_not_released, .init = open_queue, .fini = close_queue)
{
    struct shmr_block *block = mpmc_pages_block(&pages, 0);
    struct shmring_stat st;
    const void *msg;

    cr_assert_eq(shmring_send(q, "a", 1), 0);
    cr_assert_eq(shmring_peek(q, &msg, NULL), 1);
    cr_assert_eq(msg, shmr_mpmc_payload(&q->mpmc.queue, 0));
    const uint64_t held = block->descriptor;
    cr_assert_eq(shmring_release(q, msg), 0);
    block->descriptor = held;
    assert_refused(shmring_release(q, msg), EINVAL, "not a message held");
    cr_assert_eq(shmring_stat(q, &st), 0);
    cr_assert_eq(st.received, 1);
}

Test(mpmc_damage, others_go_on_and_new_ones_may_come, .init = open_queue, .fini = close_queue)
{
    shmring_t *other = attach(q);
    uint8_t buf[LONGEST];

    cr_assert_eq(shmring_send(q, "a", 1), 0);
    cr_assert_eq(shmring_recv(other, buf, sizeof buf), 1);
    cr_assert_eq(shmring_send(q, "b", 1), 0);
    mpmc_pages_block(&pages, 1)->length = UINT32_MAX;
    assert_refused(receive(RECV), EBADMSG, "longer than max_message");
    assert_poisoned();
    mpmc_pages_block(&pages, 1)->length = 1; /* a peer repairs the word */
    cr_assert_eq(shmring_recv(other, buf, sizeof buf), 1);
    cr_assert_eq(shmring_send(other, "c", 1), 0);
    shmring_close(&q);
    q = attach(other);
    shmring_close(&other);
    cr_assert_eq(shmring_recv(q, buf, sizeof buf), 1);
}

/* A peer writes the clock in the segment: dead participants are found all the same. */
Test(mpmc_damage, a_wrong_clock_does_not_end_recovery, .init = open_queue, .fini = close_queue,
     .timeout = 60)
{
    static const uint64_t clocks[] = {0, 1, INT64_MAX, UINT64_MAX};
    uint8_t buf[LONGEST];

    for (int i = 0; i < 4; i++) {
        shmring_t *other = attach(q);
        const void *msg;
        cr_assert_eq(shmring_send(q, "a", 1), 0);
        cr_assert_eq(shmring_peek(other, &msg, NULL), 1);
        mpmc_kill_handle(&other);
        pages.tail->swept = clocks[i];
        while (shmring_recv(q, buf, sizeof buf) == -EAGAIN)
            ;
    }
}

/* No position is the first unpublished one: each entry is laps ahead of the one before. */
static void make_ring_endless(void)
{
    for (uint64_t i = 0; i < CAPACITY; i++)
        mpmc_pages_block(&pages, i)->entry = (i + 1) << 37 << SHMR_BLOCK_BITS | i;
}

/* The successor in the row must recover what the dead owner held, with the same tag. At first it
 * cannot, so its own close leaves the row as a dead owner's, and the next successor's does not. */
Test(mpmc_damage, a_recovery_that_is_finished_by_the_next)
{
    struct shmring_config config = {.kind = SHMRING_MPMC,
                                    .flags = BOTH,
                                    .capacity = CAPACITY,
                                    .max_message = LONGEST,
                                    .max_participants = 2};
    uint64_t entries[CAPACITY];
    char buf[LONGEST];
    shmring_t *other;
    const void *msg;

    cr_assert_eq(shmring_create(&q, "memfd:test", &config), 0);
    mpmc_pages_map(&pages, q);
    other = attach(q);
    const uint32_t row = other->row;
    cr_assert_eq(shmring_send(q, "a", 1), 0);
    cr_assert_eq(shmring_peek(other, &msg, NULL), 1);
    mpmc_kill_handle(&other);

    for (uint64_t i = 0; i < CAPACITY; i++)
        entries[i] = mpmc_pages_block(&pages, i)->entry;
    make_ring_endless();
    other = attach(q);
    cr_assert_eq(other->row, row);
    shmring_close(&other);
    cr_assert_eq(pages.rows[row].state, SHMR_ROW_ATTACHED);
    for (uint64_t i = 0; i < CAPACITY; i++)
        mpmc_pages_block(&pages, i)->entry = entries[i];
    other = attach(q);
    cr_assert_eq(shmring_recv(q, buf, sizeof buf), 1);
    cr_assert_eq(buf[0], 'a');
    shmring_close(&other);
    cr_assert_eq(pages.rows[row].state, SHMR_ROW_FREE);
    close_queue();
}

/* ---- Random damage --------------------------------------------------------------------------- */

static uint64_t state;

static uint64_t some_word(void)
{
    const uint64_t r = test_random(&state);
    const uint64_t small = test_random_below(&state, 3 * CAPACITY);

    switch (test_random_below(&state, 6)) {
    case 0:
        return r;
    case 1:
        return -small;
    case 2: /* an entry of a cycle like the present ones */
        return (r % 64) << SHMR_BLOCK_BITS | small;
    case 3: /* a descriptor */
        return (r & (SHMR_STATE_MASK | SHMR_M)) | (r % ROWS) << SHMR_POSITION_BITS | small;
    case 4:
        return (r & SHMR_STATE_MASK) | SHMR_OWNER_MASK << SHMR_POSITION_BITS | small;
    default:
        return small;
    }
}

/* Write anywhere but in the header, which is read once, and in the identities of the rows. */
static void scribble(void)
{
    const uint64_t word = some_word();
    struct shmr_block *block = mpmc_pages_block(&pages, test_random_below(&state, CAPACITY));
    struct shmr_row *row = &pages.rows[test_random_below(&state, ROWS)];

    switch (test_random_below(&state, 9)) {
    case 0:
    case 1:
        block->entry = word;
        break;
    case 2:
    case 3:
        block->descriptor = word;
        break;
    case 4:
        block->length = (uint32_t)word;
        break;
    case 5:
        block->deliveries = (uint32_t)word;
        break;
    case 6:
        ((_Atomic uint64_t *)pages.tail)[test_random_below(&state, 8)] = word;
        break;
    case 7:
        pages.head->hint = word;
        break;
    default:
        row->state = (uint32_t)word;
        row->held_since = word;
    }
}

static void assert_one_of(long r, long most, int other)
{
    cr_assert((r >= 0 && r <= most) || r == -EAGAIN || r == -EBADMSG || r == -other, "%ld", r);
}

struct player {
    shmring_t *handle;
    const void *held;
    void *reserved;
};

static void operate(struct player *p)
{
    uint8_t buf[LONGEST];
    struct iovec two[2] = {{buf, LONGEST}, {buf, LONGEST}};
    struct shmring_participant rows[ROWS];
    struct shmring_info info;
    struct shmring_stat st;

    memset(buf, 1, sizeof buf);
    switch (test_random_below(&state, 12)) {
    case 0:
    case 1:
        assert_one_of(shmring_send(p->handle, buf, LONGEST), 0, 0);
        break;
    case 2:
        assert_one_of(shmring_send_batch(p->handle, two, 2), 2, 0);
        break;
    case 3:
        assert_one_of(shmring_recv(p->handle, buf, LONGEST / 2), LONGEST / 2, EMSGSIZE);
        break;
    case 4:
    case 5:
        assert_one_of(shmring_recv_batch(p->handle, two, 2), 2, 0);
        break;
    case 6:
    case 7:
        assert_one_of(shmring_peek(p->handle, &p->held, &info), LONGEST, 0);
        break;
    case 8:
        assert_one_of(shmring_release(p->handle, p->held), 0, EINVAL);
        break;
    case 9:
        if (shmring_reserve(p->handle, LONGEST, &p->reserved) == 0)
            memset(p->reserved, 2, LONGEST);
        break;
    case 10:
        assert_one_of(shmring_commit(p->handle, p->reserved, 10), 0, EINVAL);
        assert_one_of(shmring_cancel(p->handle, p->reserved), 0, EINVAL);
        break;
    default:
        cr_assert_eq(shmring_stat(p->handle, &st), 0);
        cr_assert_leq(st.depth, CAPACITY);
        cr_assert_leq(shmring_participants(p->handle, rows, ROWS), ROWS);
        assert_one_of(shmring_recover(p->handle, NULL), ROWS, 0);
    }
}

Test(mpmc_damage, no_word_harms, .timeout = 60)
{
    state = test_seed();
    for (int round = 0; round < 150; round++) {
        const struct shmring_config config = {
            .kind = SHMRING_MPMC,
            .flags = BOTH | (round % 4 == 3 ? (uint32_t)SHMRING_AT_MOST_ONCE : 0),
            .capacity = CAPACITY,
            .max_message = LONGEST,
            .max_participants = ROWS};
        struct player players[3] = {{0}};
        cr_assert_eq(shmring_create(&q, "memfd:test", &config), 0);
        mpmc_pages_map(&pages, q);
        for (int i = 0; i < 300; i++) {
            struct player *p = &players[test_random_below(&state, 3)];
            pages.tail->swept = 0;
            if (!p->handle && shmring_dup(&p->handle, q, BOTH) < 0)
                break; /* damaged rows may all look taken */
            operate(p);
            if (i % 4 == 0)
                scribble();
            if (test_random_below(&state, 30) == 0)
                shmring_close(&p->handle);
            else if (test_random_below(&state, 60) == 0)
                mpmc_kill_handle(&p->handle);
        }
        for (int i = 0; i < 3; i++)
            shmring_close(&players[i].handle);
        close_queue();
    }
}
