/* SPDX-License-Identifier: MIT */
/*
 * SPSC under the stepper. Message number n, counted from the queue's creation, has a length and a
 * content that follow from n, so a receiver knows what must come next.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spsc.h"

static const struct crash_state states[] = {
    {"new", NEW, 0},         {"empty", EMPTY, 0},
    {"one", ONE, 0},         {"almost full", ALMOST_FULL, 0},
    {"full", FULL, 0},       {"wraps next", WRAPS_NEXT, 0},
    {"wrapped", WRAPPED, 0}, {"redelivered", REDELIVERED, 0},
    {"held", HELD, 0},       {"dead neighbour", DEAD_NEIGHBOUR, 0},
    {"at work", AT_WORK, 0},
};

/* ---- Figures -------------------------------------------------------------------------------- */

/* Payload of the messages before n. */
static uint64_t bytes_before(uint64_t n)
{
    uint64_t bytes = 0;

    while (n-- > 0)
        bytes += message_length(n);
    return bytes;
}

/* Position of message n. */
static uint64_t position_of(uint64_t n)
{
    uint64_t position = 0;

    while (n-- > 0)
        position += record_size(n);
    return position;
}

static bool name_message(const struct shmring_message *m, uint32_t *name)
{
    uint64_t number;

    if (oracle_read(&number, m->data, m->length, LONGEST_MESSAGE) != ORACLE_RIGHT)
        return false;
    *name = (uint32_t)number;
    return true;
}

/*
 * Right after a death: take the figures and check that they agree, with each other and with the
 * ring. check_moved() and drain() check them later against a successor's figures and the messages.
 */
static void check_queue(struct crash_world *w)
{
    const struct figures *f = figures_of(w);
    const struct shmring_stat *st = &f->st;
    shmring_t *q = figures_take(w, name_message);

    shmring_close(&q);
    if (crash_failed(w))
        return;
    crash_check(w, st->sent - st->received == st->depth && st->depth == f->count,
                "figures: sent %" PRIu64 ", received %" PRIu64 ", depth %" PRIu64 ", %u in dump",
                st->sent, st->received, st->depth, f->count);
    crash_check(w,
                st->sent_bytes == bytes_before(st->sent) &&
                    st->received_bytes == bytes_before(st->received) &&
                    st->depth_bytes == position_of(st->sent) - position_of(st->received),
                "figures: bytes sent %" PRIu64 ", received %" PRIu64 ", in the ring %" PRIu64,
                st->sent_bytes, st->received_bytes, st->depth_bytes);
    crash_check(w, st->high_water >= st->depth_bytes && st->high_water <= CAPACITY - SPARE,
                "figures: high water %" PRIu64, st->high_water);
    for (int i = 0; i < f->row_count; i++) {
        const struct shmring_participant *row = &f->rows[i];
        crash_check(w,
                    row->row == 0 ? row->sent == st->sent && row->received == 0
                                  : row->received == st->received && row->sent == 0,
                    "figures: row %u has sent %" PRIu64 ", received %" PRIu64, row->row, row->sent,
                    row->received);
    }
    for (unsigned i = 0; i < f->count; i++) {
        const struct figures_message *m = &f->messages[i];
        crash_check(w, m->name == st->received + i && m->position == position_of(m->name),
                    "figures: message %u at %" PRIu64 ", the %uth", m->name, m->position, i);
        crash_check(w, i == 0 || m->state == SHMRING_WAITING || m[-1].state == SHMRING_HELD,
                    "figures: message %u is held, and not the one before", m->name);
    }
}

/* ---- States --------------------------------------------------------------------------------- */

/* Let a process attach and die without closing. */
static void die_attached(struct crash_world *w, unsigned role)
{
    pid_t child = fork();

    if (child == 0) {
        void *unsent;
        if (role == SHMRING_PRODUCER) {
            open_producer(w);
            if (shmring_reserve(here.producer, LONGEST, &unsent) == 0)
                memset(unsent, 0xff, LONGEST);
        } else {
            open_consumer(w);
            hold_next(w, NULL);
            if (w->state->id == REDELIVERED)
                hold_next(w, NULL);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static uint64_t free_bytes(void)
{
    struct shmring_stat st;

    shmring_stat(here.producer, &st);
    return CAPACITY - SPARE - st.depth_bytes;
}

/* Send and receive until the next message to be sent runs over the end of the ring. */
static void go_to_the_end(struct crash_world *w)
{
    uint64_t position = 0;

    for (uint64_t n = 0; n < here.next; n++)
        position += record_size(n);
    while (position % CAPACITY + record_size(here.next) <= CAPACITY) {
        position += record_size(here.next);
        send_some(w, 1);
        drain(w);
    }
}

static void prepare(struct crash_world *w)
{
    struct shmring_stat st;
    int id = w->state->id;

    if (id == NEW)
        return;
    open_producer(w);
    open_consumer(w);
    send_some(w, 5);
    drain(w);
    switch (id) {
    case ONE:
        send_some(w, 1);
        break;
    case ALMOST_FULL:
        while (free_bytes() >= record_size(here.next) + record_size(here.next + 1))
            send_some(w, 1);
        break;
    case FULL:
        while (free_bytes() >= record_size(here.next))
            send_some(w, 1);
        break;
    case WRAPS_NEXT:
        go_to_the_end(w);
        break;
    case WRAPPED:
        go_to_the_end(w);
        send_some(w, 3);
        break;
    case REDELIVERED:
    case HELD:
    case DEAD_NEIGHBOUR:
        send_some(w, 3);
        break;
    case AT_WORK:
        send_some(w, 5);
        break;
    default:
        break;
    }
    shmring_stat(here.producer, &st);
    close_all();
    if (id == REDELIVERED || id == DEAD_NEIGHBOUR)
        die_attached(w, SHMRING_CONSUMER);
    if (id == DEAD_NEIGHBOUR)
        die_attached(w, SHMRING_PRODUCER);
    w->sent = st.sent;
    w->received = st.received;
}

/* ---- What must hold ------------------------------------------------------------------------- */

/*
 * The dead process's operation must have moved all of its messages or none, and all if its call had
 * returned. If the other side was stopped, it depends on where how many "all" are.
 */
static bool check_moved(struct crash_world *w, const char *what, uint64_t after)
{
    const struct crash_seat *dead = &w->shared->seat[CRASH_VICTIM];
    long moved = (long)(after - dead_start(w)), all = w->operation->moved(w->complete);

    if (figures_of(w)->taken &&
        !crash_check(w,
                     after == (w->operation->role == SHMRING_PRODUCER ? figures_of(w)->st.sent
                                                                      : figures_of(w)->st.received),
                     "figures: %s %" PRIu64 " in truth", what, after))
        return false;
    if (dead->stage == CRASH_DONE)
        return crash_check(w, moved == w->operation->moved(dead->result),
                           "%s: %ld by the dead, whose call had returned %ld", what, moved,
                           dead->result);
    return crash_check(w, moved == 0 || (w->paused ? moved <= w->operation->most : moved == all),
                       "%s: %ld by the dead, whose call would have returned %ld", what, moved,
                       w->complete);
}

/* Check that the dead consumer had all messages that it received by copy whole in its buffers. */
static bool check_copies(struct crash_world *w, uint64_t received)
{
    bool ok = true;

    if (w->operation->run != run_recv && w->operation->run != run_recv_batch)
        return true;
    for (uint64_t n = dead_start(w); ok && n < received; n++)
        ok = crash_check(w, dead_had(w, n), "message %" PRIu64 " was released before it was copied",
                         n);
    return ok;
}

static void open_survivors(struct crash_world *w)
{
    if (w->paused || w->state->id == DEAD_NEIGHBOUR)
        return;
    if (w->operation->role == SHMRING_CONSUMER) {
        open_producer(w);
    } else {
        open_consumer(w);
        if (w->state->id == HELD && hold_next(w, NULL))
            hold_next(w, NULL);
    }
}

static void survivors_work(struct crash_world *w)
{
    if (crash_failed(w))
        return;
    if (w->operation->role == SHMRING_CONSUMER) {
        if (!here.producer) /* DEAD_NEIGHBOUR: take the dead producer's role over */
            open_producer(w);
        if (!crash_failed(w))
            fill(w);
    } else {
        if (!here.consumer)
            open_consumer(w);
        release_held(w);
        if (!crash_failed(w))
            drain(w);
    }
}

static void successor_works(struct crash_world *w)
{
    if (w->operation->role == SHMRING_CONSUMER) {
        open_consumer(w);
        if (check_moved(w, "received", here.reader.next[0]) && check_copies(w, here.reader.next[0]))
            drain(w);
    } else {
        open_producer(w);
        if (check_moved(w, "sent", here.next))
            fill(w);
    }
}

static void settle(struct crash_world *w)
{
    struct shmring_stat st;

    if (!here.producer && !crash_failed(w))
        open_producer(w);
    if (!here.consumer && !crash_failed(w))
        open_consumer(w);
    if (!crash_failed(w))
        drain(w);
    if (!crash_failed(w))
        fill(w);
    if (!crash_failed(w))
        drain(w);
    if (!crash_failed(w)) {
        shmring_stat(here.consumer, &st);
        crash_check(w,
                    here.reader.next[0] == here.next && st.sent == here.next &&
                        st.received == here.next && st.depth == 0,
                    "sent %" PRIu64 ", received %" PRIu64 ", counted %" PRIu64 " and %" PRIu64,
                    here.next, here.reader.next[0], st.sent, st.received);
        crash_check(w,
                    st.sent_bytes == bytes_before(here.next) && st.received_bytes == st.sent_bytes,
                    "bytes sent %" PRIu64 ", received %" PRIu64, st.sent_bytes, st.received_bytes);
        crash_check(w, st.participants == 2 && st.dead == 0, "%u alive, %u dead", st.participants,
                    st.dead);
        const struct shmring_stat *then = &figures_of(w)->st;
        const uint64_t counted = then->takeovers + then->dead;
        /* The process that was stopped may have taken a dead one's role, without counting that
         * yet. */
        const unsigned in_hand = w->paused && w->paused->attaches;
        crash_check(w,
                    !figures_of(w)->taken ||
                        (st.takeovers >= counted && st.takeovers <= counted + in_hand),
                    "figures: %" PRIu64 " taken over and %u dead then, %" PRIu64 " taken over now",
                    then->takeovers, then->dead, st.takeovers);
        crash_check(w, st.full_events >= then->full_events && st.empty_events >= then->empty_events,
                    "figures: a counter went back");
    }
    close_all();
}

/* Two operations can run at the same time if one is the producer's and one the consumer's. */
static bool may_pair(const struct crash_operation *killed, const struct crash_operation *stopped)
{
    return killed->role != stopped->role;
}

/* The successor has the same role. */
static bool may_succeed(const struct crash_operation *killed,
                        const struct crash_operation *successor)
{
    return killed->role == successor->role && successor->attaches;
}

const struct crash_kind crash_kind = {
    .name = "spsc",
    .config = {.kind = SHMRING_SPSC, .capacity = CAPACITY},
    .operations = operations,
    .operation_count = OPERATIONS,
    .states = states,
    .state_count = sizeof states / sizeof states[0],
    .budget = 2000,
    .long_operation = 1000,
    .others = 64,
    .measured_calls = 3,
    .pair_points = 13,
    .may_pair = may_pair,
    .may_succeed = may_succeed,
    .prepare = prepare,
    .attach = attach,
    .carry_on = carry_on,
    .open_survivors = open_survivors,
    .check = check_queue,
    .survivors_work = survivors_work,
    .successor_works = successor_works,
    .settle = settle,
};
