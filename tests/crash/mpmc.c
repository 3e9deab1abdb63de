/* SPDX-License-Identifier: MIT */
/*
 * MPMC under the stepper. Whoever runs an operation is producer and consumer. Three survive: a
 * producer, a consumer, and one that holds blocks. What they are to find is in ledger.c.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../lib/handle.h"
#include "../../lib/recovery.h"
#include "ledger.h"

enum { CAPACITY = 8, ROWS = 6, LONGEST = LEDGER_LONGEST, TOO_MANY = 1000 };
#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* A consumer looks for the dead when it has found nothing for the first, the 17th time. */
enum { LOOKS = 18 };

enum {
    NEW,            /* never used */
    EMPTY,          /* used, and drained */
    ONE,            /* one message waits */
    ALMOST_FULL,    /* one block is free */
    FULL,           /* none is */
    WRAPPED,        /* three wait, the last two of them in the next lap */
    FOREIGN,        /* four wait; the block at the tail's own place is held by a survivor */
    REDELIVERED,    /* three wait, the last two of them were taken by one that died */
    HELD,           /* two wait; the process holds two more, and a reservation */
    DEAD_NEIGHBOUR, /* two wait; somebody died with one more and with a reservation */
    AT_WORK,        /* three wait; the process has received two and sent two before */
    LEFT_BEHIND,    /* three wait; others have gone twice round since the process looked */
    CROWDED,        /* three wait; no row is free: the dead one had all the others */
    AT_MOST_ONCE,   /* as HELD, but what the dead have taken does not come again */
};

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

struct held {
    const void *msg;
    struct message message;
};

/* This process's participants. */
static struct {
    shmring_t *mine;     /* of an operation's process */
    shmring_t *observer; /* to be duplicated */
    shmring_t *producer, *consumer, *holder, *successor;
    struct held held[4];
    int held_count;
    void *reservation;
    struct iovec outgoing[LEDGER_BATCH];
    unsigned next[SOURCES]; /* number of the next message to send */
} here;

/* ---- Participants --------------------------------------------------------------------------- */

static shmring_t *join(struct crash_world *w)
{
    shmring_t *q = NULL;
    int r = shmring_open_fd(&q, w->fd, BOTH);

    if (crash_check(w, r == 0, "attaching: %d, %s", r, shmring_strerror_detail()))
        q->mpmc.queue.pauses = 1; /* to fall back is only to wait */
    return q;
}

/* Does the process of an operation die in the end? */
static bool dies(const struct crash_world *w)
{
    return w->seat == &w->shared->seat[CRASH_VICTIM] || !w->paused;
}

static shmring_t *join_and_die(struct crash_world *w)
{
    if (dies(w))
        ledger_doomed(w);
    return join(w);
}

/* The next one to find nothing looks for the dead. */
static void allow_sweep(shmring_t *q)
{
    atomic_store(&q->mpmc.queue.tail_page->swept, 0);
}

/* Nobody does, for the next 50 ms. */
static void prevent_sweep(shmring_t *q)
{
    atomic_store(&q->mpmc.queue.tail_page->swept, shmr_coarse_now());
}

static enum source me(const struct crash_world *w)
{
    return !w->seat ? TESTER : w->seat == &w->shared->seat[CRASH_VICTIM] ? VICTIM : PAUSED;
}

static int send_next(struct crash_world *w, shmring_t *q, enum source source)
{
    struct message m = {source, source == BEFORE ? 0 : here.next[source]};
    uint8_t bytes[LONGEST];
    size_t length = ledger_write(m, bytes);

    crash_call(w);
    int r = shmring_send(q, bytes, length);
    crash_called(w);
    if (r == 0) {
        here.next[source]++;
        ledger_sent(w, m);
    }
    return r;
}

static void send_some(struct crash_world *w, shmring_t *q, enum source source, int n)
{
    while (n-- > 0)
        crash_check(w, send_next(w, q, source) == 0, "no room");
}

/* One who lives on takes the next message. NULL: there is none. */
static const void *take(struct crash_world *w, shmring_t *q)
{
    struct shmring_info info;
    const void *msg;

    crash_call(w);
    ssize_t length = shmring_peek(q, &msg, &info);
    crash_called(w);
    if (length == -EAGAIN || !crash_check(w, length >= 0, "peek: %zd", length))
        return NULL;
    ledger_got(w, msg, (size_t)length, &info);
    return msg;
}

static void give_back(struct crash_world *w, shmring_t *q, const void *msg)
{
    crash_call(w);
    int r = shmring_release(q, msg);
    crash_called(w);
    crash_check(w, r == 0, "release: %d", r);
}

static bool pass_one(struct crash_world *w, shmring_t *q)
{
    const void *msg = take(w, q);

    if (msg)
        give_back(w, q, msg);
    return msg != NULL;
}

static void drain(struct crash_world *w, shmring_t *q)
{
    for (int i = 0, misses = 0; misses < LOOKS && !crash_failed(w); i++) {
        misses = pass_one(w, q) ? 0 : misses + 1;
        crash_check(w, i < TOO_MANY, "it never gets empty");
    }
}

static void commit_reservation(struct crash_world *w, shmring_t *q)
{
    struct message m = {me(w), here.next[me(w)]};
    size_t length = ledger_write(m, here.reservation);

    crash_call(w);
    int r = shmring_commit(q, here.reservation, length);
    crash_called(w);
    crash_check(w, r == 0, "commit: %d", r);
    here.reservation = NULL;
    here.next[m.source]++;
    ledger_sent(w, m);
}

static void reserve(struct crash_world *w, shmring_t *q)
{
    int r = shmring_reserve(q, LONGEST, &here.reservation);

    if (crash_check(w, r == 0, "reserve: %d", r))
        memset(here.reservation, 0xff, LONGEST); /* no message: who gets it notices */
}

static void close_all(void)
{
    shmring_close(&here.mine);
    shmring_close(&here.observer);
    shmring_close(&here.producer);
    shmring_close(&here.consumer);
    shmring_close(&here.holder);
    shmring_close(&here.successor);
    memset(&here, 0, sizeof here);
}

/* ---- The process of an operation ------------------------------------------------------------ */

static long run_close(struct crash_world *w);

static struct witness *my_witness(struct crash_world *w)
{
    return (void *)w->seat->witness;
}

/* It takes a message and holds it; false: there is none. */
static bool hold_next(struct crash_world *w, shmring_t *q)
{
    struct held *held = &here.held[here.held_count];
    struct shmring_info info;
    ssize_t length = shmring_peek(q, &held->msg, &info);

    if (length == -EAGAIN || !crash_check(w, length >= 0, "peek: %zd", length) ||
        !crash_check(w, ledger_read(&held->message, held->msg, (size_t)length),
                     "%zd bytes that nobody sent", length))
        return false;
    here.held_count++;
    /* Closing gives it back to the queue, as death does. */
    if (dies(w) || w->mine->run == run_close)
        ledger_lost_to(w, held->message);
    else
        ledger_got(w, held->msg, (size_t)length, &info);
    return true;
}

static void receive_one(struct crash_world *w, shmring_t *q)
{
    uint8_t bytes[LONGEST];
    struct message m;
    ssize_t length = shmring_recv(q, bytes, sizeof bytes);

    if (!crash_check(w, length >= 0 && ledger_read(&m, bytes, (size_t)length), "recv: %zd", length))
        return;
    if (dies(w))
        ledger_received_by(w, m);
    else
        ledger_got(w, bytes, (size_t)length, NULL);
}

/* It will die with them. */
static void take_all_rows(struct crash_world *w)
{
    shmring_t *other;

    while (shmring_open_fd(&other, w->fd, BOTH) == 0)
        ledger_doomed(w);
}

/* Somebody dies with a message and a reservation; crowded: and has all the rows there are. */
static void neighbour_dies(struct crash_world *w)
{
    pid_t child = fork();

    if (child == 0) {
        struct crash_world mine = *w;
        mine.seat = &w->shared->seat[CRASH_VICTIM];
        shmring_t *q = join_and_die(&mine);
        if (q && hold_next(&mine, q))
            reserve(&mine, q);
        if (w->state->id == CROWDED)
            take_all_rows(w);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* The process has a handle, and others go on for two laps. */
static void leave_behind(struct crash_world *w)
{
    shmring_t *other = join(w);

    for (int i = 0; i < 2 * CAPACITY + 3 && !crash_failed(w); i++) {
        send_some(w, other, BEFORE, 1);
        receive_one(w, other);
    }
    send_some(w, other, me(w), 3);
    shmring_close(&other);
}

static void attach(struct crash_world *w)
{
    here.mine = join_and_die(w);
    if (!here.mine)
        return;
    switch (w->state->id) {
    case AT_WORK:
        send_some(w, here.mine, me(w), 2);
        receive_one(w, here.mine);
        receive_one(w, here.mine);
        break;
    case HELD:
    case AT_MOST_ONCE:
        hold_next(w, here.mine);
        hold_next(w, here.mine);
        reserve(w, here.mine);
        break;
    case DEAD_NEIGHBOUR:
        neighbour_dies(w);
        break;
    case LEFT_BEHIND:
        leave_behind(w);
        break;
    case CROWDED:
        if (me(w) == VICTIM && !(w->paused && w->paused->attaches))
            take_all_rows(w);
        break;
    default:
        break;
    }
    my_witness(w)->start = here.next[me(w)];
    allow_sweep(here.mine);
}

/* Its messages are made before, so that the steps of an operation are the library's. */
static bool ready_to_send(struct crash_world *w)
{
    static uint8_t bytes[LEDGER_BATCH][LONGEST];

    for (unsigned i = 0; i < LEDGER_BATCH; i++) {
        struct message m = {me(w), here.next[me(w)] + i};
        here.outgoing[i] = (struct iovec){bytes[i], ledger_write(m, bytes[i])};
    }
    return true;
}

static bool ready_to_commit(struct crash_world *w)
{
    ready_to_send(w);
    if (shmring_reserve(here.mine, LONGEST, &here.reservation) < 0)
        return false;
    memcpy(here.reservation, here.outgoing[0].iov_base, here.outgoing[0].iov_len);
    return true;
}

static bool ready_to_release(struct crash_world *w)
{
    if (here.held_count == 0 && !hold_next(w, here.mine))
        return false;
    my_witness(w)->releases = here.held[here.held_count - 1].message;
    my_witness(w)->releases_one = true;
    return true;
}

static bool ready_to_close(struct crash_world *w)
{
    ready_to_commit(w);
    hold_next(w, here.mine);
    return true;
}

static long run_send(struct crash_world *w)
{
    (void)w;
    return shmring_send(here.mine, here.outgoing[0].iov_base, here.outgoing[0].iov_len);
}

static long run_send_batch(struct crash_world *w)
{
    (void)w;
    return shmring_send_batch(here.mine, here.outgoing, LEDGER_BATCH);
}

static long run_reserve(struct crash_world *w)
{
    (void)w;
    return shmring_reserve(here.mine, LONGEST, &here.reservation);
}

static long run_commit(struct crash_world *w)
{
    (void)w;
    int r = shmring_commit(here.mine, here.reservation, here.outgoing[0].iov_len);
    here.reservation = NULL;
    return r;
}

static long run_cancel(struct crash_world *w)
{
    (void)w;
    int r = shmring_cancel(here.mine, here.reservation);
    here.reservation = NULL;
    return r;
}

static long run_recv(struct crash_world *w)
{
    struct witness *seen = my_witness(w);
    ssize_t length = shmring_recv(here.mine, seen->buffer[0], LONGEST);

    seen->length[0] = length < 0 ? 0 : (size_t)length;
    return length;
}

static long run_recv_batch(struct crash_world *w)
{
    struct witness *seen = my_witness(w);
    struct iovec msgs[LEDGER_BATCH];

    for (unsigned i = 0; i < LEDGER_BATCH; i++)
        msgs[i] = (struct iovec){seen->buffer[i], LONGEST};
    int r = shmring_recv_batch(here.mine, msgs, LEDGER_BATCH);
    for (int i = 0; i < r; i++)
        seen->length[i] = msgs[i].iov_len;
    return r;
}

static long run_peek(struct crash_world *w)
{
    struct held *held = &here.held[here.held_count];
    ssize_t length = shmring_peek(here.mine, &held->msg, &my_witness(w)->info);

    if (length < 0)
        return length;
    here.held_count++;
    if (dies(w) && ledger_read(&held->message, held->msg, (size_t)length))
        ledger_lost_to(w, held->message);
    return length;
}

static long run_release(struct crash_world *w)
{
    (void)w;
    return shmring_release(here.mine, here.held[--here.held_count].msg);
}

static long run_open(struct crash_world *w)
{
    here.mine = join_and_die(w);
    return 0;
}

/* As opening, but from a handle: a few states will do. */
static bool ready_to_dup(struct crash_world *w)
{
    int id = w->state->id;

    return (id == EMPTY || id == DEAD_NEIGHBOUR || id == CROWDED) &&
           crash_check(w, shmring_open_fd(&here.observer, w->fd, SHMRING_OBSERVER) == 0,
                       "attaching as observer");
}

static long run_dup(struct crash_world *w)
{
    if (dies(w))
        ledger_doomed(w);
    return shmring_dup(&here.mine, here.observer, BOTH);
}

static long run_close(struct crash_world *w)
{
    (void)w;
    shmring_close(&here.mine);
    return 0;
}

static long run_recover(struct crash_world *w)
{
    (void)w;
    return shmring_recover(here.mine, NULL);
}

static const struct crash_operation operations[] = {
    {"send", BOTH, false, 1, ready_to_send, run_send, one_if_zero},
    {"send_batch", BOTH, false, LEDGER_BATCH, ready_to_send, run_send_batch, the_count},
    {"reserve", BOTH, false, 0, NULL, run_reserve, none},
    {"commit", BOTH, false, 1, ready_to_commit, run_commit, one_if_zero},
    {"cancel", BOTH, false, 0, ready_to_commit, run_cancel, none},
    {"recv", BOTH, false, 1, NULL, run_recv, one_if_length},
    {"recv_batch", BOTH, false, LEDGER_BATCH, NULL, run_recv_batch, the_count},
    {"peek", BOTH, false, 1, NULL, run_peek, one_if_length},
    {"release", BOTH, false, 1, ready_to_release, run_release, none},
    {"open", BOTH, true, 0, NULL, run_open, none},
    {"dup", BOTH, true, 0, ready_to_dup, run_dup, none},
    {"close", BOTH, false, 0, ready_to_close, run_close, none},
    {"recover", BOTH, false, 0, NULL, run_recover, none},
};

/* Most operations look for the dead when they find the queue full or empty. */
static const unsigned traits[] = {
    SENDS | RECOVERS,
    SENDS | RECOVERS,
    RECOVERS,
    SENDS,
    0,
    RECEIVES | RECOVERS,
    RECEIVES | RECOVERS,
    PEEKS | RECOVERS,
    0,
    RECOVERS,
    RECOVERS,
    0,
    RECOVERS,
};
static_assert(sizeof traits / sizeof traits[0] == sizeof operations / sizeof operations[0],
              "one for each");

static unsigned traits_of(const struct crash_operation *operation)
{
    return traits[operation - operations];
}

/* ---- States --------------------------------------------------------------------------------- */

static void shuffle(struct crash_world *w, shmring_t *q, int n)
{
    while (n-- > 0) {
        send_some(w, q, BEFORE, 1);
        pass_one(w, q);
    }
}

/* Two messages are taken by one that dies, and recovered. */
static void redeliver(struct crash_world *w, shmring_t *q)
{
    pid_t child = fork();

    if (child == 0) {
        const void *msg;
        shmring_t *mine = join(w);
        _exit(!mine || shmring_peek(mine, &msg, NULL) < 0 || shmring_peek(mine, &msg, NULL) < 0);
    }
    waitpid(child, NULL, 0);
    crash_check(w, shmring_recover(q, NULL) == 1, "nobody has died");
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

static bool double_death(const struct crash_world *w)
{
    return !w->paused && w->shared->seat[CRASH_PAUSED].stage != CRASH_READY;
}

/* A send found no room: are there no more blocks than the living and the dead can hold? */
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
                double_death(w) ||
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

static void release_held(struct crash_world *w, shmring_t *q)
{
    while (here.held_count > 0)
        give_back(w, q, here.held[--here.held_count].msg);
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
    /* Before anybody recovers anything ... */
    survivor_sends(w);
    prevent_sweep(here.consumer);
    pass_one(w, here.consumer);
    release_held(w, here.holder);
    survivor_sends(w);
    survivor_receives(w);
    if (here.reservation)
        commit_reservation(w, here.holder);
    /* ... and then it recovers who finds the queue empty. */
    allow_sweep(here.consumer);
    drain(w, here.consumer);
    if (!crash_failed(w))
        check_nobody_is_dead(w, here.consumer);
}

/* Somebody has the row of the dead and holds blocks while he who stood still goes on: a recoverer
 * must not take these for what the dead held. */
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

/* A survivor recovers when asked to, or whoever attaches does. */
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
    if (!w->paused) /* it may be at it, and have stopped there */
        check_nobody_is_dead(w, here.successor);
    if (send_next(w, here.successor, TESTER) == 0)
        pass_one(w, here.successor);
    send_next(w, here.successor, TESTER);
    if (w->paused)
        inherit_row(w);
}

/* Every block is free: so many messages fit in, and no more. */
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
        ledger_balance(w, &st, traits_of(w->operation) | (double_death(w) ? RECOVERS : 0));
    }
    close_all();
    ledger_forget();
}

/* A process that was only stopped ends its call as if nothing had happened, and goes on. */
static void carry_on(struct crash_world *w)
{
    const struct witness *seen = my_witness(w);
    const long result = w->seat->result, moved = w->mine->moved(result);

    for (unsigned i = 0; i < moved; i++)
        if (traits_of(w->mine) & SENDS)
            ledger_sent(w, (struct message){me(w), here.next[me(w)]++});
        else if (traits_of(w->mine) & RECEIVES)
            ledger_got(w, seen->buffer[i], seen->length[i], NULL);
        else if (traits_of(w->mine) & PEEKS)
            ledger_got(w, here.held[here.held_count - 1].msg, (size_t)result, &seen->info);
    if (here.mine) {
        if (here.reservation)
            commit_reservation(w, here.mine);
        release_held(w, here.mine);
        pass_one(w, here.mine);
        pass_one(w, here.mine);
        send_next(w, here.mine, me(w));
    }
    close_all();
}

/* Everything may run at the same time as everything else. */
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
    .operation_count = sizeof operations / sizeof operations[0],
    .states = states,
    .state_count = sizeof states / sizeof states[0],
    .budget = 10000,
    .long_operation = 250,
    .measured_calls = 4,
    .pair_points = 7,
    .may_pair = may_pair,
    .may_succeed = may_succeed,
    .prepare = prepare,
    .attach = attach,
    .carry_on = carry_on,
    .open_survivors = open_survivors,
    .survivors_work = survivors_work,
    .successor_works = successor_works,
    .settle = settle,
};
