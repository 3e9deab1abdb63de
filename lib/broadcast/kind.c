/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: the cold operations of a handle (kind.h). The protocol is in ring.h, and takeover.h
 * has what a successor and a consumer do when they attach. The producer has row 0; a consumer has
 * one of the others, or none.
 */
#include <config.h>

#include "kind.h"

#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "broadcast/batch.h"
#include "broadcast/dump.h"
#include "broadcast/ready.h"
#include "broadcast/takeover.h"
#include "core/attach.h"
#include "core/claim.h"
#include "core/recovery.h"
#include "core/rows.h"
#include "wait/sleep.h"

#define UNIT "bytes"
#define WRITERS                                                                                    \
    {                                                                                              \
        .producer = SHMRING_PRODUCER, .data = SHMRING_PRODUCER, .twice = true                      \
    }
#define NOT_HELD "this is not the oldest message held: released already, or out of turn"

#define CAPACITY_MAX (UINT64_C(1) << 46)
#define MESSAGE_MAX  (UINT32_C(1) << 30)

/* q->row of a consumer that has none. */
#define NO_ROW UINT32_MAX

/* A producer that is held up for longer than it wants rechecks after this time at the earliest. */
#define SHORTEST_SLEEP_NS INT64_C(100000)

/* ---- The segment ----------------------------------------------------------------------------- */

static int configure(struct shmr_geometry *g, const struct shmring_config *c)
{
    int r = shmr_check_capacity(c->capacity, g->page_size, CAPACITY_MAX, "bytes (a page)");

    if (r < 0)
        return r;
    const uint64_t quarter = c->capacity / SHMR_BROADCAST_MOST_FRACTION - 8;
    const uint64_t longest = quarter < MESSAGE_MAX ? quarter : MESSAGE_MAX;
    if (c->max_message > longest)
        return shmr_fail(EINVAL,
                         "max_message %" PRIu32 ": at most %" PRIu64
                         " bytes with a capacity of %" PRIu64
                         ": a broadcast message takes at most a quarter of the ring",
                         c->max_message, longest, c->capacity);
    if (c->max_participants > SHMRING_PARTICIPANTS_MAX - SHMR_BROADCAST_FIRST_CONSUMER)
        return shmr_fail(EINVAL, "max_participants %" PRIu32 ": at most %d consumers have a row",
                         c->max_participants,
                         SHMRING_PARTICIPANTS_MAX - SHMR_BROADCAST_FIRST_CONSUMER);
    if (c->flags & SHMRING_AT_MOST_ONCE)
        return shmr_fail(EINVAL, "SHMRING_AT_MOST_ONCE: only for SHMRING_MPMC");
    g->max_message = c->max_message ? c->max_message : (uint32_t)longest;
    g->rows = SHMR_BROADCAST_FIRST_CONSUMER + c->max_participants;
    return 0;
}

static uint64_t sections(struct shmr_geometry *g)
{
    return g->capacity;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static int claim_consumer(shmring_t *q, int fd)
{
    const bool reliable = q->options & SHMRING_RELIABLE;
    const uint32_t rows = q->geometry.rows - SHMR_BROADCAST_FIRST_CONSUMER;
    int holder = SHMR_OWNER, r = -EBUSY;

    if (rows > 0)
        r = shmr_claim(q, fd, SHMR_ANY_ROW, &holder);
    if (r == 0) /* if the owner before died: while the row is locked, it does not look dead */
        shmr_broadcast_stop_consumer(shmr_broadcast_row_at(q->map.table, q->row));
    if (r != -EBUSY)
        return r;
    if (holder == SHMR_REMOVER)
        return shmr_claim_say_removed();
    if (reliable && rows == 0)
        return shmr_fail(EUSERS, "no consumer of this queue can be reliable: it was created with "
                                 "max_participants 0");
    if (reliable)
        return shmr_fail(EUSERS,
                         "all %" PRIu32 " consumers' rows are taken, and a reliable one needs one: "
                         "close some handles, or create the queue with a larger max_participants",
                         rows);
    q->row = NO_ROW;
    return 0;
}

static int claim_row(shmring_t *q, int fd)
{
    int r = 0;

    q->row = NO_ROW;
    if (q->roles & SHMRING_PRODUCER)
        r = shmr_claim_role(q, fd, SHMR_BROADCAST_PRODUCER_ROW, "producer");
    if (r == 0 && q->roles & SHMRING_CONSUMER)
        r = claim_consumer(q, fd);
    return r;
}

static struct shmr_broadcast_ring ring_of(const shmring_t *q)
{
    return (struct shmr_broadcast_ring){.data = q->map.data,
                                        .mask = q->geometry.capacity - 1,
                                        .page = (void *)q->map.producer,
                                        .max_message = q->geometry.max_message};
}

static int resume_producer(shmring_t *q)
{
    struct shmr_broadcast_producer *p = &q->broadcast.producer;

    *p = (struct shmr_broadcast_producer){
        .ring = ring_of(q),
        .table = q->map.table,
        .rows = q->geometry.rows,
        .side.pauses = shmr_process_pauses(),
        .ticks = shmr_process_ticks(),
    };
    int r = shmr_broadcast_resume_producer(p);
    if (r < 0)
        return shmr_fail(-r, "corrupt: %s", p->side.damage);
    if (shmr_row_is_attached(shmr_row_at(q->map.table, SHMR_BROADCAST_PRODUCER_ROW)))
        shmr_recovery_takeover(q, SHMR_BROADCAST_PRODUCER_ROW);
    return 0;
}

static int become_producer(shmring_t *q)
{
    int r = resume_producer(q);

    if (r < 0)
        return r;
    shmr_row_attach(shmr_row_at(q->map.table, SHMR_BROADCAST_PRODUCER_ROW), SHMRING_PRODUCER);
    q->sending = &q->broadcast.producer.side;
    shmr_handle_attached(q, SHMRING_PRODUCER);
    return 0;
}

/* What the row's word `reliable` says while its next owner is. */
static uint64_t reliable_word(const struct shmr_row *row)
{
    const uint32_t generation =
        atomic_load_explicit(&row->generation, memory_order_relaxed) + 1; /* shmr_row_attach() */

    return UINT64_C(1) << 32 | generation;
}

/* Has the owner that stored this word in the row attached, so that others see it? */
static bool has_attached(struct shmr_row *row, uint64_t reliable)
{
    return shmr_row_is_attached(row) &&
           atomic_load_explicit(&row->generation, memory_order_relaxed) == (uint32_t)reliable;
}

/*
 * Find the start, attach the row, and join if the consumer is to be reliable. If another program
 * waits until the participant appears and then sends, that message is behind the start. And other
 * programs see each consumer that has joined, as it may hold the producer up for long. reliable: as
 * for shmr_broadcast_start_consumer().
 */
static int start_consumer(shmring_t *q, struct shmr_row *row, uint64_t reliable)
{
    struct shmr_broadcast_consumer *c = &q->broadcast.consumer;
    bool attached = false;
    int r = -EAGAIN;

    for (int i = 0; r == -EAGAIN && i < SHMR_BROADCAST_JOIN_TRIES; i++) {
        r = shmr_broadcast_start_consumer(c, q->options, reliable);
        if (r < 0)
            break;
        if (row && !attached)
            shmr_row_attach(row, SHMRING_CONSUMER);
        attached = row;
        if (reliable)
            r = shmr_broadcast_join(c, reliable);
    }
    if (r < 0) {
        shmr_broadcast_stop_consumer(c->row);
        if (attached)
            shmr_row_detach(row);
    }
    return r;
}

static int become_consumer(shmring_t *q)
{
    struct shmr_broadcast_consumer *c = &q->broadcast.consumer;
    struct shmr_row *row = q->row == NO_ROW ? NULL : shmr_row_at(q->map.table, q->row);
    const bool reliable = q->options & SHMRING_RELIABLE;

    *c = (struct shmr_broadcast_consumer){.ring = ring_of(q), .side.pauses = shmr_process_pauses()};
    c->row = row ? shmr_broadcast_row_at(q->map.table, q->row) : &c->own;
    if (row && shmr_row_is_attached(row)) {
        shmr_recovery_takeover(q, q->row);
        shmr_row_detach(row); /* else peers would take this process for the dead owner, alive */
    }
    int r = start_consumer(q, row, reliable ? reliable_word(row) : 0);
    if (r == -EAGAIN)
        return shmr_fail(EBUSY, "the producer went round the ring during each attempt to find a "
                                "place in it: try again");
    if (r < 0)
        return shmr_fail(-r, "%s", c->side.damage);
    q->quiet = !reliable;
    if (q->quiet) /* the bit that makes it leave the quick way when the memory is gone: guard.c */
        q->notify_if[SHMR_WRITABLE] = SHMR_NOTIFY_UNFENCED;
    q->receiving = &c->side;
    shmr_handle_attached(q, SHMRING_CONSUMER);
    return 0;
}

static int join(shmring_t *q)
{
    int r = 0;

    if (q->read_only)
        q->row = NO_ROW;
    if (q->roles & SHMRING_PRODUCER)
        r = become_producer(q);
    if (r == 0 && q->roles & SHMRING_CONSUMER)
        r = become_consumer(q);
    return r;
}

static void leave(shmring_t *q)
{
    if (q->attached & SHMRING_PRODUCER)
        shmr_row_detach(shmr_row_at(q->map.table, SHMR_BROADCAST_PRODUCER_ROW));
    if (q->attached & SHMRING_CONSUMER && q->row != NO_ROW) {
        shmr_broadcast_stop_consumer(shmr_broadcast_row_at(q->map.table, q->row));
        shmr_row_detach(shmr_row_at(q->map.table, q->row));
    }
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static unsigned ready(shmring_t *q, unsigned events, bool thorough)
{
    unsigned found = 0;

    (void)thorough;
    if (events & SHMRING_READABLE && shmr_broadcast_is_readable(&q->broadcast.consumer))
        found |= SHMRING_READABLE;
    if (events & SHMRING_WRITABLE &&
        shmr_broadcast_is_writable(&q->broadcast.producer, q->waiting.refused))
        found |= SHMRING_WRITABLE;
    return found;
}

static bool is_peer(const shmring_t *q, uint32_t row, uint32_t role)
{
    return row == SHMR_BROADCAST_PRODUCER_ROW ? !(q->roles & role) : row != q->row;
}

/* Is the producer held up, so that its last send returned -EAGAIN? */
static bool is_held_up(const shmring_t *q)
{
    const struct shmr_broadcast_producer *p = &q->broadcast.producer;

    return q->attached & SHMRING_PRODUCER && p->side.misses != 0 &&
           !shmr_broadcast_may_move(p, p->wanted);
}

static bool is_out_of_patience(const shmring_t *q, int64_t now)
{
    return q->waiting.patience != 0 &&
           now - q->broadcast.producer.held_up_since >= q->waiting.patience;
}

/*
 * Is the consumer that holds the producer up dead? Or has it stopped while it attached? That one
 * does not count as one that is alive once the producer was held up for SHMR_SWEEP_NS: other
 * processes do not see it yet, and nothing was promised to it. It notices, and begins again
 * (shmr_broadcast_join()).
 */
static bool holder_is_gone(const shmring_t *q, int64_t now)
{
    const struct shmr_broadcast_producer *p = &q->broadcast.producer;
    const struct shmr_broadcast_holder *h = &p->holder;

    if (now - p->held_up_since >= (int64_t)SHMR_SWEEP_NS &&
        !has_attached(shmr_row_at(q->map.table, h->row), h->reliable))
        return true;
    return shmr_row_is_locked(q->fd, &q->geometry, h->row) == 0;
}

/*
 * Strike off the reliable consumers that hold the producer up: those that are gone, or all if the
 * producer is impatient, because it has waited for as long as it wants to.
 */
static void strike_off(shmring_t *q, bool impatient, int64_t now)
{
    struct shmr_broadcast_producer *p = &q->broadcast.producer;

    for (uint32_t i = 0; i < p->rows; i++) {
        shmr_broadcast_scan(p);
        if (shmr_broadcast_may_move(p, p->wanted))
            return;
        if (!impatient) {
            p->tested = now;
            if (!holder_is_gone(q, now))
                return;
        }
        shmr_broadcast_strike(p, p->holder.row, p->holder.reliable);
    }
}

/* Strike off, if the producer has no patience left, or has not tested a lock for SHMR_SWEEP_NS. */
static void unblock(shmring_t *q)
{
    struct shmr_broadcast_producer *p = &q->broadcast.producer;

    if (!is_held_up(q))
        return;
    const int64_t now = shmr_wait_now(q);
    if (p->held_up_at != p->messages + 1) {
        p->held_up_at = p->messages + 1;
        p->held_up_since = now;
    }
    const bool impatient = is_out_of_patience(q, now);
    if (!impatient && now - p->tested < (int64_t)SHMR_SWEEP_NS)
        return;
    const struct shmr_detail detail = shmr_detail_save();
    const int error = errno;
    strike_off(q, impatient, now);
    shmr_detail_restore(&detail);
    errno = error;
}

/* Until the next lock test, or until the producer is out of patience. */
static int64_t sleep_most(const shmring_t *q, unsigned events)
{
    const struct shmr_broadcast_producer *p = &q->broadcast.producer;

    if (!(events & SHMRING_WRITABLE) || !is_held_up(q))
        return INT64_MAX;
    const int64_t now = shmr_wait_now(q);
    int64_t most = p->tested + (int64_t)SHMR_SWEEP_NS - now;
    if (q->waiting.patience != 0 && p->held_up_since + q->waiting.patience - now < most)
        most = p->held_up_since + q->waiting.patience - now;
    return most > SHORTEST_SLEEP_NS ? most : SHORTEST_SLEEP_NS;
}

/* ---- Recovery -------------------------------------------------------------------------------- */

/* Through a temporary handle: what a successor of the dead consumer would do first. */
static int resume_consumer(shmring_t *q)
{
    shmr_broadcast_stop_consumer(shmr_broadcast_row_at(q->map.table, q->row));
    shmr_recovery_takeover(q, q->row);
    return 0;
}

static int recover(shmring_t *q, uint32_t row)
{
    return row == SHMR_BROADCAST_PRODUCER_ROW
               ? shmr_recovery_by_successor(q, row, SHMRING_PRODUCER, resume_producer)
               : shmr_recovery_by_successor(q, row, SHMRING_CONSUMER, resume_consumer);
}

/* ---- What only this kind has ----------------------------------------------------------------- */

static int send_key(shmring_t *q, const void *msg, size_t len)
{
    return shmr_broadcast_send_as(&q->broadcast.producer, msg, len, SHMR_BROADCAST_KEY);
}

static int commit_key(shmring_t *q, const void *msg, size_t len)
{
    return shmr_broadcast_commit_as(&q->broadcast.producer, msg, len, SHMR_BROADCAST_KEY);
}

static int64_t skip(shmring_t *q)
{
    return shmr_broadcast_skip(&q->broadcast.consumer);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static size_t reserved(const shmring_t *q, const void *msg)
{
    (void)msg;
    return q->broadcast.producer.reservation;
}

static uint64_t missed_now(const shmring_t *q)
{
    return q->broadcast.consumer.missed_now;
}

static bool lost_patience(const shmring_t *q)
{
    const struct shmr_broadcast_consumer *c = &q->broadcast.consumer;

    return c->reliable && atomic_load_explicit(&c->row->reliable, memory_order_relaxed) == 0;
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

/* The tail; a damaged page gives some numbers. */
static struct shmr_broadcast_at tail_of(const shmring_t *q)
{
    const struct shmr_broadcast_ring ring = ring_of(q);
    struct shmr_broadcast_at tail;

    (void)shmr_broadcast_find_tail(&ring, &tail);
    return tail;
}

static void read_stat(const shmring_t *q, struct shmring_stat *st)
{
    const struct shmr_broadcast_page *page = (const void *)q->map.producer;
    struct shmr_broadcast_view v;

    /* The rows first: what a consumer has received by now was sent before the tail is read. */
    uint64_t number = 0, position = 0;
    bool any = false;
    for (uint32_t i = SHMR_BROADCAST_FIRST_CONSUMER; i < q->geometry.rows; i++) {
        const struct shmr_broadcast_row *row = shmr_broadcast_row_at(q->map.table, i);
        shmr_broadcast_observe_row(row, &v);
        st->received += v.received;
        st->received_bytes += v.bytes;
        st->missed += v.missed;
        st->empty_events += load(&row->empty_events);
        if (!v.reliable || !shmr_row_is_attached(shmr_row_at(q->map.table, i)))
            continue;
        if (!any || (int64_t)(v.position - position) < 0) {
            number = v.number;
            position = v.position;
        }
        any = true;
    }
    const struct shmr_broadcast_at tail = tail_of(q);
    st->sent = tail.number;
    st->sent_bytes = tail.bytes;
    if (any) {
        st->depth = ahead(tail.number, number);
        st->depth_bytes = ahead(tail.position, position);
    }
    /* Rows are read one after the other: report no more than the ring can hold. */
    if (st->depth_bytes > st->capacity)
        st->depth_bytes = st->capacity;
    if (st->depth > st->depth_bytes / shmring_record_size(0))
        st->depth = st->depth_bytes / shmring_record_size(0);
    st->high_water = load(&page->high_water);
    if (st->high_water < st->depth_bytes)
        st->high_water = st->depth_bytes;
    st->full_events = load(&page->full_events);
    if (q->attached & SHMRING_CONSUMER)
        st->missed_here = q->broadcast.consumer.missed_here;
}

static void holdings(const shmring_t *q, struct shmring_participant *participants, int n)
{
    struct shmr_broadcast_view v;

    for (int i = 0; i < n; i++) {
        struct shmring_participant *out = &participants[i];
        if (out->row == SHMR_BROADCAST_PRODUCER_ROW)
            continue;
        shmr_broadcast_observe_row(shmr_broadcast_row_at(q->map.table, out->row), &v);
        out->received = v.received;
        out->missed = v.missed;
        out->flags = v.reliable ? SHMRING_RELIABLE : 0;
        out->lag = v.number;
    }
    /* After the rows: what was received by then had been sent. */
    const uint64_t sent = tail_of(q).number;
    for (int i = 0; i < n; i++) {
        struct shmring_participant *out = &participants[i];
        if (out->row == SHMR_BROADCAST_PRODUCER_ROW)
            out->sent = sent;
        else
            out->lag = ahead(sent, out->lag);
    }
}

const struct shmr_kind shmr_broadcast_kind = {
    SHMR_KIND_MEMBERS(BROADCAST, broadcast),
    .first_row = SHMR_BROADCAST_FIRST_CONSUMER,
    .wake_all = true,
    .options = SHMRING_RELIABLE | SHMRING_FROM_OLDEST | SHMRING_FROM_KEY,
    .may_only_read = true,
    .unblock = unblock,
    .sleep_most = sleep_most,
    .send_key = send_key,
    .commit_key = commit_key,
    .skip = skip,
    .missed_now = missed_now,
    .lost_patience = lost_patience,
};
