/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "ledger.h"
#include "lib/core/handle.h"
#include "oracle.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const char *const source_names[SOURCES] = {"before", "prepared", "victim", "paused",
                                                  "tester"};

/* In shared memory: what is known about a message. */
struct record {
    uint8_t sent;       /* a call that sent it has returned */
    uint8_t lost_to;    /* processes that took it and die with it */
    uint8_t received;   /* by a process that died, from a call that returned */
    uint8_t got;        /* times received by processes that live on */
    uint8_t flags;      /* of struct shmring_info then: SHMRING_REDELIVERED or 0 */
    uint8_t deliveries; /* then; 0: not known */
    uint64_t position;  /* likewise */
    /* When the figures were taken: */
    uint8_t had_been_sent;
    uint8_t had_been_got;
    uint8_t in_dump; /* its index in the dump, plus 1; 0: it was not there */
};

struct book {
    struct record of[SOURCES][LEDGER_NUMBERS];
    unsigned sent_before; /* messages of source BEFORE, sent and received in this case */
    unsigned doomed;      /* participants that died */
    unsigned sent_before_figures;
    unsigned in_hand; /* when the figures were taken: see struct ring */
};

/* The queue when the state was prepared. */
static struct {
    unsigned waiting, taken_before;
    struct shmring_stat st;
} prepared;

/*
 * FIFO by commit: each source is a stream. The prepared messages come first. The survivors sent
 * theirs after the death, so after the victim's. Those of the paused process may come at any time.
 */
static struct oracle order = {
    .streams = SOURCES,
    .deaths = true,
    .later = {[PREPARED] = 1 << VICTIM | 1 << PAUSED | 1 << TESTER, [VICTIM] = 1 << TESTER},
    .sent = {[PREPARED] = {.begun = LEDGER_NUMBERS},
             [VICTIM] = {.begun = LEDGER_NUMBERS},
             [PAUSED] = {.begun = LEDGER_NUMBERS},
             [TESTER] = {.begun = LEDGER_NUMBERS}},
};

/* What this process has received. */
static struct oracle_reader reader = {.may_flag = UINT64_MAX};

static struct book *book(struct crash_world *w)
{
    static_assert(sizeof(struct book) <= sizeof w->shared->book, "the book is too big");
    return (void *)w->shared->book;
}

struct witness *ledger_witness(struct crash_world *w, int seat)
{
    static_assert(sizeof(struct witness) <= sizeof w->shared->seat[0].witness, "too big");
    return (void *)w->shared->seat[seat].witness;
}

/* ---- Messages ------------------------------------------------------------------------------- */

static uint64_t name_of(struct message m)
{
    return oracle_name(m.source, m.number);
}

size_t ledger_write(struct message m, void *to)
{
    const size_t length = oracle_length(name_of(m), LEDGER_MESSAGE);

    oracle_write(name_of(m), to, length);
    return length;
}

bool ledger_read(struct message *m, const void *bytes, size_t length)
{
    uint64_t name;

    if (oracle_read(&name, bytes, length, LEDGER_MESSAGE) != ORACLE_RIGHT ||
        oracle_stream(name) >= SOURCES || oracle_number(name) >= LEDGER_NUMBERS)
        return false;
    *m = (struct message){(enum source)oracle_stream(name), (unsigned)oracle_number(name)};
    return true;
}

/* ---- What happens --------------------------------------------------------------------------- */

static struct record *record(struct crash_world *w, struct message m)
{
    return &book(w)->of[m.source][m.number];
}

void ledger_begin(unsigned waiting, unsigned taken_before, const struct shmring_stat *st)
{
    prepared.waiting = waiting;
    prepared.taken_before = taken_before;
    prepared.st = *st;
}

void ledger_doomed(struct crash_world *w)
{
    book(w)->doomed++;
}

bool ledger_double_death(const struct crash_world *w)
{
    return !w->paused && w->shared->seat[CRASH_PAUSED].stage != CRASH_READY;
}

void ledger_sent(struct crash_world *w, struct message m)
{
    if (m.source == BEFORE)
        book(w)->sent_before++;
    else
        record(w, m)->sent = 1;
}

void ledger_lost_to(struct crash_world *w, struct message m)
{
    record(w, m)->lost_to++;
}

void ledger_received_by(struct crash_world *w, struct message m)
{
    record(w, m)->received++;
}

void ledger_got(struct crash_world *w, const void *bytes, size_t length,
                const struct shmring_info *info)
{
    struct message m = {BEFORE, 0};

    if (!crash_check(w, ledger_read(&m, bytes, length), "%zu bytes that no process sent", length) ||
        m.source == BEFORE)
        return;
    struct record *r = record(w, m);
    crash_check(w, ++r->got == 1, "message %u of the %s comes twice", m.number,
                source_names[m.source]);
    if (!info)
        return;
    r->flags = (uint8_t)info->flags;
    r->deliveries = (uint8_t)info->deliveries;
    r->position = info->position;
    const enum oracle_verdict verdict =
        oracle_receive(&order, &reader, name_of(m), info->flags & SHMRING_REDELIVERED);
    crash_check(w, verdict == ORACLE_RIGHT, "message %u of the %s: %s", m.number,
                source_names[m.source], oracle_says(verdict));
}

void ledger_forget(void)
{
    reader = oracle_reader(false);
}

/* ---- Figures -------------------------------------------------------------------------------- */

static bool name_message(const struct shmring_message *m, uint32_t *name)
{
    struct message message;

    if (!ledger_read(&message, m->data, m->length))
        return false;
    *name = (uint32_t)message.source << 16 | message.number;
    return true;
}

/* What the ring's entries and the blocks' descriptors say. */
struct ring {
    uint64_t published; /* positions published so far */
    unsigned used;      /* blocks that are not free */
    unsigned in_hand;   /* messages that a recoverer has not published again yet */
};

static struct ring read_ring(const shmring_t *q)
{
    struct shmr_mpmc mpmc;
    struct ring ring = {0};
    uint64_t entry;

    shmr_mpmc_init(&mpmc, &q->geometry, &q->map, 0);
    (void)shmr_mpmc_find_tail(&mpmc, &entry);
    ring.published = mpmc.tail;
    for (uint64_t i = 0; i <= mpmc.mask; i++) {
        const uint64_t d = shmr_mpmc_block(&mpmc, i)->descriptor;
        const uint64_t position = shmr_whole_position(d, mpmc.tail);
        const bool published =
            (d & SHMR_STATE_MASK) == SHMR_RDY &&
            shmr_mpmc_poll(&mpmc, position) == shmr_mpmc_entry(&mpmc, position, i);
        ring.used += (d & SHMR_STATE_MASK) != SHMR_FREE;
        ring.in_hand +=
            (d & SHMR_STATE_MASK) != SHMR_FREE && (d & SHMR_M) && (d & SHMR_R) && !published;
    }
    return ring;
}

static void check_rows(struct crash_world *w, const struct figures *f, const struct ring *ring)
{
    uint64_t held = 0, sent = 0, received = 0;

    for (int i = 0; i < f->row_count; i++) {
        const struct shmring_participant *row = &f->rows[i];
        unsigned messages = 0;
        for (unsigned m = 0; m < f->count; m++)
            messages += f->messages[m].state == SHMRING_HELD && f->messages[m].row == row->row;
        crash_check(w, messages <= row->held,
                    "figures: row %u holds %u messages and %" PRIu64 " blocks", row->row, messages,
                    row->held);
        crash_check(w, row->held_ns == 0 || row->held > 0,
                    "figures: row %u holds nothing, for long", row->row);
        held += row->held;
        sent += row->sent;
        received += row->received;
    }
    crash_check(w, held + f->st.depth == ring->used,
                "figures: %" PRIu64 " blocks held, %" PRIu64 " messages waiting, %u blocks used",
                held, f->st.depth, ring->used);
    crash_check(w, sent <= f->st.sent && received <= f->st.received,
                "figures: the rows add up to %" PRIu64 " sent, %" PRIu64 " received", sent,
                received);
}

void ledger_check(struct crash_world *w)
{
    const struct figures *f = figures_of(w);
    const struct shmring_stat *st = &f->st;
    shmring_t *q = figures_take(w, name_message);
    struct ring ring = {0};
    uint64_t bytes = 0;

    if (q)
        ring = read_ring(q);
    shmring_close(&q);
    if (crash_failed(w))
        return;
    crash_check(w, st->sent + st->redelivered - ring.in_hand == ring.published,
                "figures: sent %" PRIu64 ", redelivered %" PRIu64
                " with %u of them in hand; %" PRIu64 " were published",
                st->sent, st->redelivered, ring.in_hand, ring.published);
    crash_check(w, st->depth == f->waiting && st->sent == st->received + st->dropped + f->count,
                "figures: sent %" PRIu64 ", received %" PRIu64 ", dropped %" PRIu64
                ", depth %" PRIu64 "; in dump %u wait, %u are held",
                st->sent, st->received, st->dropped, st->depth, f->waiting, f->held);
    crash_check(w, st->high_water >= st->depth && st->high_water <= st->capacity,
                "figures: high water %" PRIu64, st->high_water);
    for (unsigned i = 0; i < f->count; i++) {
        const struct message m = {(enum source)(f->messages[i].name >> 16),
                                  f->messages[i].name & 0xffff};
        bytes += f->messages[i].length;
        if (m.source == BEFORE) /* all messages of this source have the same number */
            continue;
        crash_check(w, record(w, m)->in_dump == 0, "figures: a message is in dump twice");
        record(w, m)->in_dump = (uint8_t)(i + 1);
    }
    crash_check(w, st->dropped != 0 || st->sent_bytes == st->received_bytes + bytes,
                "figures: bytes sent %" PRIu64 ", received %" PRIu64 ", in dump %" PRIu64,
                st->sent_bytes, st->received_bytes, bytes);
    check_rows(w, f, &ring);
    book(w)->sent_before_figures = book(w)->sent_before;
    book(w)->in_hand = ring.in_hand;
    for (int source = 0; source < SOURCES; source++)
        for (unsigned number = 0; number < LEDGER_NUMBERS; number++) {
            struct record *r = record(w, (struct message){(enum source)source, number});
            r->had_been_sent = r->sent;
            r->had_been_got = r->got;
        }
}

/* Is the message held by a live participant? Then it may be released, or come later. */
static bool held_by_the_living(const struct figures *f, const struct figures_message *m)
{
    const struct shmring_participant *row = figures_row(f, m->row);

    return m->state == SHMRING_HELD && row && row->alive;
}

/* Has that process a message in the buffers that it receives into? */
static bool copied_by(struct crash_world *w, int seat, struct message m)
{
    const struct witness *it = ledger_witness(w, seat);
    uint8_t wanted[LEDGER_LONGEST];
    size_t length = ledger_write(m, wanted);

    for (int i = 0; i < LEDGER_BATCH; i++)
        if (memcmp(wanted, it->buffer[i], length) == 0)
            return true;
    return false;
}

/* A message that was in the dump must come later, as the dump had it. A message that had been sent
 * but was not in the dump must not come, with one exception: the paused process had copied it out
 * and freed it, and its call had not returned yet. */
static void check_dump(struct crash_world *w, struct message m, const struct record *r)
{
    const struct figures *f = figures_of(w);
    const bool at_most_once = w->state->flags & SHMRING_AT_MOST_ONCE;
    const bool came = r->got > r->had_been_got;
    const bool was_sent = m.source == PREPARED || r->had_been_sent || m.source == VICTIM;

    if (!r->in_dump) {
        const bool in_its_buffers = w->paused && copied_by(w, CRASH_PAUSED, m);
        crash_check(w, !came || !was_sent || in_its_buffers,
                    "figures: message %u of the %s was not in dump", m.number,
                    source_names[m.source]);
        return;
    }
    const struct figures_message *then = &f->messages[r->in_dump - 1];
    if (held_by_the_living(f, then))
        return;
    crash_check(w, came || (at_most_once && then->state == SHMRING_HELD),
                "figures: message %u of the %s was in dump, and is gone", m.number,
                source_names[m.source]);
    crash_check(w, !came || r->deliveries == 0 || r->deliveries == then->deliveries + 1,
                "figures: dump says that message %u of the %s was taken %u times, peek says %u",
                m.number, source_names[m.source], then->deliveries, r->deliveries - 1U);
    crash_check(w, !came || r->deliveries == 0 || r->position == then->position,
                "figures: message %u of the %s is at %" PRIu64 ", in dump it was at %" PRIu64,
                m.number, source_names[m.source], r->position, then->position);
}

/* ---- What must hold ------------------------------------------------------------------------- */

/* What may or may not have happened in the interrupted operation, and how much of it has. */
struct doubts {
    unsigned traits;
    bool done;          /* its call had returned */
    bool missing_sent;  /* a message that it was to send has not come: no later one may */
    unsigned sent;      /* messages that it was to send and that have come */
    unsigned delivered; /* messages that came redelivered because it may have had them */
    unsigned dropped;   /* at most once: messages that it may have had, and that were dropped */
    unsigned retired;   /* messages that it has received or released */
};

/* The number of times that the message must have come: 0, 1, or -1 for either. */
static int expected(struct crash_world *w, struct message m, const struct record *r,
                    struct doubts *doubts)
{
    const struct witness *dead = ledger_witness(w, CRASH_VICTIM);
    const bool at_most_once = w->state->flags & SHMRING_AT_MOST_ONCE;
    const bool was_sent = r->sent || (m.source == PREPARED && m.number < prepared.waiting);

    if (!was_sent) {
        unsigned nth = m.number - dead->start;
        if (m.source != VICTIM || nth >= (unsigned)w->operation->most || !(doubts->traits & SENDS))
            return 0;
        if (doubts->done)
            return nth < (unsigned)w->operation->moved(w->shared->seat[CRASH_VICTIM].result);
        bool came = r->got > 0;
        crash_check(w, !came || !doubts->missing_sent,
                    "message %u of the victim has come, and one before it has not", m.number);
        doubts->missing_sent |= !came;
        doubts->sent += came;
        return -1;
    }
    if (r->received)
        return 0;
    if (dead->releases_one && m.source == dead->releases.source &&
        m.number == dead->releases.number) {
        doubts->retired += r->got == 0;
        return doubts->done || at_most_once ? 0 : -1;
    }
    if (at_most_once && r->lost_to)
        return 0;
    if (doubts->traits & RECEIVES && copied_by(w, CRASH_VICTIM, m)) {
        doubts->retired += r->got == 0;
        return doubts->done ? 0 : -1;
    }
    if (at_most_once && doubts->traits & (RECEIVES | PEEKS) && !doubts->done && r->got == 0 &&
        doubts->dropped == 0) {
        doubts->dropped++;
        return -1;
    }
    return 1;
}

static void check_deliveries(struct crash_world *w, struct message m, const struct record *r,
                             struct doubts *doubts)
{
    const bool taken_before = m.source == PREPARED && m.number < prepared.taken_before;
    const unsigned before = taken_before + (unsigned)r->lost_to, deliveries = r->deliveries;

    if (deliveries == 0)
        return;
    crash_check(w, (r->flags & SHMRING_REDELIVERED) == (deliveries > 1 ? SHMRING_REDELIVERED : 0),
                "message %u of the %s: delivery %u, flags %u", m.number, source_names[m.source],
                deliveries, r->flags);
    if (doubts->traits & (RECEIVES | PEEKS) && !doubts->done && deliveries == before + 2 &&
        doubts->delivered == 0) {
        doubts->delivered++;
        return;
    }
    crash_check(w, deliveries == before + 1,
                "message %u of the %s: delivery %u, but %u who had it have died", m.number,
                source_names[m.source], deliveries, before);
}

static void check_counters(struct crash_world *w, const struct shmring_stat *st,
                           const struct doubts *doubts, uint64_t sent, uint64_t received)
{
    const struct book *all = book(w);
    const struct figures *f = figures_of(w);

    sent += all->sent_before + prepared.st.sent;
    received += all->sent_before + prepared.st.received + doubts->retired;
    crash_check(w, st->sent == sent, "%" PRIu64 " messages were sent, %" PRIu64 " counted", sent,
                st->sent);
    /* With SHMRING_AT_MOST_ONCE, what the dead process had in its buffers counts as received or as
     * dropped: see check_taken_back(). */
    const uint64_t dropped = w->state->flags & SHMRING_AT_MOST_ONCE ? doubts->retired : 0;
    crash_check(w, st->received <= received && st->received + dropped >= received,
                "%" PRIu64 " messages were received, %" PRIu64 " counted", received, st->received);
    crash_check(w, st->sent == st->received + st->dropped,
                "of %" PRIu64 " messages %" PRIu64 " were received and %" PRIu64 " dropped",
                st->sent, st->received, st->dropped);
    if (!f->taken)
        return;
    crash_check(w, st->takeovers == f->st.takeovers + f->st.dead,
                "figures: %" PRIu64 " recovered and %u dead then, %" PRIu64 " recovered now",
                f->st.takeovers, f->st.dead, st->takeovers);
    /* Each process that died in this case may have been detached, or not yet attached. */
    const unsigned unseen = ledger_double_death(w) ? 2 : 1;
    crash_check(w,
                st->takeovers <= prepared.st.takeovers + all->doomed &&
                    st->takeovers + unseen >= prepared.st.takeovers + all->doomed,
                "%u have died, and %" PRIu64 " were recovered", all->doomed,
                st->takeovers - prepared.st.takeovers);
}

/* All messages that dead participants held when the figures were taken have been taken back since;
 * those in a recoverer's hand were counted before. */
static void check_taken_back(struct crash_world *w, const struct shmring_stat *st)
{
    const struct figures *f = figures_of(w);
    uint64_t dead_had = 0;

    for (unsigned i = 0; i < f->count; i++)
        dead_had += f->messages[i].state == SHMRING_HELD && !held_by_the_living(f, &f->messages[i]);
    crash_check(w,
                w->paused || st->redelivered + st->dropped ==
                                 f->st.redelivered + f->st.dropped + dead_had - book(w)->in_hand,
                "figures: %" PRIu64 " messages taken back then, %" PRIu64
                " held by the dead, now %" PRIu64,
                f->st.redelivered + f->st.dropped, dead_had, st->redelivered + st->dropped);
}

/* The messages sent before the figures were taken: those of calls that had returned, and those of
 * the victim's call that have come. */
static void check_sent_then(struct crash_world *w, uint64_t sent)
{
    const struct figures *f = figures_of(w);

    sent += prepared.st.sent + book(w)->sent_before_figures;
    crash_check(w, w->paused || f->st.sent == sent,
                "figures: %" PRIu64 " messages had been sent, stat said %" PRIu64, sent,
                f->st.sent);
}

void ledger_balance(struct crash_world *w, const struct shmring_stat *st, unsigned traits)
{
    struct doubts doubts = {.traits = traits,
                            .done = w->shared->seat[CRASH_VICTIM].stage == CRASH_DONE};
    uint64_t sent = 0, received = 0, sent_then = 0;

    for (int source = PREPARED; source < SOURCES; source++)
        for (unsigned number = 0; number < LEDGER_NUMBERS; number++) {
            struct message m = {(enum source)source, number};
            struct record *r = record(w, m);
            int times = expected(w, m, r, &doubts);
            crash_check(w, times < 0 || (int)r->got == times,
                        times ? "message %u of the %s was lost"
                              : "message %u of the %s should not have come",
                        number, source_names[source]);
            check_deliveries(w, m, r, &doubts);
            if (figures_of(w)->taken)
                check_dump(w, m, r);
            sent += source != PREPARED && (r->sent || r->got);
            sent_then += source != PREPARED && (r->had_been_sent || (source == VICTIM && r->got));
            received += r->got + r->received;
        }
    if (!crash_failed(w))
        check_counters(w, st, &doubts, sent, received);
    if (!crash_failed(w) && figures_of(w)->taken) {
        check_sent_then(w, sent_then);
        check_taken_back(w, st);
    }
}
