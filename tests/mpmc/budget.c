/* SPDX-License-Identifier: MIT */
/*
 * Whatever a peer writes, and at any moment, a call takes no more steps than its budget: the test
 * counts the steps, and the peer acts before each of them. Other tests change the memory between
 * two chosen steps of a call, which by chance would happen very seldom.
 */
#include <config.h>

#include "turns.h"

#include "lib/core/recovery.c"
#include "lib/mpmc/dump.c"
#include "lib/mpmc/ready.h"
#include "lib/spsc/dump.c"
#include "lib/spsc/quick.h"
#include "lib/spsc/ready.h"
#include "messages.h"
#include "mpmc_pages.h"
#include "support.h"
#include "tests/prove/fuzz/fuzz.h"

enum {
    CAPACITY = 8,
    LONGEST = 100,
    BUDGET = 2 * CAPACITY + 1024,
    MORE = 16, /* loads that a call makes besides its walk */
    RING = 4096,
};

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static shmring_t *q, *other;
static uint64_t loads; /* loads of the word that the peer changes */

static void no_peer(void)
{
    peer = NULL;
    loads = turns = 0;
}

static void open_mpmc(void)
{
    no_peer();
    q = test_create_mpmc("memfd:test", BOTH, CAPACITY, LONGEST);
    cr_assert_eq(shmring_dup(&other, q, BOTH), 0);
}

static void open_spsc(void)
{
    const struct shmring_config config = {
        .kind = SHMRING_SPSC, .capacity = RING, .max_message = 1000, .flags = BOTH};

    no_peer();
    cr_assert_eq(shmring_create(&q, "memfd:test", &config), 0);
}

static void close_queue(void)
{
    peer = NULL;
    shmring_close(&other);
    shmring_close(&q);
}

static struct shmr_block *block(uint64_t index)
{
    return shmr_mpmc_block(&q->mpmc.queue, index);
}

/* ---- mpmc: walks without an end -------------------------------------------------------------- */

/* The position that an entry's word belongs to, in the lap of the cursor. False: the word is no
 * entry. */
static bool is_entry(const volatile void *word, uint64_t cursor, uint64_t *position)
{
    const uint64_t at = (uint64_t)((const volatile uint8_t *)word - q->mpmc.queue.blocks);

    if (at >= q->geometry.origins || at % q->geometry.stride != offsetof(struct shmr_block, entry))
        return false;
    *position = (cursor & ~(uint64_t)(CAPACITY - 1)) | at / q->geometry.stride;
    return true;
}

static void set_entry(uint64_t position, bool published)
{
    block(position)->entry = shmr_mpmc_entry(&q->mpmc.queue, position, position % CAPACITY) -
                             (published ? 0 : UINT64_C(1) << SHMR_BLOCK_BITS);
}

/* Another producer claims before each call does; at every fiftieth load it claims at the last
 * moment, just before the compare-and-swap. */
static void be_there_first(enum turn turn, volatile void *word)
{
    uint64_t position;

    if (is_entry(word, q->mpmc.queue.tail, &position))
        set_entry(position, turn == SWAP || loads++ % 50 != 0);
}

/* The same for a call that does not publish. */
static void publish_always(enum turn turn, volatile void *word)
{
    uint64_t position;

    (void)turn;
    if (is_entry(word, loads++ == 0 ? 0 : q->mpmc.queue.tail, &position))
        set_entry(position, true);
}

Test(budget, publishing, .init = open_mpmc, .fini = close_queue)
{
    peer = be_there_first;
    cr_assert_eq(shmr_mpmc_send(&q->mpmc, "message", 7), -EAGAIN);
    cr_assert_gt(loads, BUDGET / 2, "the peer was there");
    cr_assert_leq(loads, BUDGET + MORE);
    cr_assert_eq(block(0)->descriptor, SHMR_FREE, "and nothing is held");
}

Test(budget, recovery, .init = open_mpmc, .fini = close_queue)
{
    struct shmr_recovered report = {0};
    const uint32_t dead = other->row;
    const void *msg;

    for (int i = 0; i < CAPACITY; i++) {
        cr_assert_eq(shmring_send(q, "message", 7), 0);
        cr_assert_eq(shmring_peek(other, &msg, NULL), 7);
    }
    mpmc_kill_handle(&other);
    peer = be_there_first;
    shmr_mpmc_recover(&q->mpmc.queue, dead, shmr_row_at(q->map.table, dead), false, &report);
    cr_assert_gt(loads, SHMR_MPMC_RECOVERY * BUDGET / 2);
    cr_assert_leq(loads, SHMR_MPMC_RECOVERY * BUDGET + CAPACITY * MORE);
    cr_assert_eq(report.left, CAPACITY);
    for (uint64_t i = 0; i < CAPACITY; i++) {
        cr_assert_eq(shmr_owner(block(i)->descriptor), dead, "for the next recoverer");
        cr_assert(block(i)->descriptor & SHMR_M);
    }
}

/* All entries are published, but no consumer can take a message. */
static void offer_nothing(enum turn turn, volatile void *word)
{
    uint64_t position;

    (void)turn;
    if (is_entry(word, q->mpmc.queue.head, &position)) {
        loads++;
        set_entry(q->mpmc.queue.head, true);
        block(position)->descriptor = shmr_descriptor(SHMR_OWN | SHMR_M, other->row, position);
    }
}

Test(budget, receiving, .init = open_mpmc, .fini = close_queue)
{
    uint8_t buf[LONGEST];
    struct iovec two[2] = {{buf, LONGEST}, {buf, LONGEST}};

    q->mpmc.queue.receiving.misses = 0;
    peer = offer_nothing;
    cr_assert_eq(shmr_mpmc_recv(&q->mpmc, buf, sizeof buf), -EAGAIN);
    cr_assert_eq(loads, 2 * BUDGET, "and once more after it has backed off");
    loads = 0;
    cr_assert_eq(shmr_mpmc_recv_batch(&q->mpmc, two, 2), -EAGAIN);
    cr_assert_eq(loads, BUDGET);
}

Test(budget, polling_for_a_message, .init = open_mpmc, .fini = close_queue)
{
    peer = offer_nothing;
    cr_assert_not(shmr_mpmc_is_readable(&q->mpmc.queue, 1));
    cr_assert_eq(loads, BUDGET);
}

Test(budget, polling_for_room, .init = open_mpmc, .fini = close_queue)
{
    peer = publish_always;
    cr_assert_not(shmr_mpmc_is_writable(&q->mpmc.queue, CAPACITY));
    cr_assert_leq(turns, 2 * BUDGET);
}

static void write_anything(enum turn turn, volatile void *word)
{
    (void)turn;
    if ((volatile uint8_t *)word >= q->mpmc.queue.blocks)
        *(volatile uint64_t *)word = test_random(&loads);
}

Test(budget, counting, .init = open_mpmc, .fini = close_queue)
{
    loads = test_seed();
    peer = write_anything;
    for (int i = 0; i < 1000; i++) {
        turns = 0;
        cr_assert_leq(shmr_mpmc_depth(&q->mpmc.queue), CAPACITY);
        cr_assert_leq(turns, 5 * BUDGET);
    }
}

/* Every block is free when the call loads it, and taken before the compare-and-swap. */
static void take_blocks_away(enum turn turn, volatile void *word)
{
    for (uint64_t i = 0; i < CAPACITY; i++)
        if (word == (volatile void *)&block(i)->descriptor) {
            loads++;
            block(i)->descriptor =
                turn == LOAD ? SHMR_FREE : shmr_descriptor(SHMR_OWN, other->row, 0);
        }
}

Test(budget, a_block_to_write_into, .init = open_mpmc, .fini = close_queue)
{
    peer = take_blocks_away;
    cr_assert_eq(shmr_mpmc_send(&q->mpmc, "message", 7), -EAGAIN);
    cr_assert_leq(loads, 4 * (SHMR_MPMC_SEARCH + 2));
}

/* ---- mpmc: between two steps ----------------------------------------------------------------- */

/* Another consumer takes the message in block 0 while the call checks whether it fits. */
static void take_it(enum turn turn, volatile void *word)
{
    (void)turn;
    if (word == (volatile void *)&block(0)->length)
        block(0)->descriptor = shmr_descriptor(SHMR_OWN | SHMR_M, other->row, 0);
}

Test(budget, a_message_too_long_that_another_consumer_takes, .init = open_mpmc, .fini = close_queue)
{
    uint8_t buf[LONGEST];

    cr_assert_eq(shmring_send(q, "message", 7), 0);
    cr_assert_eq(shmring_send(q, "m", 1), 0);
    peer = take_it;
    cr_assert_eq(shmr_mpmc_recv(&q->mpmc, buf, 6), 1, "the next one fits");
    cr_assert_eq(buf[0], 'm');
}

/* A producer publishes a message between the two loads of a call. */
static void send_a_long_one(enum turn turn, volatile void *word)
{
    (void)turn;
    if (word == (volatile void *)&block(1)->entry && ++loads == 2)
        cr_assert_eq(shmring_send(other, "message", 7), 0);
}

Test(budget, a_message_too_long_that_comes_late, .init = open_mpmc, .fini = close_queue)
{
    uint8_t buf[LONGEST];

    cr_assert_eq(shmring_send(other, "m", 1), 0);
    cr_assert_eq(shmr_mpmc_recv(&q->mpmc, buf, 6), 1);
    peer = send_a_long_one;
    cr_assert_eq(shmr_mpmc_recv(&q->mpmc, buf, 6), -EMSGSIZE);
    cr_assert_eq(q->mpmc.queue.receiving.misses, 0, "it was not empty");
}

/* The message that the dead producer was about to publish: another recoverer publishes it, and a
 * consumer takes it, while the call recovers the same block. */
static void finish_for_the_dead(enum turn turn, volatile void *word)
{
    if (turn == SWAP && word == (volatile void *)&block(0)->descriptor)
        block(0)->descriptor = shmr_descriptor(SHMR_OWN | SHMR_M, q->row, 0);
}

Test(budget, a_block_that_another_participant_has_by_now, .init = open_mpmc, .fini = close_queue)
{
    struct shmr_recovered report = {0};

    block(0)->descriptor = shmr_descriptor(SHMR_RDY, other->row, 0);
    peer = finish_for_the_dead;
    shmr_mpmc_recover(&q->mpmc.queue, other->row, shmr_row_at(q->map.table, other->row), false,
                      &report);
    cr_assert_eq(report.freed + report.redelivered + report.dropped + report.left, 0);
    cr_assert_eq(shmr_owner(block(0)->descriptor), q->row);
}

/* The greatest count of deliveries does not wrap to 0. */
Test(budget, deliveries_do_not_wrap, .init = open_mpmc, .fini = close_queue)
{
    struct shmring_info info;
    const void *msg;

    cr_assert_eq(shmring_send(q, "m", 1), 0);
    block(0)->deliveries = UINT32_MAX;
    cr_assert_eq(shmr_mpmc_peek(&q->mpmc, &msg, &info), 1);
    cr_assert_eq(info.deliveries, UINT32_MAX);
    cr_assert_eq(info.flags, SHMRING_REDELIVERED);
}

/* ---- mpmc: sweeps ---------------------------------------------------------------------------- */

/* Whatever time a peer writes into the segment, 50 ms of the handle's own clock pass between two
 * sweeps. */
Test(budget, a_wrong_clock_makes_no_more_sweeps, .init = open_mpmc, .fini = close_queue)
{
    static const uint64_t clocks[] = {0, 1, INT64_MAX, UINT64_MAX};
    uint64_t sweeps = 0, before;

    around_stop_clock(); /* each read of the clock then returns a millisecond more */
    for (uint32_t i = 0; i < 2000; i++) {
        q->mpmc.queue.tail_page->swept = clocks[i % 4];
        before = q->swept;
        shmr_sweep(q, SHMR_SWEEP_UNITS);
        sweeps += q->swept != before;
    }
    cr_assert_geq(sweeps, 2000 / 50 - 1);
    cr_assert_leq(sweeps, 2000 / 50 + 1);
}

Test(budget, a_sweep_of_a_large_queue_tests_one_row)
{
    struct shmring large = {.geometry = {.capacity = 1 << 22, .rows = 4000}};

    cr_assert_eq(shmr_sweep_rows(&large), 1);
    large.geometry.capacity = 1 << 17;
    cr_assert_eq(shmr_sweep_rows(&large), 8);
    large.geometry.capacity = 2;
    cr_assert_eq(shmr_sweep_rows(&large), 4000);
}

Test(budget, a_sweep_ends_after_so_many_rows, .init = open_mpmc, .fini = close_queue)
{
    for (uint32_t i = 0; i < q->geometry.rows; i++)
        if (i != q->row && i != other->row) {
            shmr_row_at(q->map.table, i)->state = SHMR_ROW_ATTACHED;
            loads++;
        }
    cr_assert_gt(loads, 3);
    cr_assert_eq(shmr_recover_dead(q, 3), 3);
    cr_assert_eq(shmr_recover_dead(q, UINT32_MAX), (int)loads - 3);
}

/* Several participants are about to sweep at the same moment: one of them does. */
static void sweep_first(enum turn turn, volatile void *word)
{
    if (turn == SWAP && word == (volatile void *)&q->mpmc.queue.tail_page->swept)
        *(volatile uint64_t *)word += 1;
}

Test(budget, one_sweep_of_two, .init = open_mpmc, .fini = close_queue)
{
    struct shmring_recovery report;

    around_stop_clock();
    mpmc_kill_handle(&other);
    q->mpmc.queue.tail_page->swept = 0;
    q->swept = 0;
    peer = sweep_first;
    shmr_sweep(q, SHMR_SWEEP_UNITS);
    cr_assert_eq(q->recovered.participants, 0);
    peer = NULL;
    q->mpmc.queue.tail_page->swept = 0;
    q->swept = 0;
    shmr_sweep(q, SHMR_SWEEP_UNITS);
    cr_assert_eq(q->recovered.participants, 1);
    cr_assert_eq(shmring_recover(q, &report), 1);
}

/* Another thread forks or attaches: a send or receive does not wait for it. */
Test(budget, a_sweep_does_not_wait, .init = open_mpmc, .fini = close_queue)
{
    mpmc_kill_handle(&other);
    sigset_t signals;
    shmr_process_hold_fork(&signals);
    cr_assert_eq(shmr_recover_dead(q, UINT32_MAX), 1);
    shmr_process_let_fork(&signals);
}

/* ---- spsc ------------------------------------------------------------------------------------ */

static void go_on_writing(enum turn turn, volatile void *word)
{
    struct shmr_spsc_producer_page *page = (void *)q->map.producer;

    (void)turn;
    (void)word;
    loads++;
    page->progress[loads % 2].position = loads;
}

Test(budget, the_record_of_one_at_work, .init = open_spsc, .fini = close_queue)
{
    const struct shmr_spsc_producer_page *page = (void *)q->map.producer;
    struct shmr_progress_copy copy;

    peer = go_on_writing;
    cr_assert_not(shmr_progress_read(page->progress, &copy));
    cr_assert_leq(loads, 64);
}

/* The consumer's position is ahead of the producer's: the sample of the depth does not report that,
 * a check for room does. */
Test(budget, a_head_that_cannot_be, .init = open_spsc, .fini = close_queue)
{
    struct shmr_spsc_consumer_page *page = (void *)q->map.consumer;
    char buf[8];

    cr_assert_eq(shmr_spsc_send(&q->spsc.producer, "message", 7), 0);
    cr_assert_eq(shmr_spsc_recv(&q->spsc.consumer, buf, sizeof buf), 7);
    page->progress[0].position = 800;
    const uint64_t high_water = q->spsc.producer.high_water;
    shmr_spsc_sample(&q->spsc.producer);
    cr_assert_eq(q->spsc.producer.high_water, high_water);
    cr_assert(shmr_spsc_is_writable(&q->spsc.producer, 7));
}

/* ---- Dump ------------------------------------------------------------------------------------ */

static uint64_t told;

static int tell(void *arg, const struct shmring_message *m)
{
    (void)arg;
    told += m->length <= 1000;
    return 0;
}

static struct shmr_dump a_dump(void)
{
    static uint8_t copy[1000];

    told = 0;
    return (struct shmr_dump){.q = q, .copy = copy, .each = tell};
}

/* Each message is as long as allowed. As soon as the dump has copied it, a peer consumes it as if
 * it were short. */
static void consume_what_is_copied(enum turn turn, volatile void *word)
{
    struct shmr_spsc_consumer_page *page = (void *)q->map.consumer;

    (void)turn;
    if (word >= (volatile void *)q->map.data) {
        *(volatile uint32_t *)word = 1001;
        loads++;
    } else if (loads > 0) {
        page->progress[0].position = 8 * loads;
    }
}

Test(budget, dump_of_what_is_consumed_meanwhile, .init = open_spsc, .fini = close_queue)
{
    const struct shmr_dump d = a_dump();

    peer = consume_what_is_copied;
    cr_assert_eq(shmr_spsc_dump(&d), 0);
    cr_assert_eq(told, 0);
    cr_assert_leq(loads, DUMP_RINGS * RING / 1000 + 1);
}

static void go_astray(enum turn turn, volatile void *word)
{
    struct shmr_spsc_consumer_page *page = (void *)q->map.consumer;

    (void)turn;
    if (word >= (volatile void *)q->map.data)
        page->progress[0].position = 4;
}

Test(budget, dump_beside_a_consumer_that_goes_astray, .init = open_spsc, .fini = close_queue)
{
    const struct shmr_dump d = a_dump();

    peer = go_astray;
    assert_refused(shmr_spsc_dump(&d), EBADMSG, "not a multiple of 8");
}

/* Block 0's descriptor differs at each load. */
static void change_the_descriptor(enum turn turn, volatile void *word)
{
    (void)turn;
    if (word == (volatile void *)&block(0)->descriptor)
        block(0)->descriptor = shmr_descriptor(SHMR_OWN | SHMR_M, ++loads % 8, 0);
}

Test(budget, dump_of_a_message_in_motion, .init = open_mpmc, .fini = close_queue)
{
    const struct shmr_dump d = a_dump();

    cr_assert_eq(shmring_send(q, "message", 7), 0);
    peer = change_the_descriptor;
    cr_assert_eq(shmr_mpmc_dump(&d), 0);
    cr_assert_eq(told, 0);
    cr_assert_leq(loads, 1 + CAPACITY + 2 * COPY_TRIES);
    peer = NULL;
    block(0)->entry = 0; /* not in the ring: the entry is one of the lap before */
    block(0)->descriptor = shmr_descriptor(SHMR_OWN | SHMR_M, 0, 0);
    peer = change_the_descriptor;
    loads = 0;
    cr_assert_eq(shmr_mpmc_dump(&d), 0);
    cr_assert_eq(told, 0);
    cr_assert_leq(loads, 2 + CAPACITY);
}

/* A producer is filling a block, although an entry of the ring names it. */
Test(budget, dump_of_a_block_without_a_message, .init = open_mpmc, .fini = close_queue)
{
    const struct shmr_dump d = a_dump();

    cr_assert_eq(shmring_send(q, "message", 7), 0);
    block(0)->descriptor = shmr_descriptor(SHMR_OWN, other->row, 0);
    cr_assert_eq(shmr_mpmc_dump(&d), 0);
    cr_assert_eq(told, 0);
}
