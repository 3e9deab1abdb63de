/* SPDX-License-Identifier: MIT */
/* The process that dies, or is stopped: what it does before, and its operations. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mpmc.h"

static long run_close(struct crash_world *w);

static struct witness *my_witness(struct crash_world *w)
{
    return (void *)w->seat->witness;
}

/* The process takes a message and holds it; false: there is none. */
static bool hold_next(struct crash_world *w, shmring_t *q)
{
    struct held *held = &here.held[here.held_count];
    struct shmring_info info;
    ssize_t length = shmring_peek(q, &held->msg, &info);

    if (length == -EAGAIN || !crash_check(w, length >= 0, "peek: %zd", length) ||
        !crash_check(w, ledger_read(&held->message, held->msg, (size_t)length),
                     "%zd bytes that no process sent", length))
        return false;
    here.held_count++;
    /* Closing gives the message back to the queue, as death does. */
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

/* The rows' owner will die with them. */
static void take_all_rows(struct crash_world *w)
{
    shmring_t *other;

    while (shmring_open_fd(&other, w->fd, BOTH) == 0)
        ledger_doomed(w);
}

void neighbour_dies(struct crash_world *w)
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

/* The process has a handle and does nothing, while other participants send and receive for two
 * laps. */
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

void attach(struct crash_world *w)
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

/* The process makes its messages before the operation, so that all steps of the operation are the
 * library's. */
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

/* Duplicating does the same as opening, but from a handle: a few states are enough. */
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

long run_recover(struct crash_world *w)
{
    (void)w;
    return shmring_recover(here.mine, NULL);
}

const struct crash_operation operations[] = {
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

/* Most operations sweep when they find the queue full or empty, so they may recover. */
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
static_assert(sizeof traits / sizeof traits[0] == OPERATIONS, "one for each");

unsigned traits_of(const struct crash_operation *operation)
{
    return traits[operation - operations];
}

/* A process that was only stopped ends its call with the undisturbed result, and goes on. */
void carry_on(struct crash_world *w)
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
