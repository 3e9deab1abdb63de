/* SPDX-License-Identifier: MIT */
/* Looking at a queue without disturbing it. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "core/handle.h"
#include "core/recovery.h"
#include "core/rows.h"
#include "wait/waitword.h"

/* How far a is ahead of b, if it is. */
static uint64_t ahead(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) > 0 ? a - b : 0;
}

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void look_at_spsc(const shmring_t *q, struct shmr_spsc_view *view)
{
    shmr_spsc_look_at(q->map.data, q->geometry.capacity - 1, q->geometry.max_message,
                      (const void *)q->map.producer, (const void *)q->map.consumer, view);
}

static void read_spsc_counters(const shmring_t *q, struct shmring_stat *st)
{
    const struct shmr_spsc_producer_page *p = (const void *)q->map.producer;
    const struct shmr_spsc_consumer_page *c = (const void *)q->map.consumer;
    struct shmr_spsc_view view;

    look_at_spsc(q, &view);
    st->sent = view.tail.messages;
    st->sent_bytes = view.tail.bytes;
    st->received = view.head.messages;
    st->received_bytes = view.head.bytes;
    st->depth = ahead(view.tail.messages, view.head.messages);
    st->depth_bytes = ahead(view.tail.position, view.head.position);
    /* Both sides were at work in between: no more than the ring can hold. */
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

static void read_mpmc_counters(const shmring_t *q, struct shmring_stat *st)
{
    const struct shmr_mpmc_page *page = (const void *)q->map.producer;
    struct shmr_mpmc look;

    uint64_t recovered = 0;

    shmr_mpmc_init(&look, &q->geometry, &q->map, 0);
    /* In this order, while they are at work: who has received a message, it had been sent. */
    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        const struct shmr_row *row = shmr_row_at(q->map.table, i);
        const struct shmr_count received = shmr_mpmc_received(&look, i, &row->received);
        st->received += received.messages;
        st->received_bytes += shmr_count_bytes(received);
        st->full_events += load(&row->full_events);
        st->empty_events += load(&row->empty_events);
        recovered += shmr_mpmc_taken_back(&look, i, &row->recovered);
    }
    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        const struct shmr_row *row = shmr_row_at(q->map.table, i);
        const struct shmr_count sent = shmr_mpmc_sent(&look, i, &row->sent);
        st->sent += sent.messages;
        st->sent_bytes += shmr_count_bytes(sent);
    }
    if (q->geometry.flags & SHMRING_AT_MOST_ONCE)
        st->dropped = recovered;
    else
        st->redelivered = recovered;
    st->depth = shmr_mpmc_depth(&look);
    st->depth_bytes = st->depth * q->geometry.stride;
    st->high_water = load(&page->high_water);
    if (st->high_water < st->depth)
        st->high_water = st->depth;
}

static uint32_t who_sleeps(const struct shmr_bells *bells)
{
    uint32_t asleep = 0;

    if (atomic_load_explicit(&bells->readable.word, memory_order_relaxed) & SHMR_BELL_SLEEPERS)
        asleep |= SHMRING_READABLE;
    if (atomic_load_explicit(&bells->writable.word, memory_order_relaxed) & SHMR_BELL_SLEEPERS)
        asleep |= SHMRING_WRITABLE;
    return asleep;
}

static int count_participants(const shmring_t *q, struct shmring_stat *st)
{
    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        int alive = shmr_row_is_locked(q->fd, &q->geometry, i);
        if (alive < 0)
            return alive;
        st->participants += (uint32_t)alive;
        st->dead += !alive && shmr_row_is_attached(shmr_row_at(q->map.table, i));
        st->producers_ever += shmr_row_taken_as(shmr_row_at(q->map.table, i), SHMRING_PRODUCER);
        st->consumers_ever += shmr_row_taken_as(shmr_row_at(q->map.table, i), SHMRING_CONSUMER);
        st->takeovers += shmr_row_deaths(shmr_row_at(q->map.table, i));
    }
    return 0;
}

/* A look is possible at a corrupt queue too, but not at one that was not mapped in this process. */
static int may_look(const shmring_t *q)
{
    int r = shmr_handle_check(q);

    return r == -EBADMSG && !q->lost ? 0 : r;
}

int shmring_stat(shmring_t *q, struct shmring_stat *st)
{
    struct stat file;
    int r = may_look(q);

    if (r < 0)
        return r;
    SHMR_ALONE(q);
    if (!st)
        return shmr_fail(EINVAL, "the place for the result is NULL");
    if (fstat(q->fd, &file) < 0)
        return shmr_fail(errno, "the segment: %s", strerror(errno));
    memset(st, 0, sizeof *st);
    st->kind = q->geometry.kind;
    st->flags = q->geometry.flags | (shmr_handle_check_name(q) < 0 ? (uint32_t)SHMRING_STALE : 0);
    st->capacity = q->geometry.capacity;
    st->max_message = q->geometry.max_message;
    st->mode = file.st_mode & 0777;
    st->uid = file.st_uid;
    st->gid = file.st_gid;
    st->segment_bytes = q->geometry.segment_size;
    st->created_ns = q->header.created_ns;
    st->creator_pid = q->header.creator_pid;
    st->creator_uid = q->header.creator_uid;
    memcpy(st->creator_comm, q->header.creator_comm, sizeof st->creator_comm);
    memcpy(st->name, q->header.name, sizeof st->name);
    st->max_participants = q->geometry.rows;
    st->asleep = who_sleeps(q->map.bells);
    if (q->kind == SHMRING_MPMC)
        read_mpmc_counters(q, st);
    else
        read_spsc_counters(q, st);
    r = count_participants(q, st);
    return r < 0 ? r : shmr_handle_check_memory(q);
}

static void read_holdings(const struct shmr_mpmc *q, const struct shmr_row *row, uint32_t held,
                          struct shmring_participant *out)
{
    uint64_t since = load(&row->held_since);

    out->received = shmr_mpmc_received(q, out->row, &row->received).messages;
    out->sent = shmr_mpmc_sent(q, out->row, &row->sent).messages;
    out->held = held;
    /* The clock may not have ticked since, or the word be damaged; or it died before it cleared it.
     */
    if (since != 0 && held != 0)
        out->held_ns = (int64_t)(ahead(shmr_coarse_now(), since) + 1);
}

int shmring_participants(shmring_t *q, struct shmring_participant *rows, int n)
{
    uint32_t held[SHMRING_PARTICIPANTS_MAX] = {0};
    struct shmr_spsc_view view = {0};
    struct shmr_mpmc look = {0};
    int found = 0, r = may_look(q);

    if (r < 0)
        return r;
    SHMR_ALONE(q);
    if (n < 0 || (n > 0 && !rows))
        return shmr_fail(EINVAL, "%d rows: none or more, and a place for them", n);
    if (q->kind == SHMRING_MPMC) {
        shmr_mpmc_init(&look, &q->geometry, &q->map, 0);
        shmr_mpmc_count_held(&look, q->geometry.rows, held);
    } else {
        look_at_spsc(q, &view);
    }
    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        struct shmr_row *row = shmr_row_at(q->map.table, i);
        int alive = shmr_row_is_locked(q->fd, &q->geometry, i);
        if (alive < 0)
            return alive;
        if (!shmr_row_is_attached(row))
            continue;
        if (found < n) {
            shmr_row_read(&rows[found], row);
            rows[found].row = i;
            rows[found].alive = (uint32_t)alive;
            if (q->kind == SHMRING_MPMC)
                read_holdings(&look, row, held[i], &rows[found]);
            else if (i == SHMR_ROW_PRODUCER)
                rows[found].sent = view.tail.messages;
            else
                rows[found].received = view.head.messages;
        }
        found++;
    }
    r = shmr_handle_check_memory(q);
    return r < 0 ? r : found;
}
