/* SPDX-License-Identifier: MIT */
/*
 * MPMC: the cold operations of a handle (kind.h). The protocol is in blocks.h. participant.h has
 * what a participant does with it, and recovery.h what a recoverer does for a dead one. A
 * participant has one row for all its roles.
 */
#include <config.h>

#include "kind.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/error.h"
#include "core/claim.h"
#include "core/recovery.h"
#include "core/rows.h"
#include "mpmc/dump.h"
#include "mpmc/participant.h"
#include "mpmc/ready.h"
#include "wait/sleep.h"

#define UNIT "messages"
#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)
#define WRITERS                                                                                    \
    {                                                                                              \
        .producer = BOTH, .consumer = BOTH, .data = BOTH                                           \
    }
#define NOT_HELD "this is not a message held: released already"

#define CAPACITY_MAX    (UINT64_C(1) << 24)
#define MESSAGE_MAX     (UINT32_C(1) << 30)
#define ROWS            64 /* if max_participants is 0 */
#define BLOCK_ALIGNMENT 64

/* ---- The segment ----------------------------------------------------------------------------- */

static int configure(struct shmr_geometry *g, const struct shmring_config *c)
{
    int r = shmr_check_capacity(c->capacity, 2, CAPACITY_MAX, "messages");

    if (r < 0)
        return r;
    if (c->max_message == 0 || c->max_message > MESSAGE_MAX)
        return shmr_fail(EINVAL, "max_message %" PRIu32 ": 1 to %" PRIu32 " bytes for SHMRING_MPMC",
                         c->max_message, MESSAGE_MAX);
    if (c->max_participants > SHMRING_PARTICIPANTS_MAX)
        return shmr_fail(EINVAL, "max_participants %" PRIu32 ": at most %d", c->max_participants,
                         SHMRING_PARTICIPANTS_MAX);
    g->max_message = c->max_message;
    g->rows = c->max_participants ? c->max_participants : ROWS;
    return 0;
}

static uint64_t sections(struct shmr_geometry *g)
{
    const uint32_t block = (uint32_t)sizeof(struct shmr_block) + g->max_message;

    g->stride = (block + BLOCK_ALIGNMENT - 1) & ~(uint32_t)(BLOCK_ALIGNMENT - 1);
    g->origins = g->capacity * g->stride;
    return g->origins + g->capacity * sizeof(uint64_t);
}

/* ---- The row --------------------------------------------------------------------------------- */

static int claim_row(shmring_t *q, int fd)
{
    int holder, r = shmr_claim(q, fd, SHMR_ANY_ROW, &holder);

    if (r != -EBUSY)
        return r;
    if (holder == SHMR_REMOVER)
        return shmr_claim_say_removed();
    return shmr_fail(EUSERS,
                     holder == SHMR_OWNER
                         ? "all %" PRIu32 " participants' rows are taken: close some handles, or "
                           "create the queue with a larger max_participants"
                         : "all %" PRIu32 " participants' rows are taken, and a process that "
                           "recovers one of a dead participant has it locked: try again",
                     q->geometry.rows);
}

/* Recover what the row's last owner held; the caller has its lock. False: something is left. */
static bool recover_row(shmring_t *q, uint32_t row)
{
    struct shmr_recovered done = {0};

    shmr_mpmc_recover(&q->mpmc.queue, row, shmr_row_at(q->map.table, row),
                      q->geometry.flags & SHMRING_AT_MOST_ONCE, &done);
    shmr_recovery_wake(q, &done);
    if (row != q->row || !q->attached) /* else this handle closes, and did not die */
        shmr_recovery_note(q, row, &done);
    return done.left == 0;
}

/* Become the row's owner. First recover what a dead owner of the row held: its blocks carry the
 * same row number as mine will. */
static int join(shmring_t *q)
{
    struct shmr_row *row = shmr_row_at(q->map.table, q->row);

    shmr_mpmc_participant_init(&q->mpmc, &q->geometry, &q->map, q->row);
    q->mpmc.now = shmr_coarse_now();
    q->sending = &q->mpmc.queue.sending;
    q->receiving = &q->mpmc.queue.receiving;
    q->sending->pauses = q->receiving->pauses = shmr_process_pauses();
    if (shmr_row_is_attached(row))
        q->unfinished = !recover_row(q, q->row);
    shmr_row_attach(row, q->roles);
    shmr_handle_attached(q, q->roles);
    /* Recover other dead participants as well; if that fails, opening does not. */
    (void)shmr_recover_dead(q, shmr_sweep_rows(q));
    return 0;
}

static void leave(shmring_t *q)
{
    /* Cancel reservations, and publish the messages held again, as a recoverer would. */
    if (shmr_mpmc_holds_any(&q->mpmc) || q->unfinished)
        q->unfinished = !recover_row(q, q->row);
    if (!q->unfinished) /* else the row looks dead, and another participant recovers it */
        shmr_row_detach(shmr_row_at(q->map.table, q->row));
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static unsigned ready(shmring_t *q, unsigned events, bool thorough)
{
    struct shmr_mpmc *queue = &q->mpmc.queue;
    unsigned found = 0;

    if (events & SHMRING_READABLE && shmr_mpmc_is_readable(queue, 1))
        found |= SHMRING_READABLE;
    if (events & SHMRING_WRITABLE &&
        shmr_mpmc_is_writable(queue, thorough ? queue->mask + 1 : SHMR_MPMC_SEARCH))
        found |= SHMRING_WRITABLE;
    return found;
}

static void pass_on(shmring_t *q, unsigned events)
{
    if (events & SHMRING_READABLE && shmr_mpmc_is_readable(&q->mpmc.queue, 2))
        (void)shmr_wake(q, SHMR_READABLE, 1);
    if (events & SHMRING_WRITABLE && shmr_mpmc_has_room(&q->mpmc.queue, 2))
        (void)shmr_wake(q, SHMR_WRITABLE, 1);
}

static bool is_peer(const shmring_t *q, uint32_t row, uint32_t role)
{
    (void)role;
    return row != q->row;
}

/* ---- Recovery -------------------------------------------------------------------------------- */

static int recover(shmring_t *q, uint32_t row)
{
    if (recover_row(q, row))
        shmr_row_detach(shmr_row_at(q->map.table, row));
    return 0;
}

static uint64_t recover_some(shmring_t *q, uint32_t row, uint64_t first, uint64_t count,
                             struct shmr_recovered *done)
{
    return shmr_mpmc_recover_some(&q->mpmc.queue, row, shmr_row_at(q->map.table, row),
                                  q->geometry.flags & SHMRING_AT_MOST_ONCE, first, count,
                                  SHMR_MPMC_RECOVERY * count, done);
}

static _Atomic uint64_t *swept(shmring_t *q, uint64_t now)
{
    q->mpmc.now = now;
    return &q->mpmc.queue.tail_page->swept;
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static size_t reserved(const shmring_t *q, const void *msg)
{
    return q->mpmc.reserved.length[shmr_held_find(&q->mpmc.reserved, &q->mpmc.queue, msg)];
}

/* ---- Inspecting ------------------------------------------------------------------------------ */

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void read_stat(const shmring_t *q, struct shmring_stat *st)
{
    const struct shmr_mpmc_page *page = (const void *)q->map.producer;
    struct shmr_mpmc observer;
    uint64_t recovered = 0;

    shmr_mpmc_init(&observer, &q->geometry, &q->map, 0);
    /* Received first: participants may be at work, and a message counted there had been sent. */
    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        const struct shmr_row *row = shmr_row_at(q->map.table, i);
        const struct shmr_count received = shmr_mpmc_received(&observer, i, &row->received);
        st->received += received.messages;
        st->received_bytes += shmr_count_bytes(received);
        st->full_events += load(&row->full_events);
        st->empty_events += load(&row->empty_events);
        recovered += shmr_mpmc_taken_back(&observer, i, &row->recovered);
    }
    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        const struct shmr_row *row = shmr_row_at(q->map.table, i);
        const struct shmr_count sent = shmr_mpmc_sent(&observer, i, &row->sent);
        st->sent += sent.messages;
        st->sent_bytes += shmr_count_bytes(sent);
    }
    if (q->geometry.flags & SHMRING_AT_MOST_ONCE)
        st->dropped = recovered;
    else
        st->redelivered = recovered;
    st->depth = shmr_mpmc_depth(&observer);
    st->depth_bytes = st->depth * q->geometry.stride;
    st->high_water = load(&page->high_water);
    if (st->high_water < st->depth)
        st->high_water = st->depth;
}

/* For how long the participant of a row has held messages; 0: the clock has not ticked since. */
static uint64_t held_for(const struct shmr_row *row)
{
    const int64_t since = (int64_t)(shmr_coarse_now() - load(&row->held_since));

    return since > 0 ? (uint64_t)since : 0; /* negative: the word is damaged */
}

static void holdings(const shmring_t *q, struct shmring_participant *participants, int n)
{
    uint32_t held[SHMRING_PARTICIPANTS_MAX] = {0};
    struct shmr_mpmc observer = {0};

    shmr_mpmc_init(&observer, &q->geometry, &q->map, 0);
    shmr_mpmc_count_held(&observer, q->geometry.rows, held);
    for (int i = 0; i < n; i++) {
        struct shmring_participant *out = &participants[i];
        const struct shmr_row *row = shmr_row_at(q->map.table, out->row);
        out->received = shmr_mpmc_received(&observer, out->row, &row->received).messages;
        out->sent = shmr_mpmc_sent(&observer, out->row, &row->sent).messages;
        out->held = held[out->row];
        /* A participant that died may have released all before it cleared the time. */
        if (load(&row->held_since) != 0 && out->held != 0)
            out->held_ns = (int64_t)(held_for(row) + 1);
    }
}

const struct shmr_kind shmr_mpmc_kind = {
    SHMR_KIND_MEMBERS(MPMC, mpmc),
    .publish_is_fence = SHMR_RMW_IS_FENCE,
    .pass_on = pass_on,
    .recover_some = recover_some,
    .swept = swept,
};
