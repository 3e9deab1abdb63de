/* SPDX-License-Identifier: MIT */
/* Broadcast under the stepper: what the figures must say after a death, and at the end. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "broadcast.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- What was sent --------------------------------------------------------------------------- */

/* The seat of the process whose operation is in doubt in that role: it died in it, or it is stopped
 * in it, or it died after the other. -1: none is. */
static int doubtful(const struct crash_world *w, unsigned role)
{
    if (w->operation->role == role)
        return CRASH_VICTIM;
    return w->paused && w->paused->role == role ? CRASH_PAUSED : -1;
}

static const struct crash_operation *operation_of(const struct crash_world *w, int seat)
{
    return seat == CRASH_PAUSED ? w->paused : w->operation;
}

/* May the interrupted operation have moved that many messages? All, if its call had returned. */
static bool may_have_moved(const struct crash_world *w, int seat, uint64_t moved)
{
    const struct crash_operation *o = operation_of(w, seat);
    const struct crash_seat *s = &w->shared->seat[seat];

    if (s->stage == CRASH_DONE)
        return moved == (uint64_t)o->moved(s->result);
    if (seat == CRASH_PAUSED || w->paused)
        return moved <= (uint64_t)o->most;
    return moved == 0 || moved == 1 ? moved <= (uint64_t)o->moved(w->complete)
                                    : moved == (uint64_t)o->moved(w->complete);
}

static void check_sent(struct crash_world *w, const struct shmring_stat *st)
{
    const uint64_t known = w->sent + book(w)->sent;
    const int seat = doubtful(w, SHMRING_PRODUCER);

    crash_check(w,
                st->sent == known ||
                    (st->sent > known && seat >= 0 && may_have_moved(w, seat, st->sent - known)),
                "figures: %" PRIu64 " messages sent, %" PRIu64 " of them by calls that returned",
                st->sent, known);
    crash_check(w, st->sent != known || seat < 0 || may_have_moved(w, seat, 0),
                "figures: the message of a call that had returned is not among %" PRIu64, st->sent);
    crash_check(w, st->sent_bytes == bytes_before(st->sent), "figures: bytes sent %" PRIu64,
                st->sent_bytes);
}

/* ---- What was received ----------------------------------------------------------------------- */

/* Messages that the dead consumer had received are whole in its buffers. */
static void check_copies(struct crash_world *w, int seat, uint64_t moved)
{
    const struct witness *seen = witness_of(w, seat);

    for (uint64_t i = 0; copies(operation_of(w, seat)) && i < moved; i++)
        crash_check(w,
                    message_is(seen->start + i, seen->buffer[i], message_length(seen->start + i)),
                    "message %" PRIu64 " was released before it was copied", seen->start + i);
}

/* Compare the sums over all rows, and note what the interrupted operation has added to them. */
static void check_received(struct crash_world *w, const struct shmring_stat *st)
{
    const int seat = doubtful(w, SHMRING_CONSUMER);
    const struct witness *seen = witness_of(w, seat < 0 ? 0 : seat);
    uint64_t received = 0, missed = 0, bytes = 0;

    for (int i = 0; i < ROWS; i++) {
        received += prepared.row[i].received + book(w)->row[i].received;
        missed += prepared.row[i].missed + book(w)->row[i].missed;
        bytes += prepared.row[i].bytes + book(w)->row[i].bytes;
    }
    const uint64_t more = st->received - received, gap = st->missed - missed;
    crash_check(w, seat < 0 ? more == 0 : may_have_moved(w, seat, more),
                "figures: %" PRIu64 " messages received, %" PRIu64 " by calls that returned",
                st->received, received);
    const bool overtaken =
        seat >= 0 && !operation_of(w, seat)->attaches && (w->paused || gap == seen->missed);
    crash_check(w, gap == 0 || (overtaken && gap < NUMBERS),
                "figures: %" PRIu64 " messages missed, %" PRIu64 " as calls have said", st->missed,
                missed);
    if (crash_failed(w) || seat < 0) {
        crash_check(w, st->received_bytes == bytes, "figures: bytes received %" PRIu64,
                    st->received_bytes);
        return;
    }
    const uint64_t start = seen->attached ? book(w)->row[seen->row].next : 0;
    const uint64_t more_bytes = bytes_before(start + more) - bytes_before(start);
    crash_check(w, st->received_bytes == bytes + more_bytes || (w->paused && gap),
                "figures: bytes received %" PRIu64 ", in truth %" PRIu64, st->received_bytes,
                bytes + more_bytes);
    if (gap == 0)
        check_copies(w, seat, more);
    if (seat == CRASH_VICTIM) {
        book(w)->doubtful = more;
        book(w)->doubtful_missed = gap;
        book(w)->doubtful_bytes = st->received_bytes - bytes;
    }
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* The consumer of that row was interrupted, or is stopped, in an operation. */
static bool is_doubtful(const struct crash_world *w, uint32_t row)
{
    const int seat = doubtful(w, SHMRING_CONSUMER);

    return seat >= 0 && witness_of(w, seat)->attached && witness_of(w, seat)->row == row;
}

static bool may_be_demoted(const struct crash_world *w)
{
    return demotes(w->operation) || (w->paused && demotes(w->paused));
}

/* A consumer that attaches, and dies or is stopped meanwhile, may have taken the row of a dead one,
 * and begun anew. */
static bool may_begin_anew(const struct crash_world *w)
{
    return w->operation->attaches || w->shared->seat[CRASH_PAUSED].stage != CRASH_READY;
}

/* A consumer with which nothing has happened since its last call returned. */
static void check_known_row(struct crash_world *w, const struct shmring_participant *row,
                            uint64_t sent)
{
    const struct row *before = &prepared.row[row->row], *since = &book(w)->row[row->row];
    const struct row *owner = since->attached ? since : before;

    crash_check(w,
                row->received == before->received + since->received &&
                    row->missed == before->missed + since->missed,
                "figures: row %u has received %" PRIu64 " and missed %" PRIu64, row->row,
                row->received, row->missed);
    const bool begun = !since->attached && may_begin_anew(w);
    crash_check(w, row->lag == sent - least(owner->next, sent) || (begun && row->lag <= sent),
                "figures: row %u lags by %" PRIu64, row->row, row->lag);
    crash_check(
        w,
        (row->flags & SHMRING_RELIABLE ? owner->reliable : !owner->reliable || may_be_demoted(w)) ||
            (!since->attached && !row->flags),
        "figures: row %u has flags %u", row->row, row->flags);
}

/* The consumer that was interrupted. */
static void check_doubtful_row(struct crash_world *w, const struct shmring_participant *row,
                               const struct shmring_stat *st)
{
    const struct row *before = &prepared.row[row->row], *since = &book(w)->row[row->row];
    const uint64_t received = row->received - before->received - since->received;
    const uint64_t missed = row->missed - before->missed - since->missed;
    const int seat = doubtful(w, SHMRING_CONSUMER);
    const uint64_t next = since->next + received + missed;

    crash_check(w, may_have_moved(w, seat, received) && missed < NUMBERS,
                "figures: the interrupted consumer has received %" PRIu64 ", missed %" PRIu64,
                row->received, row->missed);
    crash_check(w,
                row->lag == st->sent - least(next, st->sent) ||
                    (may_begin_anew(w) && !w->paused && row->lag <= st->sent) ||
                    (skips(operation_of(w, seat)) && row->lag < st->sent - next),
                "figures: the interrupted consumer lags by %" PRIu64, row->lag);
}

/* A row whose owner has died: may it be one of these? */
static bool may_be_dead(const struct crash_world *w, uint32_t row)
{
    const bool attaches = w->operation->attaches, paused_dead = !w->paused;

    if (row == SHMR_BROADCAST_PRODUCER_ROW)
        return prepared.dead[row] || w->operation->role == SHMRING_PRODUCER;
    return prepared.dead[row] ||
           (w->operation->role == SHMRING_CONSUMER &&
            (attaches || paused_dead || witness_of(w, CRASH_VICTIM)->row == row));
}

static void check_rows(struct crash_world *w, const struct figures *f)
{
    unsigned alive = 0, dead = 0;

    for (int i = 0; i < f->row_count; i++) {
        const struct shmring_participant *row = &f->rows[i];
        alive += row->alive;
        dead += !row->alive;
        crash_check(w, row->alive || may_be_dead(w, row->row), "figures: row %u is dead", row->row);
        if (row->row == SHMR_BROADCAST_PRODUCER_ROW)
            crash_check(w, row->sent == f->st.sent && row->received == 0 && row->lag == 0,
                        "figures: the producer has sent %" PRIu64, row->sent);
        else if (is_doubtful(w, row->row))
            check_doubtful_row(w, row, &f->st);
        else if (book(w)->row[row->row].attached || prepared.dead[row->row])
            check_known_row(w, row, f->st.sent);
        else
            crash_check(w, row->lag <= f->st.sent, "figures: row %u lags by %" PRIu64, row->row,
                        row->lag);
    }
    /* A process that is stopped while it attaches or closes has the lock alone. */
    const unsigned in_hand = w->paused && (w->paused->attaches || detaches(w->paused));
    crash_check(w,
                f->st.dead == dead && f->st.participants >= alive &&
                    f->st.participants <= alive + in_hand,
                "figures: %u alive, %u dead, in participants %u and %u", f->st.participants,
                f->st.dead, alive, dead);
    for (uint32_t i = SHMR_BROADCAST_FIRST_CONSUMER; i < ROWS; i++)
        crash_check(w, !book(w)->row[i].attached || is_doubtful(w, i) || figures_row(f, i) != NULL,
                    "figures: row %u is not there", i);
}

/* ---- Depth ----------------------------------------------------------------------------------- */

static void check_depth(struct crash_world *w, const struct figures *f)
{
    const struct shmring_stat *st = &f->st;
    const uint64_t tail = position_of(st->sent);
    uint64_t depth = 0, spread = 0;

    /* Two that died in taking over one row: its number and its position are of two owners. */
    if (!w->paused && w->operation->role == SHMRING_CONSUMER &&
        w->shared->seat[CRASH_PAUSED].stage != CRASH_READY)
        return;
    for (int i = 0; i < f->row_count; i++) {
        const struct shmring_participant *row = &f->rows[i];
        if (!(row->flags & SHMRING_RELIABLE))
            continue;
        if (is_doubtful(w, row->row)) { /* number and position are two stores */
            if (skips(operation_of(w, doubtful(w, SHMRING_CONSUMER))))
                return;
            spread = BATCH;
        }
        if (row->lag > depth)
            depth = row->lag;
    }
    const uint64_t most = st->sent - least(depth + spread, st->sent);
    crash_check(w, st->depth >= depth && st->depth <= depth + spread,
                "figures: depth %" PRIu64 ", the slowest reliable consumer lags by %" PRIu64,
                st->depth, depth);
    /* A consumer that began with the oldest message may have been lapped before it was seen. */
    const uint64_t fewest = tail - position_of(st->sent - least(depth, st->sent));
    crash_check(w,
                st->depth_bytes >= least(fewest, CAPACITY) &&
                    st->depth_bytes <= tail - position_of(most),
                "figures: %" PRIu64 " bytes with a depth of %" PRIu64, st->depth_bytes, st->depth);
    crash_check(w, st->high_water >= st->depth_bytes && st->high_water <= CAPACITY,
                "figures: high water %" PRIu64, st->high_water);
}

/* ---- Dump ------------------------------------------------------------------------------------ */

static bool name_message(const struct shmring_message *m, uint32_t *name)
{
    uint64_t number;

    if (oracle_read(&number, m->data, m->length, LONGEST_MESSAGE) != ORACLE_RIGHT)
        return false;
    *name = (uint32_t)number;
    return true;
}

/* All messages from the oldest whole one that a mark names. */
static void check_dump(struct crash_world *w, const struct figures *f, uint64_t horizon)
{
    const uint64_t first = least(whole_mark(horizon, 0), f->st.sent);

    crash_check(w, f->count == f->st.sent - first,
                "figures: %u messages in dump, there are %" PRIu64, f->count, f->st.sent - first);
    for (unsigned i = 0; i < f->count; i++) {
        const struct figures_message *m = &f->messages[i];
        crash_check(w,
                    m->name == first + i && m->position == position_of(m->name) &&
                        m->state == SHMRING_WAITING,
                    "figures: message %u at %" PRIu64 " in dump, the %uth", m->name, m->position,
                    i);
    }
}

/* ---- All of them ----------------------------------------------------------------------------- */

void check_figures(struct crash_world *w)
{
    const struct figures *f = figures_of(w);
    shmring_t *q = figures_take(w, name_message);
    uint64_t horizon = 0;

    if (q) {
        const struct shmr_broadcast_page *page = (void *)q->map.producer;
        horizon = atomic_load(&page->horizon);
    }
    shmring_close(&q);
    if (!crash_failed(w))
        check_sent(w, &f->st);
    if (!crash_failed(w))
        check_received(w, &f->st);
    if (!crash_failed(w))
        check_rows(w, f);
    if (!crash_failed(w))
        check_depth(w, f);
    if (!crash_failed(w))
        check_dump(w, f, horizon);
}

/* If the operation was not interrupted, no figures were taken, and its result says all. */
static void note_result(struct crash_world *w)
{
    const struct crash_seat *seat = &w->shared->seat[CRASH_VICTIM];
    const struct witness *seen = witness_of(w, CRASH_VICTIM);

    if (figures_of(w)->taken || w->operation->role != SHMRING_CONSUMER || seat->stage != CRASH_DONE)
        return;
    book(w)->doubtful = (uint64_t)w->operation->moved(seat->result);
    book(w)->doubtful_missed = seat->result == -EOVERFLOW ? seen->missed : 0;
    book(w)->doubtful_bytes =
        bytes_before(seen->start + book(w)->doubtful) - bytes_before(seen->start);
}

static void check_counters(struct crash_world *w, const struct shmring_stat *st)
{
    uint64_t received = book(w)->doubtful, missed = book(w)->doubtful_missed;
    uint64_t bytes = book(w)->doubtful_bytes;

    for (int i = 0; i < ROWS; i++) {
        received += prepared.row[i].received + book(w)->row[i].received;
        missed += prepared.row[i].missed + book(w)->row[i].missed;
        bytes += prepared.row[i].bytes + book(w)->row[i].bytes;
    }
    crash_check(w, st->sent == here.next && st->sent_bytes == bytes_before(here.next),
                "sent %" PRIu64 ", counted %" PRIu64 " of %" PRIu64 " bytes", here.next, st->sent,
                st->sent_bytes);
    crash_check(w, st->received == received && st->missed == missed && st->received_bytes == bytes,
                "received %" PRIu64 " of %" PRIu64 " bytes and missed %" PRIu64 ", counted %" PRIu64
                " of %" PRIu64 " and %" PRIu64,
                received, bytes, missed, st->received, st->received_bytes, st->missed);
}

void check_at_the_end(struct crash_world *w)
{
    const struct shmring_stat *then = &figures_of(w)->st;
    struct shmring_stat st;
    unsigned open = here.producer != NULL;

    note_result(w);
    shmring_stat(here.producer, &st);
    check_counters(w, &st);
    for (int i = 0; i < READERS; i++)
        open += here.reader[i].q && here.reader[i].q->row < ROWS;
    crash_check(w, st.participants == open, "%u alive, counted %u", open, st.participants);
    /* A process that was stopped may have taken a dead one's row without counting that yet. */
    const uint64_t counted = then->takeovers + then->dead;
    const unsigned in_hand = w->paused && w->paused->attaches;
    crash_check(w,
                !figures_of(w)->taken || (st.takeovers + st.dead >= counted &&
                                          st.takeovers + st.dead <= counted + in_hand),
                "figures: %" PRIu64 " taken over and %u dead then, %" PRIu64 " and %u now",
                then->takeovers, then->dead, st.takeovers, st.dead);
    crash_check(w, st.full_events >= then->full_events && st.empty_events >= then->empty_events,
                "figures: a counter went back");
}
