/* SPDX-License-Identifier: MIT */
/*
 * SPSC under the stepper. Message number n, counted from the queue's creation, has a length and a
 * content that follow from n, so a receiver knows what must come next.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "figures.h"

enum { CAPACITY = 4096, SPARE = 8, BATCH = 3, LONGEST = 40, TOO_MANY = 1000 };

enum {
    NEW,            /* never used */
    EMPTY,          /* used, and drained */
    ONE,            /* one message waits */
    ALMOST_FULL,    /* room for one more message */
    FULL,           /* room for no message */
    WRAPS_NEXT,     /* none waits, the next message sent runs over the end of the ring */
    WRAPPED,        /* three wait, the first of them runs over the end of the ring */
    REDELIVERED,    /* three wait, two of them were taken by a consumer that died */
    HELD,           /* three wait, the consumer holds two of them */
    DEAD_NEIGHBOUR, /* three wait; the producer died with a reservation, the consumer holding one */
    AT_WORK,        /* three wait, and the process has moved two before */
};

static const struct crash_state states[] = {
    {"new", NEW, 0},         {"empty", EMPTY, 0},
    {"one", ONE, 0},         {"almost full", ALMOST_FULL, 0},
    {"full", FULL, 0},       {"wraps next", WRAPS_NEXT, 0},
    {"wrapped", WRAPPED, 0}, {"redelivered", REDELIVERED, 0},
    {"held", HELD, 0},       {"dead neighbour", DEAD_NEIGHBOUR, 0},
    {"at work", AT_WORK, 0},
};

/* What the process of an operation notes, for the tester to read after its death. */
struct witness {
    uint64_t start; /* message that its operation has to send, or the oldest not released */
    uint64_t taken; /* messages that its caller has got, from that one on */
    size_t length[BATCH];
    uint8_t buffer[BATCH][LONGEST];
};

/* This process's participants. */
static struct {
    shmring_t *producer;
    shmring_t *consumer;
    shmring_t *observer; /* to be duplicated */
    uint64_t next;       /* message to send */
    uint64_t expect;     /* message to take */
    const void *held[4];
    int held_count;
    void *reservation;
} here;

/* ---- Messages ------------------------------------------------------------------------------- */

static size_t message_length(uint64_t n)
{
    return 8 + n * 5 % 29;
}

static void message_write(uint64_t n, uint8_t *to)
{
    const uint64_t number = ~n; /* inverted, so that memory that was never written is no message */

    memcpy(to, &number, sizeof number);
    for (size_t i = sizeof number; i < message_length(n); i++)
        to[i] = (uint8_t)(n * 31 + i);
}

static bool message_is(uint64_t n, const uint8_t *bytes, size_t length)
{
    uint8_t wanted[LONGEST];

    message_write(n, wanted);
    return length == message_length(n) && memcmp(bytes, wanted, length) == 0;
}

static uint64_t record_size(uint64_t n)
{
    return shmring_record_size((uint32_t)message_length(n));
}

/* Payload of the messages before n. */
static uint64_t bytes_before(uint64_t n)
{
    uint64_t bytes = 0;

    while (n-- > 0)
        bytes += message_length(n);
    return bytes;
}

/* ---- Participants --------------------------------------------------------------------------- */

static shmring_t *open_role(struct crash_world *w, unsigned role, struct shmring_stat *st)
{
    shmring_t *q = NULL;
    int r = shmring_open_fd(&q, w->fd, role);

    if (crash_check(w, r == 0, "attaching as %s: %d, %s",
                    role == SHMRING_PRODUCER ? "producer" : "consumer", r,
                    shmring_strerror_detail()))
        shmring_stat(q, st);
    return q;
}

static void open_producer(struct crash_world *w)
{
    struct shmring_stat st = {0};

    here.producer = open_role(w, SHMRING_PRODUCER, &st);
    here.next = st.sent;
}

static void open_consumer(struct crash_world *w)
{
    struct shmring_stat st = {0};

    here.consumer = open_role(w, SHMRING_CONSUMER, &st);
    here.expect = st.received;
}

static int send_next(struct crash_world *w)
{
    uint8_t bytes[LONGEST];

    message_write(here.next, bytes);
    crash_call(w);
    int r = shmring_send(here.producer, bytes, message_length(here.next));
    crash_called(w);
    here.next += r == 0;
    return r;
}

/* Send until the queue is full, and check that it is full only when there is no room. */
static void fill(struct crash_world *w)
{
    struct shmring_stat st;
    int r;

    for (int i = 0; (r = send_next(w)) == 0; i++)
        if (!crash_check(w, i < TOO_MANY, "it never gets full"))
            return;
    shmring_stat(here.producer, &st);
    crash_check(w, r == -EAGAIN && st.depth_bytes + record_size(here.next) + SPARE > CAPACITY,
                "sending message %" PRIu64 ": %d with %" PRIu64 " bytes in the queue", here.next, r,
                st.depth_bytes);
}

static bool hold_next(struct crash_world *w, struct shmring_info *info)
{
    const void *msg;

    crash_call(w);
    ssize_t length = shmring_peek(here.consumer, &msg, info);
    crash_called(w);
    if (length == -EAGAIN)
        return false;
    if (!crash_check(w, length >= 0, "taking message %" PRIu64 ": %zd", here.expect, length) ||
        !crash_check(w, message_is(here.expect, msg, (size_t)length),
                     "message %" PRIu64 " has %zd bytes of something else", here.expect, length))
        return false;
    here.held[here.held_count++] = msg;
    here.expect++;
    return true;
}

static void release_held(struct crash_world *w)
{
    for (int i = 0; i < here.held_count; i++) {
        crash_call(w);
        int r = shmring_release(here.consumer, here.held[i]);
        crash_called(w);
        crash_check(w, r == 0, "releasing: %d", r);
    }
    here.held_count = 0;
}

static const struct witness *dead_witness(const struct crash_world *w)
{
    return (const void *)w->shared->seat[CRASH_VICTIM].witness;
}

/* The message number at which the dead process's operation started. */
static uint64_t dead_start(const struct crash_world *w)
{
    if (!w->operation->attaches)
        return dead_witness(w)->start;
    return w->operation->role == SHMRING_PRODUCER ? w->sent : w->received;
}

/* Had the dead consumer received message n, from a call that returned, or whole in its buffer? */
static bool dead_had(const struct crash_world *w, uint64_t n)
{
    const struct witness *dead = dead_witness(w);
    uint64_t i = n - dead_start(w);

    return i < dead->taken || (i < BATCH && message_is(n, dead->buffer[i], message_length(n)));
}

/* ... or a consumer that died while the state was prepared? */
static bool predecessor_had(const struct crash_world *w, uint64_t n)
{
    uint64_t held = w->state->id == REDELIVERED ? 2 : w->state->id == DEAD_NEIGHBOUR;

    return n - w->received < held;
}

/* A message that a dead consumer had must be flagged; a message that no dead consumer can have had
 * must not be. */
static void check_flag(struct crash_world *w, uint64_t n, const struct shmring_info *info)
{
    bool flagged = info->flags & SHMRING_REDELIVERED;

    crash_check(w, flagged == (info->deliveries > 1), "message %" PRIu64 ": flags %u, delivery %u",
                n, info->flags, info->deliveries);
    if (!w->operation) /* while the state is prepared */
        return;
    crash_check(w, flagged || !predecessor_had(w, n),
                "message %" PRIu64 " was taken before, and is not flagged", n);
    if (w->operation->role != SHMRING_CONSUMER)
        return;
    crash_check(w, flagged || !dead_had(w, n),
                "message %" PRIu64 " comes a second time, and is not flagged", n);
    crash_check(w, !flagged || n < dead_start(w) + 2 + BATCH,
                "message %" PRIu64 " is flagged, and no consumer can have had it before", n);
}

/* ---- Figures -------------------------------------------------------------------------------- */

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

    memcpy(&number, m->data, sizeof number);
    *name = (uint32_t)~number;
    return message_is(~number, m->data, m->length);
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

/* A message that was in the dump must have the deliveries of the dump. A live consumer may have
 * given it back since. */
static void check_deliveries(struct crash_world *w, uint64_t n, const struct shmring_info *info)
{
    const struct figures *f = figures_of(w);

    if (!f->taken || n < f->st.received || n >= f->st.sent)
        return;
    const struct figures_message *m = &f->messages[n - f->st.received];
    crash_check(
        w, info->deliveries == m->deliveries + 1 || (w->paused && info->deliveries > m->deliveries),
        "figures: dump says that message %" PRIu64 " was taken %u times, peek says %u", n,
        m->deliveries, info->deliveries - 1);
    crash_check(w, info->position == m->position, "figures: position %" PRIu64 ", in dump %" PRIu64,
                info->position, m->position);
}

/* Receive until the queue is empty, by peek and release, and by recv. */
static void drain(struct crash_world *w)
{
    struct shmring_info info;
    uint8_t bytes[LONGEST];

    for (int i = 0; hold_next(w, &info); i++) {
        check_flag(w, here.expect - 1, &info);
        check_deliveries(w, here.expect - 1, &info);
        release_held(w);
        if (i < BATCH + 2)
            continue; /* recv does not show the flags */
        ssize_t length = shmring_recv(here.consumer, bytes, sizeof bytes);
        if (length == -EAGAIN)
            return;
        if (!crash_check(w, length >= 0 && message_is(here.expect, bytes, (size_t)length),
                         "receiving message %" PRIu64 ": %zd", here.expect, length) ||
            !crash_check(w, i < TOO_MANY, "it never gets empty"))
            return;
        here.expect++;
    }
}

static void close_all(void)
{
    shmring_close(&here.producer);
    shmring_close(&here.consumer);
    shmring_close(&here.observer);
    memset(&here, 0, sizeof here);
}

/* ---- States --------------------------------------------------------------------------------- */

static void send_some(struct crash_world *w, int n)
{
    while (n-- > 0)
        crash_check(w, send_next(w) == 0, "no room");
}

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

/* ---- Operations ----------------------------------------------------------------------------- */

static struct witness *witness(struct crash_world *w)
{
    return (void *)w->seat->witness;
}

static void open_mine(struct crash_world *w)
{
    if (w->mine->role == SHMRING_PRODUCER)
        open_producer(w);
    else
        open_consumer(w);
}

static void attach(struct crash_world *w)
{
    struct shmring_info info;
    struct witness *seen = witness(w);

    open_mine(w);
    if (w->mine->role == SHMRING_PRODUCER) {
        if (w->state->id == AT_WORK)
            send_some(w, 2);
        seen->start = here.next;
        return;
    }
    for (int i = 0; w->state->id == AT_WORK && i < 2; i++) {
        hold_next(w, &info);
        release_held(w);
    }
    seen->start = here.expect;
    if (w->state->id == HELD)
        seen->taken = hold_next(w, &info) + hold_next(w, &info);
}

static bool nothing_held(struct crash_world *w)
{
    (void)w;
    return here.held_count == 0;
}

static bool one_held(struct crash_world *w)
{
    if (here.held_count == 0)
        witness(w)->taken += hold_next(w, NULL);
    return here.held_count > 0;
}

static bool one_reserved(struct crash_world *w)
{
    (void)w;
    if (shmring_reserve(here.producer, message_length(here.next) + 3, &here.reservation) < 0)
        return false;
    message_write(here.next, here.reservation);
    return true;
}

static long run_send(struct crash_world *w)
{
    return send_next(w);
}

static long run_send_batch(struct crash_world *w)
{
    uint8_t bytes[BATCH][LONGEST];
    struct iovec msgs[BATCH];

    (void)w;
    for (unsigned i = 0; i < BATCH; i++) {
        message_write(here.next + i, bytes[i]);
        msgs[i] = (struct iovec){bytes[i], message_length(here.next + i)};
    }
    int r = shmring_send_batch(here.producer, msgs, BATCH);
    here.next += (uint64_t)the_count(r);
    return r;
}

static long run_reserve(struct crash_world *w)
{
    (void)w;
    return shmring_reserve(here.producer, message_length(here.next), &here.reservation);
}

static long run_commit(struct crash_world *w)
{
    (void)w;
    int r = shmring_commit(here.producer, here.reservation, message_length(here.next));
    here.reservation = NULL;
    here.next++;
    return r;
}

static long run_cancel(struct crash_world *w)
{
    (void)w;
    int r = shmring_cancel(here.producer, here.reservation);
    here.reservation = NULL;
    return r;
}

static long run_recv(struct crash_world *w)
{
    struct witness *seen = witness(w);
    ssize_t length = shmring_recv(here.consumer, seen->buffer[0], LONGEST);

    if (length >= 0) {
        seen->length[0] = (size_t)length;
        seen->taken++;
        here.expect++;
    }
    return length;
}

static long run_recv_batch(struct crash_world *w)
{
    struct witness *seen = witness(w);
    struct iovec msgs[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        msgs[i] = (struct iovec){seen->buffer[i], LONGEST};
    int r = shmring_recv_batch(here.consumer, msgs, BATCH);
    for (int i = 0; i < r; i++)
        seen->length[i] = msgs[i].iov_len;
    seen->taken += (uint64_t)the_count(r);
    here.expect += (uint64_t)the_count(r);
    return r;
}

static long run_peek(struct crash_world *w)
{
    struct shmring_info info;
    ssize_t length = shmring_peek(here.consumer, &here.held[here.held_count], &info);

    if (length >= 0) {
        witness(w)->taken++;
        here.held_count++;
        here.expect++;
    }
    return length;
}

static long run_release(struct crash_world *w)
{
    (void)w;
    int r = shmring_release(here.consumer, here.held[0]);
    here.held_count--;
    memmove(here.held, here.held + 1, sizeof here.held - sizeof here.held[0]);
    return r;
}

static long run_open(struct crash_world *w)
{
    open_mine(w);
    return 0;
}

/* Duplicating does the same as opening, but from a handle: a few states are enough. */
static bool ready_to_dup(struct crash_world *w)
{
    int id = w->state->id;

    return (id == EMPTY || id == DEAD_NEIGHBOUR) &&
           crash_check(w, shmring_open_fd(&here.observer, w->fd, SHMRING_OBSERVER) == 0,
                       "attaching as observer");
}

static long run_dup(struct crash_world *w)
{
    shmring_t **q = w->mine->role == SHMRING_PRODUCER ? &here.producer : &here.consumer;
    struct shmring_stat st = {0};
    const int r = shmring_dup(q, here.observer, w->mine->role);

    shmring_stat(here.observer, &st); /* for carry_on(), if the process was only stopped */
    here.next = st.sent;
    here.expect = st.received;
    return r;
}

static long run_close(struct crash_world *w)
{
    (void)w;
    close_all();
    return 0;
}

#define P SHMRING_PRODUCER
#define C SHMRING_CONSUMER
static const struct crash_operation operations[] = {
    {"send", P, false, 1, NULL, run_send, one_if_zero},
    {"send_batch", P, false, BATCH, NULL, run_send_batch, the_count},
    {"reserve", P, false, 0, NULL, run_reserve, none},
    {"commit", P, false, 1, one_reserved, run_commit, one_if_zero},
    {"cancel", P, false, 0, one_reserved, run_cancel, none},
    {"open producer", P, true, 0, NULL, run_open, none},
    {"dup producer", P, true, 0, ready_to_dup, run_dup, none},
    {"close producer", P, false, 0, one_reserved, run_close, none},
    {"recv", C, false, 1, nothing_held, run_recv, one_if_length},
    {"recv_batch", C, false, BATCH, nothing_held, run_recv_batch, the_count},
    {"peek", C, false, 0, NULL, run_peek, none},
    {"release", C, false, 1, one_held, run_release, one_if_zero},
    {"open consumer", C, true, 0, NULL, run_open, none},
    {"dup consumer", C, true, 0, ready_to_dup, run_dup, none},
    {"close consumer", C, false, 0, one_held, run_close, none},
};
#undef P
#undef C

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
        if (check_moved(w, "received", here.expect) && check_copies(w, here.expect))
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
                    here.expect == here.next && st.sent == here.next && st.received == here.next &&
                        st.depth == 0,
                    "sent %" PRIu64 ", received %" PRIu64 ", counted %" PRIu64 " and %" PRIu64,
                    here.next, here.expect, st.sent, st.received);
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

/* A process that was only stopped ends its call with the undisturbed result, and goes on. */
static void carry_on(struct crash_world *w)
{
    const struct witness *seen = witness(w);
    long result = w->seat->result;

    if (here.producer) {
        if (here.reservation) {
            message_write(here.next, here.reservation);
            int r = shmring_commit(here.producer, here.reservation, message_length(here.next));
            crash_check(w, r == 0, "commit: %d", r);
            here.next++;
        }
        fill(w);
    } else if (here.consumer) {
        for (long i = 0; w->mine->run != run_release && i < w->mine->moved(result); i++)
            crash_check(w,
                        message_is(here.expect - (uint64_t)(w->mine->moved(result) - i),
                                   seen->buffer[i], seen->length[i]),
                        "the paused consumer received something else");
        release_held(w);
        drain(w);
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
    .operation_count = sizeof operations / sizeof operations[0],
    .states = states,
    .state_count = sizeof states / sizeof states[0],
    .budget = 2000,
    .long_operation = 1000,
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
