/* SPDX-License-Identifier: MIT */
/*
 * Counters of participants that were killed between a step and its count: the test writes what such
 * a death leaves into the segment, word by word. tests/prove/crash kills real processes at every
 * instruction.
 */
#include <config.h>

#include "lib/core/rows.h"
#include "mpmc_pages.h"
#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

enum { CAPACITY = 8, LONGEST = 100 };

static shmring_t *q;
static struct mpmc_pages pages;

static struct shmring_stat stat_of_queue(void)
{
    struct shmring_stat st;

    cr_assert_eq(shmring_stat(q, &st), 0);
    return st;
}

static void is(uint64_t sent, uint64_t sent_bytes, uint64_t received, uint64_t received_bytes)
{
    const struct shmring_stat st = stat_of_queue();

    cr_assert_eq(st.sent, sent, "%d sent, not %d", (int)st.sent, (int)sent);
    cr_assert_eq(st.sent_bytes, sent_bytes, "%d", (int)st.sent_bytes);
    cr_assert_eq(st.received, received, "%d received, not %d", (int)st.received, (int)received);
    cr_assert_eq(st.received_bytes, received_bytes, "%d", (int)st.received_bytes);
}

/* ---- mpmc ------------------------------------------------------------------------------------ */

static void open_mpmc(void)
{
    q = test_create_mpmc("memfd:test", BOTH, CAPACITY, LONGEST);
    mpmc_pages_map(&pages, q);
}

static void close_mpmc(void)
{
    mpmc_pages_unmap(&pages);
    shmring_close(&q);
}

/* Row 1's tally as a participant leaves it that is killed just before a step: all words are stored,
 * or some. */
static void pend(struct shmr_tally *t, uint32_t block, bool twice, bool messages)
{
    t->pending = (t->messages + 1) << SHMR_PENDING_COUNT | SHMR_PENDING | block;
    t->twice += twice ? 2 * 5 + 1 : 0;
    t->messages += messages;
}

static const struct stores {
    bool twice, messages;
} stores[] = {{false, false}, {true, false}, {true, true}};

/* The row of a participant that died after three messages of ten bytes. */
static struct shmr_row *die_after_three(void)
{
    struct shmr_row *row = &pages.rows[1];

    row->generation = 1;
    row->state = SHMR_ROW_ATTACHED;
    row->sent.messages = row->received.messages = 3;
    row->sent.twice = row->received.twice = 2 * 30 + 3;
    return row;
}

Test(counters, killed_before_it_published, .init = open_mpmc, .fini = close_mpmc)
{
    const uint64_t not_published[] = {shmr_descriptor(SHMR_OWN, 1, 0),
                                      shmr_descriptor(SHMR_RDY, 1, 0)};

    for (size_t i = 0; i < 3; i++)
        for (size_t d = 0; d < 2; d++) {
            struct shmr_row *row = die_after_three();
            mpmc_pages_block(&pages, 4)->descriptor = not_published[d];
            mpmc_pages_block(&pages, 4)->length = 5;
            pend(&row->sent, 4, stores[i].twice, stores[i].messages);
            is(3, 30, 3, 30);
            cr_assert_eq(shmring_recover(q, NULL), 1);
            is(3, 30, 3, 30);
            cr_assert_eq(row->sent.pending, 0, "settled");
            cr_assert_eq(mpmc_pages_block(&pages, 4)->descriptor, SHMR_FREE);
        }
}

Test(counters, killed_after_it_published, .init = open_mpmc, .fini = close_mpmc)
{
    struct shmr_row *row = die_after_three();
    struct shmr_block *block = mpmc_pages_block(&pages, 0);

    block->descriptor = shmr_descriptor(SHMR_RDY, 1, 0);
    block->length = 5;
    block->entry = UINT64_C(1) << SHMR_BLOCK_BITS;
    pend(&row->sent, 0, true, true);
    is(4, 35, 3, 30);
    cr_assert_eq(stat_of_queue().depth, 1);
    cr_assert_eq(shmring_recover(q, NULL), 1);
    is(4, 35, 3, 30);
}

Test(counters, killed_before_it_released, .init = open_mpmc, .fini = close_mpmc)
{
    for (size_t i = 0; i < 3; i++) {
        struct shmr_row *row = die_after_three();
        const uint64_t redelivered = stat_of_queue().redelivered;
        mpmc_pages_block(&pages, 4)->descriptor = shmr_descriptor(SHMR_OWN | SHMR_M, 1, 7);
        mpmc_pages_block(&pages, 4)->length = 5;
        mpmc_pages_block(&pages, 4)->deliveries = 0;
        pend(&row->received, 4, stores[i].twice, stores[i].messages);
        is(3, 30, 3, 30);
        cr_assert_eq(shmring_recover(q, NULL), 1);
        is(3, 30, 3, 30);
        cr_assert_eq(stat_of_queue().redelivered, redelivered + 1);
        char text[LONGEST];
        cr_assert_eq(shmring_recv(q, text, sizeof text), 5);
        is(3, 30, 4, 35);
        cr_assert_eq(shmring_recv(q, text, sizeof text), -EAGAIN);
        pages.rows[0].received.messages = pages.rows[0].received.twice = 0; /* count from 0 again */
        q->mpmc.received = q->mpmc.received_twice = 0;
    }
}

Test(counters, killed_after_it_released, .init = open_mpmc, .fini = close_mpmc)
{
    struct shmr_row *row = die_after_three();

    pend(&row->received, 4, true, true);
    is(3, 30, 4, 35);
    cr_assert_eq(shmring_recover(q, NULL), 1);
    is(3, 30, 4, 35);
}

/* The block's owner changes when its count is noted: a recoverer may be killed in between. */
Test(counters, a_recoverer_killed_before_it_took_a_message_back, .init = open_mpmc,
     .fini = close_mpmc)
{
    struct shmr_row *row = die_after_three();

    mpmc_pages_block(&pages, 4)->descriptor = shmr_descriptor(SHMR_OWN | SHMR_M, 1, 7);
    mpmc_pages_block(&pages, 4)->length = 5;
    row->recovered = UINT64_C(1) << SHMR_PENDING_COUNT | SHMR_PENDING | 4;
    cr_assert_eq(stat_of_queue().redelivered, 0);
    cr_assert_eq(shmring_recover(q, NULL), 1);
    cr_assert_eq(stat_of_queue().redelivered, 1);
}

/* The death has been counted, and the row is still there: the recoverer was killed before the
 * end. */
Test(counters, a_death_counts_once, .init = open_mpmc, .fini = close_mpmc)
{
    struct shmr_row *row = die_after_three();

    shmr_row_note_death(row);
    cr_assert_eq(stat_of_queue().takeovers, 0);
    cr_assert_eq(stat_of_queue().dead, 1);
    cr_assert_eq(shmring_recover(q, NULL), 1);
    cr_assert_eq(stat_of_queue().takeovers, 1);
    cr_assert_eq(stat_of_queue().dead, 0);
}

/* `misses` counts how often in a row the queue was found full, or empty; 0 would mean that the last
 * call was a success. */
Test(counters, misses_do_not_wrap, .init = open_mpmc, .fini = close_mpmc)
{
    char text[LONGEST];

    q->mpmc.queue.receiving.misses = UINT32_MAX;
    cr_assert_eq(shmring_recv(q, text, sizeof text), -EAGAIN);
    cr_assert_eq(q->mpmc.queue.receiving.misses, 1);
    for (int i = 0; i < CAPACITY; i++)
        cr_assert_eq(shmring_send(q, "hello", 5), 0);
    q->mpmc.queue.sending.misses = UINT32_MAX;
    cr_assert_eq(shmring_send(q, "hello", 5), -EAGAIN);
    cr_assert_eq(q->mpmc.queue.sending.misses, 1);
    cr_assert_eq(stat_of_queue().empty_events + stat_of_queue().full_events, 0);
}

Test(counters, the_high_water_mark_stays, .init = open_mpmc, .fini = close_mpmc)
{
    char text[LONGEST];

    for (int i = 0; i < CAPACITY; i++)
        cr_assert_eq(shmring_send(q, "hello", 5), 0);
    cr_assert_eq(shmring_send(q, "hello", 5), -EAGAIN);
    for (int i = 0; i < CAPACITY; i++)
        cr_assert_eq(shmring_recv(q, text, sizeof text), 5);
    cr_assert_eq(stat_of_queue().depth, 0);
    cr_assert_eq(stat_of_queue().high_water, CAPACITY);
}

/* ---- spsc ------------------------------------------------------------------------------------ */

/* The producer was killed in a batch before it stored its progress: the record is an earlier
 * one. */
Test(counters, a_producer_killed_behind_its_last_record)
{
    struct shmr_progress before[2];
    struct iovec batch[] = {{(char *)"five.", 5}, {(char *)"six...", 6}, {(char *)"seven..", 7}};
    char text[LONGEST];

    q = test_create("memfd:test", BOTH, 4096);
    mpmc_pages_map(&pages, q);
    struct shmr_spsc_producer_page *page = (void *)pages.tail;
    cr_assert_eq(shmring_send(q, "first", 5), 0);
    memcpy(before, page->progress, sizeof before);
    cr_assert_eq(shmring_send_batch(q, batch, 3), 3);
    memcpy(page->progress, before, sizeof before);
    is(4, 23, 0, 0);
    cr_assert_eq(stat_of_queue().depth, 4);
    cr_assert_eq(stat_of_queue().depth_bytes, 4 * 16);
    /* The consumer goes beyond what the producer's progress record says. */
    for (int i = 0; i < 3; i++)
        cr_assert_gt(shmring_recv(q, text, sizeof text), 0);
    is(4, 23, 3, 16);
    cr_assert_gt(shmring_recv(q, text, sizeof text), 0);
    is(4, 23, 4, 23);
    cr_assert_eq(stat_of_queue().depth, 0);
    mpmc_pages_unmap(&pages);
    shmring_close(&q);
}
