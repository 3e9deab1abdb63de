/* SPDX-License-Identifier: MIT */
/*
 * MPMC under the stepper. The process that runs an operation is producer and consumer. Three
 * participants survive: a producer, a consumer, and one that holds blocks. ledger.c checks the
 * messages that they send and receive.
 */
#include <config.h>

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mpmc.h"

enum { ROWS = 6 };

static const struct crash_state states[] = {
    {"new", NEW, 0},
    {"empty", EMPTY, 0},
    {"one", ONE, 0},
    {"almost full", ALMOST_FULL, 0},
    {"full", FULL, 0},
    {"wrapped", WRAPPED, 0},
    {"foreign block", FOREIGN, 0},
    {"redelivered", REDELIVERED, 0},
    {"held", HELD, 0},
    {"dead neighbour", DEAD_NEIGHBOUR, 0},
    {"at work", AT_WORK, 0},
    {"left behind", LEFT_BEHIND, 0},
    {"crowded", CROWDED, 0},
    {"once at most", AT_MOST_ONCE, SHMRING_AT_MOST_ONCE},
};

/* ---- States --------------------------------------------------------------------------------- */

static void shuffle(struct crash_world *w, shmring_t *q, int n)
{
    while (n-- > 0) {
        send_some(w, q, BEFORE, 1);
        pass_one(w, q);
    }
}

/* A participant takes two messages and dies; both are recovered. */
static void redeliver(struct crash_world *w, shmring_t *q)
{
    pid_t child = fork();

    if (child == 0) {
        const void *msg;
        shmring_t *mine = join(w);
        _exit(!mine || shmring_peek(mine, &msg, NULL) < 0 || shmring_peek(mine, &msg, NULL) < 0);
    }
    waitpid(child, NULL, 0);
    crash_check(w, shmring_recover(q, NULL) == 1, "no participant has died");
}

static void prepare(struct crash_world *w)
{
    static const int waiting[] = {
        [ONE] = 1,     [ALMOST_FULL] = 7, [FULL] = 8,         [WRAPPED] = 3,
        [FOREIGN] = 8, [REDELIVERED] = 3, [HELD] = 4,         [DEAD_NEIGHBOUR] = 3,
        [AT_WORK] = 3, [CROWDED] = 3,     [AT_MOST_ONCE] = 4,
    };
    const int id = w->state->id;
    struct shmring_stat st;
    shmring_t *q = join(w);

    if (id != NEW)
        shuffle(w, q, id == WRAPPED ? 5 * CAPACITY - 1 : 5);
    send_some(w, q, PREPARED, waiting[id]);
    if (id == REDELIVERED)
        redeliver(w, q);
    shmring_stat(q, &st);
    ledger_begin((unsigned)waiting[id], id == REDELIVERED ? 2 : 0, &st);
    ledger_forget();
    allow_sweep(q);
    shmring_close(&q);
    close_all();
}

/* ---- The others ----------------------------------------------------------------------------- */

static void open_survivors(struct crash_world *w)
{
    if (w->paused)
        return;
    here.producer = join(w);
    here.consumer = join(w);
    here.holder = join(w);
    if (crash_failed(w))
        return;
    switch (w->state->id) {
    case FOREIGN:
        here.held[here.held_count++].msg = take(w, here.holder);
        for (int i = 0; i < 3; i++)
            pass_one(w, here.consumer);
        break;
    case REDELIVERED:
    case HELD:
    case DEAD_NEIGHBOUR:
    case AT_WORK:
    case LEFT_BEHIND:
        reserve(w, here.holder);
        break;
    default:
        break;
    }
    if (w->operation->attaches && (w->state->id == DEAD_NEIGHBOUR || w->state->id == CROWDED))
        neighbour_dies(w);
    allow_sweep(here.consumer);
}

/* A send found the queue full: check that the live and the dead participants can hold all its
 * blocks. */
static void check_full(struct crash_world *w)
{
    const int id = w->state->id;
    struct shmring_stat st;
    unsigned dead = 2;

    shmring_stat(here.producer, &st);
    if (id == HELD || id == AT_MOST_ONCE)
        dead += 3;
    if (id == DEAD_NEIGHBOUR || id == CROWDED)
        dead += 2;
    crash_check(w,
                ledger_double_death(w) ||
                    st.depth + (unsigned)here.held_count + (here.reservation != NULL) + dead >=
                        CAPACITY,
                "full, with only %u messages waiting", (unsigned)st.depth);
}

static void survivor_sends(struct crash_world *w)
{
    prevent_sweep(here.producer);
    int r = send_next(w, here.producer, TESTER);
    if (crash_check(w, r == 0 || r == -EAGAIN, "send: %d", r) && r == -EAGAIN)
        check_full(w);
}

static void survivor_receives(struct crash_world *w)
{
    uint8_t bytes[LONGEST];

    prevent_sweep(here.consumer);
    crash_call(w);
    ssize_t length = shmring_recv(here.consumer, bytes, sizeof bytes);
    crash_called(w);
    if (crash_check(w, length >= 0 || length == -EAGAIN, "recv: %zd", length) && length >= 0)
        ledger_got(w, bytes, (size_t)length, NULL);
}

static void check_nobody_is_dead(struct crash_world *w, shmring_t *q)
{
    struct shmring_stat st;

    shmring_stat(q, &st);
    crash_check(w, st.dead == 0, "%u are dead and not recovered", st.dead);
}

static void survivors_work(struct crash_world *w)
{
    if (crash_failed(w))
        return;
    /* Before the dead participant is recovered ... */
    survivor_sends(w);
    prevent_sweep(here.consumer);
    pass_one(w, here.consumer);
    release_held(w, here.holder);
    survivor_sends(w);
    survivor_receives(w);
    if (here.reservation)
        commit_reservation(w, here.holder);
    /* ... and then a call that finds the queue empty sweeps and recovers it. */
    allow_sweep(here.consumer);
    drain(w, here.consumer);
    if (!crash_failed(w))
        check_nobody_is_dead(w, here.consumer);
}

/* A new participant has the dead one's row and holds blocks, while the process that was stopped
 * goes on: a recoverer must not take these blocks for the dead one's. */
static void inherit_row(struct crash_world *w)
{
    const void *msg;

    here.holder = join(w);
    if (crash_failed(w))
        return;
    msg = take(w, here.holder);
    if (msg)
        here.held[here.held_count++].msg = msg;
    if (shmring_reserve(here.holder, LONGEST, &here.reservation) < 0)
        here.reservation = NULL;
}

/* A survivor recovers the dead one when shmring_recover() asks it to, or a participant that
 * attaches does. */
static void successor_works(struct crash_world *w)
{
    static unsigned calls;

    /* Points are tried in pairs, in both orders: so in both ways in each. */
    if (calls++ / 2 % 2 && here.consumer) {
        struct shmring_recovery report;
        struct shmring_stat st;
        shmring_stat(here.consumer, &st);
        int r = shmring_recover(here.consumer, &report);
        crash_check(w, r >= (int)st.dead && report.participants == (unsigned)r,
                    "%u were dead, %d recovered", st.dead, r);
        check_nobody_is_dead(w, here.consumer);
    }
    here.successor = join(w);
    if (crash_failed(w))
        return;
    if (!w->paused) /* the paused process may be in the middle of recovering it */
        check_nobody_is_dead(w, here.successor);
    if (send_next(w, here.successor, TESTER) == 0)
        pass_one(w, here.successor);
    send_next(w, here.successor, TESTER);
    if (w->paused)
        inherit_row(w);
}

/* Every block is free: check that exactly the capacity's number of messages fits in. */
static void check_room(struct crash_world *w, shmring_t *q)
{
    send_some(w, q, TESTER, CAPACITY);
    int r = send_next(w, q, TESTER);
    crash_check(w, r == -EAGAIN, "%d messages fit into %d blocks", CAPACITY + 1, CAPACITY);
    drain(w, q);
}

static void settle(struct crash_world *w)
{
    struct shmring_stat st;

    if (!here.successor && !crash_failed(w))
        here.successor = join(w);
    if (!crash_failed(w)) {
        if (here.holder)
            release_held(w, here.holder);
        if (here.reservation)
            commit_reservation(w, here.holder);
        shmring_recover(here.successor, NULL);
        check_nobody_is_dead(w, here.successor);
        drain(w, here.successor);
    }
    if (!crash_failed(w))
        check_room(w, here.successor);
    if (!crash_failed(w)) {
        shmring_stat(here.successor, &st);
        crash_check(w,
                    st.participants == (here.producer ? 4
                                        : here.holder ? 2
                                                      : 1),
                    "%u alive", st.participants);
        ledger_balance(w, &st, traits_of(w->operation) | (ledger_double_death(w) ? RECOVERS : 0));
    }
    close_all();
    ledger_forget();
}

/* Each operation may run at the same time as each other. */
static bool may_pair(const struct crash_operation *killed, const struct crash_operation *stopped)
{
    (void)killed;
    (void)stopped;
    return true;
}

static bool may_succeed(const struct crash_operation *killed,
                        const struct crash_operation *successor)
{
    (void)killed;
    return successor->attaches || successor->run == run_recover;
}

const struct crash_kind crash_kind = {
    .name = "mpmc",
    .config = {.kind = SHMRING_MPMC,
               .capacity = CAPACITY,
               .max_message = LONGEST,
               .max_participants = ROWS},
    .operations = operations,
    .operation_count = OPERATIONS,
    .states = states,
    .state_count = sizeof states / sizeof states[0],
    .budget = 10000,
    .long_operation = 250,
    .others = 64,
    .measured_calls = 4,
    .pair_points = 7,
    .may_pair = may_pair,
    .may_succeed = may_succeed,
    .prepare = prepare,
    .attach = attach,
    .carry_on = carry_on,
    .open_survivors = open_survivors,
    .check = ledger_check,
    .survivors_work = survivors_work,
    .successor_works = successor_works,
    .settle = settle,
};
