/* SPDX-License-Identifier: MIT */
/* Inspecting a queue without disturbing it: its figures, and its participants. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "core/handle.h"
#include "core/rows.h"
#include "wait/waitword.h"

static uint32_t who_sleeps(const struct shmr_waitwords *waitwords)
{
    uint32_t asleep = 0;

    if (atomic_load_explicit(&waitwords->readable.word, memory_order_relaxed) &
        SHMR_WAITWORD_SLEEPERS)
        asleep |= SHMRING_READABLE;
    if (atomic_load_explicit(&waitwords->writable.word, memory_order_relaxed) &
        SHMR_WAITWORD_SLEEPERS)
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

/* A corrupt queue can be inspected too, but not a handle whose memory is gone or that a parent
 * process opened. */
static int may_inspect(const shmring_t *q)
{
    int r = shmr_handle_check(q);

    return r == -EBADMSG && !q->lost ? 0 : r;
}

int shmring_stat(shmring_t *q, struct shmring_stat *st)
{
    struct stat file;
    int r = may_inspect(q);

    if (r < 0)
        return r;
    SHMR_ALONE(q);
    if (!st)
        return shmr_fail(EINVAL, "the place for the result is NULL");
    if (fstat(q->fd, &file) < 0)
        return shmr_fail(errno, "the segment: %s", strerror(errno));
    *st = (struct shmring_stat){.kind = q->geometry.type->number, .flags = q->geometry.flags};
    if (shmr_handle_check_name(q) < 0)
        st->flags |= SHMRING_STALE;
    st->capacity = q->geometry.capacity;
    st->max_message = q->geometry.max_message;
    st->mode = file.st_mode & 0777;
    st->uid = file.st_uid;
    st->gid = file.st_gid;
    st->segment_bytes = q->geometry.segment_size;
    st->created_ns = q->header.created_ns;
    st->creator_pid = q->header.creator_pid;
    st->creator_pid_namespace = q->header.creator_pid_ns;
    st->creator_uid = q->header.creator_uid;
    memcpy(st->creator_comm, q->header.creator_comm, sizeof st->creator_comm);
    memcpy(st->name, q->header.name, sizeof st->name);
    st->max_participants = q->geometry.rows;
    st->asleep = who_sleeps(q->map.waitwords);
    q->geometry.type->read_stat(q, st);
    r = count_participants(q, st);
    return r < 0 ? r : shmr_handle_check_memory(q);
}

int shmring_participants(shmring_t *q, struct shmring_participant *rows, int n)
{
    int found = 0, r = may_inspect(q);

    if (r < 0)
        return r;
    SHMR_ALONE(q);
    if (n < 0 || (n > 0 && !rows))
        return shmr_fail(EINVAL, "%d rows: none or more, and a place for them", n);
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
        }
        found++;
    }
    q->geometry.type->holdings(q, rows, found < n ? found : n);
    r = shmr_handle_check_memory(q);
    return r < 0 ? r : found;
}
