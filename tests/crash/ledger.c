/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const char *const source_names[SOURCES] = {"before", "prepared", "victim", "paused",
                                                  "tester"};

/* In shared memory: what is known about a message. */
struct record {
    uint8_t sent;       /* a call that sent it has returned */
    uint8_t lost_to;    /* how many took it and will have died with it */
    uint8_t received;   /* by one that died, from a call that returned */
    uint8_t got;        /* how often, by those who live on */
    uint8_t flags;      /* SHMRING_REDELIVERED, then */
    uint8_t deliveries; /* then; 0: not known */
};

struct book {
    struct record of[SOURCES][LEDGER_NUMBERS];
    unsigned sent_before; /* messages that were sent meanwhile, and received again */
    unsigned doomed;      /* participants that died */
};

/* As it was when the state had been prepared. */
static struct {
    unsigned waiting, taken_before;
    struct shmring_stat st;
} prepared;

/* The last message from each source that this process has got unflagged, plus 1. */
static unsigned last[SOURCES];

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

static size_t message_length(struct message m)
{
    return 8 + (m.number * 5 + m.source * 11) % 29;
}

size_t ledger_write(struct message m, void *to)
{
    const uint64_t word = ~((uint64_t)m.source << 32 | m.number); /* no message is all zeroes */
    const size_t length = message_length(m);
    uint8_t *bytes = to;

    memcpy(bytes, &word, sizeof word);
    for (size_t i = sizeof word; i < length; i++)
        bytes[i] = (uint8_t)(m.number * 31 + m.source * 7 + i);
    return length;
}

bool ledger_read(struct message *m, const void *bytes, size_t length)
{
    uint8_t wanted[LEDGER_LONGEST];
    uint64_t word;

    if (length < sizeof word)
        return false;
    memcpy(&word, bytes, sizeof word);
    word = ~word;
    if (word >> 32 >= SOURCES || (uint32_t)word >= LEDGER_NUMBERS)
        return false;
    *m = (struct message){(enum source)(word >> 32), (unsigned)word};
    return ledger_write(*m, wanted) == length && memcmp(bytes, wanted, length) == 0;
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

/*
 * FIFO by commit. The prepared messages were first, and the survivors sent theirs after the death;
 * who stood still meanwhile comes at any time. What is delivered again has no place in this order.
 */
static bool in_order(struct message m)
{
    if (last[m.source] > m.number)
        return false;
    switch (m.source) {
    case PREPARED:
        return last[VICTIM] + last[PAUSED] + last[TESTER] == 0;
    case VICTIM:
        return last[TESTER] == 0;
    default:
        return true;
    }
}

void ledger_got(struct crash_world *w, const void *bytes, size_t length,
                const struct shmring_info *info)
{
    struct message m = {BEFORE, 0};

    if (!crash_check(w, ledger_read(&m, bytes, length), "%zu bytes that nobody sent", length) ||
        m.source == BEFORE)
        return;
    struct record *r = record(w, m);
    crash_check(w, ++r->got == 1, "message %u of the %s comes twice", m.number,
                source_names[m.source]);
    if (!info)
        return;
    r->flags = (uint8_t)info->flags;
    r->deliveries = (uint8_t)info->deliveries;
    if (info->flags & SHMRING_REDELIVERED)
        return;
    crash_check(w, in_order(m), "message %u of the %s comes out of turn", m.number,
                source_names[m.source]);
    last[m.source] = m.number + 1;
}

void ledger_forget(void)
{
    memset(last, 0, sizeof last);
}

/* ---- What must hold ------------------------------------------------------------------------- */

/* What the operation of the dead leaves open, and how much of that was used. */
struct doubts {
    unsigned traits;
    bool done; /* its call had returned */
    bool
        missing_sent; /* one of the messages that it was to send has not come: nor may later ones */
    unsigned sent;    /* of those, how many have come */
    unsigned delivered; /* messages that it may have had, and that come again */
    unsigned dropped;   /* likewise, but at most once */
    unsigned retired;   /* messages that it has received or released */
};

static bool copied_by_the_dead(struct crash_world *w, struct message m)
{
    const struct witness *dead = ledger_witness(w, CRASH_VICTIM);
    uint8_t wanted[LEDGER_LONGEST];
    size_t length = ledger_write(m, wanted);

    for (int i = 0; i < LEDGER_BATCH; i++)
        if (memcmp(wanted, dead->buffer[i], length) == 0)
            return true;
    return false;
}

/* How often must the message have come: 0, 1, or -1 for either. */
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
    if (doubts->traits & RECEIVES && copied_by_the_dead(w, m)) {
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
    /* It may die between a message and its count. */
    const bool open = !doubts->done;
    const uint64_t uncounted_send = open && doubts->traits & SENDS;
    const uint64_t uncounted_receive =
        open && (doubts->traits & RECEIVES || ledger_witness(w, CRASH_VICTIM)->releases_one);

    sent += all->sent_before + prepared.st.sent;
    received += all->sent_before + prepared.st.received + doubts->retired;
    crash_check(w, st->sent <= sent && st->sent + uncounted_send >= sent,
                "%" PRIu64 " messages were sent, %" PRIu64 " counted", sent, st->sent);
    crash_check(w,
                st->received <= received + uncounted_receive &&
                    st->received + uncounted_receive >= received,
                "%" PRIu64 " messages were received, %" PRIu64 " counted", received, st->received);
    /* A recoverer may die between the count of its work and the end of it, and another finishes. */
    crash_check(w,
                st->takeovers <= prepared.st.takeovers + all->doomed +
                                     (doubts->traits & RECOVERS ? all->doomed : 0),
                "%u have died, and %" PRIu64 " were recovered", all->doomed,
                st->takeovers - prepared.st.takeovers);
}

void ledger_balance(struct crash_world *w, const struct shmring_stat *st, unsigned traits)
{
    struct doubts doubts = {.traits = traits,
                            .done = w->shared->seat[CRASH_VICTIM].stage == CRASH_DONE};
    uint64_t sent = 0, received = 0;

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
            sent += source != PREPARED && (r->sent || r->got);
            received += r->got + r->received;
        }
    if (!crash_failed(w))
        check_counters(w, st, &doubts, sent, received);
}
