/* SPDX-License-Identifier: MIT */
/*
 * Broadcast under the stepper. Message number n, counted from the queue's creation, has a length
 * and a content that follow from n, so a receiver knows what must come next, and the tester where
 * each message stands in the ring.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broadcast.h"

static const struct crash_state states[] = {
    {"new", NEW, 0},                     /* never used */
    {"empty", EMPTY, 0},                 /* used for more than a lap, and drained */
    {"waiting", WAITING, 0},             /* three wait for each consumer, the first is a key */
    {"almost full", ALMOST_FULL, 0},     /* room for one more; a reliable consumer is behind */
    {"full", FULL, 0},                   /* room for none; a reliable consumer is behind */
    {"lapped", LAPPED, 0},               /* the consumers were overtaken; none is reliable */
    {"wraps next", WRAPS_NEXT, 0},       /* the next message sent runs over the end of the ring */
    {"wrapped", WRAPPED, 0},             /* three wait, the first runs over the end of the ring */
    {"held", HELD, 0},                   /* three wait, each consumer holds two of them */
    {"dead reader", DEAD_READER, 0},     /* full; the reliable consumer that is behind is dead */
    {"dead producer", DEAD_PRODUCER, 0}, /* it died between publishing and all that comes next */
    {"several", SEVERAL, 0},             /* full; four consumers, one of them without a row */
    {"crowded", CROWDED, 0},             /* three wait; each row has a dead owner */
    {"at work", AT_WORK, 0},             /* three wait; the process has moved two before */
};

/* ---- States ---------------------------------------------------------------------------------- */

/* Fork a process that takes rows, or the producer's role, and dies with them. */
static void die_with(struct crash_world *w, void (*body)(struct crash_world *w))
{
    pid_t child = fork();

    if (child == 0) {
        memset(&here, 0, sizeof here);
        body(w);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void be_dead_reader(struct crash_world *w)
{
    open_reader(w, MINE, SHMRING_RELIABLE | SHMRING_FROM_OLDEST);
}

static void take_all_rows(struct crash_world *w)
{
    for (int i = SHMR_BROADCAST_FIRST_CONSUMER; i < ROWS; i++)
        open_reader(w, i - SHMR_BROADCAST_FIRST_CONSUMER, i % 2 ? SHMRING_RELIABLE : 0);
}

/*
 * Publish a key message that is the first of its chunk, and put the producer's page back as it was
 * before its marks, its key and its progress were stored: the producer died behind cast:R1. Then
 * reserve, and write to the reservation.
 */
static void be_dead_producer(struct crash_world *w)
{
    void *unsent;

    open_producer(w);
    if (!here.producer)
        return;
    while (position_of(here.next) / CHUNK == position_of(here.next - 1) / CHUNK)
        send_some(w, 1);
    struct shmr_broadcast_page *page = here.producer->broadcast.producer.ring.page;
    struct shmr_broadcast_page before;
    memcpy(&before, page, sizeof before);
    uint8_t bytes[LONGEST];
    message_write(here.next, bytes);
    const int r = shmring_send_flags(here.producer, bytes, message_length(here.next), SHMRING_KEY);
    crash_check(w, r == 0, "no room for the dead producer: %d", r);
    memcpy(page->progress, before.progress, sizeof before.progress);
    memcpy(page->key, before.key, sizeof before.key);
    memcpy(page->mark, before.mark, sizeof before.mark);
    book(w)->sent++;
    if (shmring_reserve(here.producer, LONGEST, &unsent) == 0)
        memset(unsent, 0xff, LONGEST);
}

/* Send, with a consumer that receives all, until is_there() says that the next message is right. */
static void go_on_until(struct crash_world *w, bool (*is_there)(void))
{
    while (!crash_failed(w) && !is_there()) {
        send_some(w, 1);
        drain(w, &here.reader[LOSSY]);
    }
}

static bool is_next_key(void)
{
    return here.next % 7 == 3;
}

static bool does_next_wrap(void)
{
    return position_of(here.next) / CAPACITY != (position_of(here.next + 1) - 1) / CAPACITY;
}

static bool does_next_key_wrap(void)
{
    return is_next_key() && does_next_wrap();
}

/* No room for one more record before the horizon: where it is, a reliable consumer stands. */
static bool is_next_at_horizon(void)
{
    return horizon_for(here.next) > here.producer->broadcast.producer.horizon;
}

static bool is_second_at_horizon(void)
{
    return horizon_for(here.next + 1) > here.producer->broadcast.producer.horizon &&
           !is_next_at_horizon();
}

static void prepare_messages(struct crash_world *w)
{
    send_some(w, 5);
    send_a_lap(w);
    drain(w, &here.reader[LOSSY]);
    switch (w->state->id) {
    case ALMOST_FULL:
        go_on_until(w, is_second_at_horizon);
        break;
    case FULL:
    case DEAD_READER:
    case SEVERAL:
        go_on_until(w, is_next_at_horizon);
        break;
    case WRAPS_NEXT:
        go_on_until(w, does_next_wrap);
        break;
    case WRAPPED:
        go_on_until(w, does_next_key_wrap);
        send_some(w, 3);
        break;
    case EMPTY:
    case LAPPED:
        break;
    default:
        go_on_until(w, is_next_key);
        send_some(w, w->state->id == AT_WORK ? 5 : 3);
        break;
    }
    drain(w, &here.reader[LOSSY]);
}

static void note_prepared(struct crash_world *w)
{
    struct shmring_participant rows[ROWS];
    struct shmring_stat st;
    shmring_t *q;

    memcpy(prepared.row, book(w)->row, sizeof prepared.row);
    w->sent = book(w)->sent;
    if (!crash_check(w, shmring_open_fd(&q, w->fd, SHMRING_OBSERVER) == 0, "observing"))
        return;
    const int n = shmring_participants(q, rows, ROWS);
    for (int i = 0; i < n; i++)
        prepared.dead[rows[i].row] = true;
    shmring_stat(q, &st);
    crash_check(w, st.sent == w->sent, "prepared %" PRIu64 " messages, %" PRIu64, w->sent, st.sent);
    shmring_close(&q);
    if (w->state->id == DEAD_PRODUCER)
        prepared.key = w->sent;
}

static void prepare(struct crash_world *w)
{
    memset(&prepared, 0, sizeof prepared);
    if (w->state->id == NEW)
        return;
    open_producer(w);
    open_reader(w, LOSSY, 0);
    prepare_messages(w);
    close_all(w);
    if (w->state->id == DEAD_READER)
        die_with(w, be_dead_reader);
    if (w->state->id == CROWDED)
        die_with(w, take_all_rows);
    if (w->state->id == DEAD_PRODUCER)
        die_with(w, be_dead_producer);
    note_prepared(w);
}

/* ---- Survivors ------------------------------------------------------------------------------- */

/* A consumer that finds no free row has none. */
static void open_without_row(struct crash_world *w)
{
    open_reader(w, SUCCESSOR, 0);
    open_reader(w, MINE, 0);
    open_reader(w, ROWLESS, start_flags(w));
    close_reader(w, SUCCESSOR);
    close_reader(w, MINE);
    crash_check(w, here.reader[ROWLESS].q && here.reader[ROWLESS].q->row >= ROWS,
                "there is a row for it");
}

static void open_survivors(struct crash_world *w)
{
    const int id = w->state->id;

    if (w->paused)
        return;
    if (id != LAPPED)
        open_reader(w, RELIABLE, start_flags(w) | SHMRING_RELIABLE);
    if (id == SEVERAL)
        open_reader(w, BEHIND, SHMRING_FROM_OLDEST | SHMRING_RELIABLE);
    open_reader(w, LOSSY, start_flags(w));
    if (id == SEVERAL)
        open_without_row(w);
    for (int i = 0; id == HELD && i < 2; i++) {
        hold_next(w, &here.reader[RELIABLE]);
        hold_next(w, &here.reader[LOSSY]);
    }
    if (w->operation->role == SHMRING_CONSUMER && id != LAPPED && id != DEAD_PRODUCER)
        open_producer(w);
}

static void drain_all(struct crash_world *w)
{
    for (int i = 0; i < READERS; i++)
        if (here.reader[i].q && !crash_failed(w))
            drain(w, &here.reader[i]);
}

/* All of them have come as far as messages were sent. */
static void check_nothing_waits(struct crash_world *w, uint64_t sent)
{
    for (int i = 0; i < READERS; i++)
        crash_check(w, !here.reader[i].q || here.reader[i].judge.next[0] == sent,
                    "%" PRIu64 " messages were sent, and a consumer has got those before %" PRIu64,
                    sent, here.reader[i].judge.next[0]);
}

static void survivors_work(struct crash_world *w)
{
    if (crash_failed(w) || w->paused)
        return;
    if (w->operation->role == SHMRING_CONSUMER) {
        if (!here.producer)
            open_producer(w);
        if (!crash_failed(w))
            fill(w);
        return;
    }
    drain_all(w);
    if (figures_of(w)->taken)
        check_nothing_waits(w, here.producer ? here.next : figures_of(w)->st.sent);
}

/* ---- The successor --------------------------------------------------------------------------- */

/* The last key message that is whole; UINT64_MAX: there is none. */
static uint64_t last_key(const struct crash_world *w, uint64_t sent, uint64_t horizon)
{
    for (uint64_t n = sent; n-- > 0 && position_of(n) + CAPACITY >= horizon;)
        if (is_key(w, n))
            return n;
    return UINT64_MAX;
}

/* It begins where the flags say. A dead producer may not have noted its last key message yet. */
static void check_start(struct crash_world *w, const struct reader *r, unsigned flags)
{
    const uint64_t horizon = r->q->broadcast.consumer.horizon, begins = r->judge.next[0];
    const bool noted = here.producer || w->state->id != DEAD_PRODUCER;
    struct shmring_stat st;

    shmring_stat(r->q, &st);
    const uint64_t key = last_key(w, st.sent, horizon);
    const bool right = flags & SHMRING_FROM_OLDEST ? begins == whole_mark(horizon, 0)
                       : flags & SHMRING_FROM_KEY  ? begins == (key < st.sent ? key : st.sent)
                                                   : begins == st.sent;
    crash_check(w, w->paused || right || !noted,
                "a consumer begins with message %" PRIu64 " of %" PRIu64 ", its flags are %x",
                begins, st.sent, flags);
}

/* Each chunk whose first record is whole has its mark, from which a consumer can begin. */
static void check_marks(struct crash_world *w)
{
    const struct shmr_broadcast_page *page = here.producer->broadcast.producer.ring.page;

    for (uint64_t n = whole_mark(atomic_load(&page->horizon), 0); n < here.next; n++) {
        const uint64_t position = position_of(n);
        const struct shmr_broadcast_place *mark = &page->mark[position % CAPACITY / CHUNK];
        if (n == 0 || position / CHUNK != position_of(n - 1) / CHUNK)
            crash_check(w,
                        atomic_load(&mark->position) == position && atomic_load(&mark->number) == n,
                        "the successor leaves no mark for message %" PRIu64, n);
    }
}

static void consumer_succeeds(struct crash_world *w)
{
    const unsigned flags =
        w->operation->attaches ? opens_with(w->operation) : start_flags(w) | SHMRING_RELIABLE;

    open_reader(w, SUCCESSOR, flags);
    if (crash_failed(w))
        return;
    check_start(w, &here.reader[SUCCESSOR], flags);
    drain(w, &here.reader[SUCCESSOR]);
}

static void producer_succeeds(struct crash_world *w)
{
    const struct figures *f = figures_of(w);

    open_producer(w);
    if (crash_failed(w))
        return;
    const uint64_t known = w->sent + book(w)->sent;
    crash_check(w, !f->taken || here.next == f->st.sent,
                "the successor goes on with message %" PRIu64 ", figures: %" PRIu64, here.next,
                f->st.sent);
    crash_check(w, here.next >= known && here.next <= known + (uint64_t)w->operation->most,
                "the successor goes on with message %" PRIu64 ", %" PRIu64 " were sent", here.next,
                known);
    book(w)->sent = here.next - w->sent;
    check_marks(w);
    open_reader(w, SUCCESSOR, SHMRING_FROM_KEY);
    if (!crash_failed(w))
        check_start(w, &here.reader[SUCCESSOR], SHMRING_FROM_KEY);
    if (!crash_failed(w))
        fill(w);
}

static void successor_works(struct crash_world *w)
{
    if (w->operation->role == SHMRING_CONSUMER)
        consumer_succeeds(w);
    else
        producer_succeeds(w);
}

/* ---- In the end ------------------------------------------------------------------------------ */

/* The reliable consumers keep up, and the others are overtaken. */
static void overtake(struct crash_world *w)
{
    for (int lap = 0; lap < 2 && !crash_failed(w); lap++) {
        fill(w);
        for (int i = 0; i < READERS; i++)
            if (here.reader[i].q && here.reader[i].reliable)
                drain(w, &here.reader[i]);
    }
}

static void settle(struct crash_world *w)
{
    if (!here.producer && !crash_failed(w))
        open_producer(w);
    if (!here.reader[RELIABLE].q && !crash_failed(w))
        open_reader(w, RELIABLE, SHMRING_RELIABLE);
    if (!here.reader[LOSSY].q && !crash_failed(w))
        open_reader(w, LOSSY, 0);
    if (!crash_failed(w)) {
        drain_all(w);
        overtake(w);
        drain_all(w);
    }
    if (!crash_failed(w))
        check_nothing_waits(w, here.next);
    if (!crash_failed(w))
        check_at_the_end(w);
    close_all(w);
}

/* To attach takes the most instructions and system calls, nearly all the same in each state. */
static enum crash_care care(const struct crash_operation *o, const struct crash_state *s)
{
    if (!o->attaches || s->id == (o->role == SHMRING_PRODUCER ? DEAD_PRODUCER : CROWDED))
        return CRASH_USUAL;
    return s->id == EMPTY || s->id == ALMOST_FULL || s->id == WRAPS_NEXT || s->id == WRAPPED ||
                   s->id == HELD || s->id == AT_WORK
               ? CRASH_SELDOM
               : CRASH_SAMPLED;
}

/* One of the two is the producer; a consumer that attaches meets another one only at the rows. */
static bool may_pair(const struct crash_operation *killed, const struct crash_operation *stopped)
{
    return killed->role != stopped->role && matters_in_pairs(killed) && matters_in_pairs(stopped);
}

/* The successor has the same role. */
static bool may_succeed(const struct crash_operation *killed,
                        const struct crash_operation *successor)
{
    return killed->role == successor->role && successor->attaches && matters_in_pairs(killed) &&
           matters_in_pairs(successor);
}

const struct crash_kind crash_kind = {
    .name = "broadcast",
    .config = {.kind = SHMRING_BROADCAST,
               .capacity = CAPACITY,
               .max_message = LONGEST,
               .max_participants = ROWS - SHMR_BROADCAST_FIRST_CONSUMER},
    .operations = operations,
    .operation_count = OPERATIONS,
    .states = states,
    .state_count = sizeof states / sizeof states[0],
    .budget = 2000,
    .long_operation = 40,
    .others = 16,
    .measured_calls = 3,
    .pair_points = 6,
    .care = care,
    .may_pair = may_pair,
    .may_succeed = may_succeed,
    .prepare = prepare,
    .attach = attach,
    .carry_on = carry_on,
    .open_survivors = open_survivors,
    .check = check_figures,
    .survivors_work = survivors_work,
    .successor_works = successor_works,
    .settle = settle,
};
