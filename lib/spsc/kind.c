/* SPDX-License-Identifier: MIT */
/*
 * SPSC: the cold operations of a handle (kind.h). The protocol is in ring.h, and takeover.h has
 * what a successor does. An spsc queue has two rows, one for each role.
 */
#include <config.h>

#include "kind.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "base/error.h"
#include "core/attach.h"
#include "core/claim.h"
#include "core/recovery.h"
#include "core/rows.h"
#include "spsc/batch.h"
#include "spsc/dump.h"
#include "spsc/ready.h"
#include "spsc/takeover.h"
#include "wait/sleep.h"

#define UNIT "bytes"
#define WRITERS                                                                                    \
    {                                                                                              \
        .producer = SHMRING_PRODUCER, .consumer = SHMRING_CONSUMER, .data = SHMRING_PRODUCER,      \
        .twice = true                                                                              \
    }
#define NOT_HELD "this is not the oldest message held: released already, or out of turn"

#define CAPACITY_MAX (UINT64_C(1) << 46)
#define MESSAGE_MAX  (UINT32_C(1) << 30)

/* ---- The segment ----------------------------------------------------------------------------- */

static int configure(struct shmr_geometry *g, const struct shmring_config *c)
{
    int r = shmr_check_capacity(c->capacity, g->page_size, CAPACITY_MAX, "bytes (a page)");

    if (r < 0)
        return r;
    uint64_t longest = c->capacity - 16 < MESSAGE_MAX ? c->capacity - 16 : MESSAGE_MAX;
    if (c->max_message > longest)
        return shmr_fail(EINVAL,
                         "max_message %" PRIu32 ": at most %" PRIu64
                         " bytes with a capacity of %" PRIu64,
                         c->max_message, longest, c->capacity);
    if (c->max_participants != 0)
        return shmr_fail(EINVAL,
                         "max_participants %" PRIu32 ": an spsc queue always has two, leave it 0",
                         c->max_participants);
    if (c->flags & SHMRING_AT_MOST_ONCE)
        return shmr_fail(EINVAL, "SHMRING_AT_MOST_ONCE: only for SHMRING_MPMC");
    g->max_message = c->max_message ? c->max_message : (uint32_t)longest;
    g->rows = SHMR_SPSC_ROWS;
    return 0;
}

static uint64_t sections(struct shmr_geometry *g)
{
    return g->capacity;
}

/* ---- The two roles --------------------------------------------------------------------------- */

static int claim_row(shmring_t *q, int fd)
{
    int r = 0;

    if (q->roles & SHMRING_PRODUCER)
        r = shmr_claim_role(q, fd, SHMR_ROW_PRODUCER, "producer");
    if (r == 0 && q->roles & SHMRING_CONSUMER)
        r = shmr_claim_role(q, fd, SHMR_ROW_CONSUMER, "consumer");
    return r;
}

static int resume_producer(shmring_t *q)
{
    struct shmr_spsc_producer *p = &q->spsc.producer;

    *p = (struct shmr_spsc_producer){
        .data = q->map.data,
        .mask = q->geometry.capacity - 1,
        .max_message = q->geometry.max_message,
        .side.pauses = shmr_process_pauses(),
        .ticks = shmr_process_ticks(),
        .stage = p->stage,
        .page = (void *)q->map.producer,
        .consumer = (void *)q->map.consumer,
    };
    int r = shmr_spsc_resume_producer(p);
    if (r < 0)
        return shmr_fail(-r, "corrupt: %s", p->side.damage);
    if (shmr_row_is_attached(shmr_row_at(q->map.table, SHMR_ROW_PRODUCER)))
        shmr_recovery_takeover(q, SHMR_ROW_PRODUCER);
    return 0;
}

static int become_producer(shmring_t *q)
{
    /* Not malloc(): for a block of this size AddressSanitizer's malloc() would hang in a child that
     * was forked while another thread was in malloc(). */
    void *stage =
        mmap(NULL, SHMR_SPSC_STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (stage == MAP_FAILED)
        return shmr_fail(ENOMEM, "%d bytes to put batches together in", SHMR_SPSC_STAGE);
    q->spsc.producer.stage = stage;
    int r = resume_producer(q);
    if (r < 0)
        return r;
    shmr_row_attach(shmr_row_at(q->map.table, SHMR_ROW_PRODUCER), SHMRING_PRODUCER);
    q->sending = &q->spsc.producer.side;
    shmr_handle_attached(q, SHMRING_PRODUCER);
    return 0;
}

static int resume_consumer(shmring_t *q)
{
    struct shmr_spsc_consumer *c = &q->spsc.consumer;
    const bool died = shmr_row_is_attached(shmr_row_at(q->map.table, SHMR_ROW_CONSUMER));

    *c = (struct shmr_spsc_consumer){
        .data = q->map.data,
        .mask = q->geometry.capacity - 1,
        .max_message = q->geometry.max_message,
        .side.pauses = shmr_process_pauses(),
        .page = (void *)q->map.consumer,
    };
    int r = shmr_spsc_resume_consumer(c, (void *)q->map.producer, died);
    if (r < 0)
        return shmr_fail(-r, "corrupt: %s", c->side.damage);
    if (died)
        shmr_recovery_takeover(q, SHMR_ROW_CONSUMER);
    return 0;
}

static int become_consumer(shmring_t *q)
{
    int r = resume_consumer(q);

    if (r < 0)
        return r;
    shmr_row_attach(shmr_row_at(q->map.table, SHMR_ROW_CONSUMER), SHMRING_CONSUMER);
    q->receiving = &q->spsc.consumer.side;
    shmr_handle_attached(q, SHMRING_CONSUMER);
    return 0;
}

static int join(shmring_t *q)
{
    int r = 0;

    if (q->roles & SHMRING_PRODUCER)
        r = become_producer(q);
    if (r == 0 && q->roles & SHMRING_CONSUMER)
        r = become_consumer(q);
    return r;
}

static void leave(shmring_t *q)
{
    if (q->attached & SHMRING_PRODUCER)
        shmr_row_detach(shmr_row_at(q->map.table, SHMR_ROW_PRODUCER));
    if (q->attached & SHMRING_CONSUMER)
        shmr_row_detach(shmr_row_at(q->map.table, SHMR_ROW_CONSUMER));
}

static void free_stage(shmring_t *q)
{
    if (q->spsc.producer.stage)
        munmap(q->spsc.producer.stage, SHMR_SPSC_STAGE);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static unsigned ready(shmring_t *q, unsigned events, bool thorough)
{
    unsigned found = 0;

    (void)thorough;
    if (events & SHMRING_READABLE && shmr_spsc_is_readable(&q->spsc.consumer))
        found |= SHMRING_READABLE;
    if (events & SHMRING_WRITABLE && shmr_spsc_is_writable(&q->spsc.producer, q->waiting.refused))
        found |= SHMRING_WRITABLE;
    return found;
}

/* Each role has one owner. It is this handle if the handle has the role. */
static bool is_peer(const shmring_t *q, uint32_t row, uint32_t role)
{
    (void)row;
    return !(q->roles & role);
}

static _Atomic uint64_t *hung_up(const shmring_t *q, int event)
{
    const uint32_t row = event == SHMR_READABLE ? SHMR_ROW_CONSUMER : SHMR_ROW_PRODUCER;

    return &shmr_row_at(q->map.table, row)->hung_up;
}

/* ---- Recovery -------------------------------------------------------------------------------- */

static int recover(shmring_t *q, uint32_t row)
{
    return row == SHMR_ROW_PRODUCER
               ? shmr_recovery_by_successor(q, row, SHMRING_PRODUCER, resume_producer)
               : shmr_recovery_by_successor(q, row, SHMRING_CONSUMER, resume_consumer);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static size_t reserved(const shmring_t *q, const void *msg)
{
    (void)msg;
    return q->spsc.producer.reservation;
}

/* ---- Inspecting ------------------------------------------------------------------------------ */

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* How far a is ahead of b; 0: it is not. */
static uint64_t ahead(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) > 0 ? a - b : 0;
}

static void view(const shmring_t *q, struct shmr_spsc_view *v)
{
    shmr_spsc_observe(q->map.data, q->geometry.capacity - 1, q->geometry.max_message,
                      (const void *)q->map.producer, (const void *)q->map.consumer, v);
}

static void read_stat(const shmring_t *q, struct shmring_stat *st)
{
    const struct shmr_spsc_producer_page *p = (const void *)q->map.producer;
    const struct shmr_spsc_consumer_page *c = (const void *)q->map.consumer;
    struct shmr_spsc_view v;

    view(q, &v);
    st->sent = v.tail.messages;
    st->sent_bytes = v.tail.bytes;
    st->received = v.head.messages;
    st->received_bytes = v.head.bytes;
    st->depth = ahead(v.tail.messages, v.head.messages);
    st->depth_bytes = ahead(v.tail.position, v.head.position);
    /* Both sides may have moved between the loads: report no more than the ring can hold. */
    if (st->depth_bytes > st->capacity)
        st->depth_bytes = st->capacity;
    if (st->depth > st->depth_bytes / shmring_record_size(0))
        st->depth = st->depth_bytes / shmring_record_size(0);
    st->high_water = load(&p->high_water);
    if (st->high_water < st->depth_bytes)
        st->high_water = st->depth_bytes;
    st->full_events = load(&p->full_events);
    st->empty_events = load(&c->empty_events);
}

static void holdings(const shmring_t *q, struct shmring_participant *participants, int n)
{
    struct shmr_spsc_view v;

    view(q, &v);
    for (int i = 0; i < n; i++) {
        if (participants[i].row == SHMR_ROW_PRODUCER)
            participants[i].sent = v.tail.messages;
        else
            participants[i].received = v.head.messages;
    }
}

const struct shmr_kind shmr_spsc_kind = {
    SHMR_KIND_MEMBERS(SPSC, spsc),
    .rows = SHMR_SPSC_ROWS,
    .free = free_stage,
    .hung_up = hung_up,
};
