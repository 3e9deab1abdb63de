/* SPDX-License-Identifier: MIT */
/* Broadcast under the stepper: the process that dies, or is stopped, and its operations. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broadcast.h"

/* As many sends in a row as it takes until the producer looks after what holds it up. */
enum { TRIES = 17 };

static struct iovec outgoing[BATCH];
static struct reader *const mine = &here.reader[MINE];

static struct witness *my_witness(struct crash_world *w)
{
    return (void *)w->seat->witness;
}

/* ---- Before the operation -------------------------------------------------------------------- */

/* Another process is the producer: it is stopped in an operation before which it has attached. */
static bool has_producer_beside(const struct crash_world *w)
{
    return w->paused && w->paused->role == SHMRING_PRODUCER && !w->paused->attaches;
}

/* LAPPED: the consumer has attached, and then a producer goes round the ring. */
static void be_lapped(struct crash_world *w)
{
    open_producer(w);
    if (!crash_failed(w))
        send_a_lap(w);
    shmring_close(&here.producer);
}

static void attach_consumer(struct crash_world *w)
{
    const int id = w->state->id;
    struct witness *seen = my_witness(w);

    open_reader(w, MINE, start_flags(w) | (id == LAPPED ? 0 : SHMRING_RELIABLE));
    if (!mine->q)
        return;
    if (id == LAPPED && !has_producer_beside(w))
        be_lapped(w);
    for (int i = 0; id == AT_WORK && i < 2; i++)
        if (hold_next(w, mine))
            release_held(w, mine);
    for (int i = 0; id == HELD && i < 2; i++)
        hold_next(w, mine);
    seen->row = mine->q->row;
    seen->attached = true;
    seen->start = mine->judge.next[0];
    const uint64_t horizon = atomic_load(&mine->q->broadcast.consumer.ring.page->horizon);
    if (position_of(seen->start) + CAPACITY < horizon)
        seen->missed = whole_mark(horizon, 1) - seen->start;
}

void attach(struct crash_world *w)
{
    my_witness(w)->pid = getpid();
    if (w->mine->role == SHMRING_CONSUMER) {
        attach_consumer(w);
        return;
    }
    open_producer(w);
    if (here.producer && w->state->id == LAPPED)
        send_a_lap(w);
    if (here.producer && w->state->id == AT_WORK)
        send_some(w, 2);
    my_witness(w)->start = here.next;
}

static void make_messages(void)
{
    static uint8_t bytes[BATCH][LONGEST];

    for (unsigned i = 0; i < BATCH; i++) {
        message_write(here.next + i, bytes[i]);
        outgoing[i] = (struct iovec){bytes[i], message_length(here.next + i)};
    }
}

/* The process makes its messages before the operation, so that all steps are the library's. */
static bool ready_to_send(struct crash_world *w)
{
    make_messages();
    my_witness(w)->plain = true;
    return true;
}

static bool ready_to_send_key(struct crash_world *w)
{
    make_messages();
    my_witness(w)->key = true;
    return true;
}

static bool reserve_one(void)
{
    if (shmring_reserve(here.producer, message_length(here.next) + 3, &here.reservation) < 0)
        return false;
    message_write(here.next, here.reservation);
    return true;
}

static bool ready_to_commit(struct crash_world *w)
{
    return ready_to_send(w) && reserve_one();
}

static bool ready_to_commit_key(struct crash_world *w)
{
    return ready_to_send_key(w) && reserve_one();
}

/* A live consumer holds the producer up, for longer than the producer wants. */
static bool ready_to_demote(struct crash_world *w)
{
    const struct shmring_waiting impatient = {.patience_ms = 1};
    const int id = w->state->id;

    if (id != FULL && id != SEVERAL)
        return false;
    ready_to_send(w);
    int r = shmring_set_waiting(here.producer, &impatient);
    crash_check(w, r == 0, "set_waiting: %d", r);
    r = shmring_send(here.producer, outgoing[0].iov_base, outgoing[0].iov_len);
    if (!crash_check(w, r == -EAGAIN || w->paused, "there is room: %d", r) || r == 0)
        return false;
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    return true;
}

static bool nothing_held(struct crash_world *w)
{
    (void)w;
    return mine->held_count == 0;
}

static bool one_held(struct crash_world *w)
{
    if (w->state->id == LAPPED) { /* the message is overwritten while the process holds it */
        close_reader(w, MINE);
        open_reader(w, MINE, start_flags(w));
        my_witness(w)->missed = 1;
    }
    if (mine->held_count == 0 && !hold_next(w, mine))
        return false;
    if (w->state->id == LAPPED && !has_producer_beside(w))
        be_lapped(w);
    my_witness(w)->start = mine->held_number[0];
    my_witness(w)->row = mine->q->row;
    return true;
}

static bool some_held(struct crash_world *w)
{
    if (mine->held_count == 0 && w->state->id != LAPPED)
        hold_next(w, mine);
    return true;
}

/* Duplicating does the same as opening, but from a handle: a few states are enough. */
static bool ready_to_dup(struct crash_world *w)
{
    const int id = w->state->id;

    return (id == EMPTY || id == DEAD_PRODUCER || id == CROWDED) &&
           crash_check(w, shmring_open_fd(&here.observer, w->fd, SHMRING_OBSERVER) == 0,
                       "attaching as observer");
}

/* ---- A producer's ---------------------------------------------------------------------------- */

static long run_send(struct crash_world *w)
{
    (void)w;
    return shmring_send(here.producer, outgoing[0].iov_base, outgoing[0].iov_len);
}

static long run_send_key(struct crash_world *w)
{
    (void)w;
    return shmring_send_flags(here.producer, outgoing[0].iov_base, outgoing[0].iov_len,
                              SHMRING_KEY);
}

static long run_send_batch(struct crash_world *w)
{
    (void)w;
    return shmring_send_batch(here.producer, outgoing, BATCH);
}

static long run_reserve(struct crash_world *w)
{
    (void)w;
    return shmring_reserve(here.producer, message_length(here.next), &here.reservation);
}

static long run_commit(struct crash_world *w)
{
    (void)w;
    return shmring_commit(here.producer, here.reservation, outgoing[0].iov_len);
}

static long run_commit_key(struct crash_world *w)
{
    (void)w;
    return shmring_commit_flags(here.producer, here.reservation, outgoing[0].iov_len, SHMRING_KEY);
}

static long run_cancel(struct crash_world *w)
{
    (void)w;
    const int r = shmring_cancel(here.producer, here.reservation);
    here.reservation = NULL;
    return r;
}

/* If the first call finds no room and strikes off what is dead, the second one finds room. */
static long run_send_twice(struct crash_world *w)
{
    const long r = run_send(w);

    return r == -EAGAIN ? run_send(w) : r;
}

static const struct timespec moment = {.tv_nsec = 1000000};

static long run_send_wait(struct crash_world *w)
{
    (void)w;
    return shmring_send_wait(here.producer, outgoing[0].iov_base, outgoing[0].iov_len, &moment);
}

static long run_demote(struct crash_world *w)
{
    long r = -EAGAIN;

    for (int i = 0; r == -EAGAIN && i < TRIES; i++)
        r = run_send(w);
    return r;
}

static long run_open_producer(struct crash_world *w)
{
    open_producer(w);
    return 0;
}

static long run_dup_producer(struct crash_world *w)
{
    (void)w;
    return shmring_dup(&here.producer, here.observer, SHMRING_PRODUCER);
}

static long run_close(struct crash_world *w)
{
    (void)w;
    shmring_close(w->mine->role == SHMRING_PRODUCER ? &here.producer : &mine->q);
    return 0;
}

/* ---- A consumer's ---------------------------------------------------------------------------- */

static long note_copy(struct crash_world *w, ssize_t length)
{
    if (length >= 0)
        my_witness(w)->length[0] = (size_t)length;
    return length;
}

static long run_recv(struct crash_world *w)
{
    return note_copy(w, shmring_recv(mine->q, my_witness(w)->buffer[0], LONGEST));
}

static long run_recv_wait(struct crash_world *w)
{
    return note_copy(w, shmring_recv_wait(mine->q, my_witness(w)->buffer[0], LONGEST, &moment));
}

static long run_recv_batch(struct crash_world *w)
{
    struct witness *seen = my_witness(w);
    struct iovec msgs[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        msgs[i] = (struct iovec){seen->buffer[i], LONGEST};
    const int r = shmring_recv_batch(mine->q, msgs, BATCH);
    for (int i = 0; i < r; i++)
        seen->length[i] = msgs[i].iov_len;
    return r;
}

static long run_peek(struct crash_world *w)
{
    (void)w;
    return shmring_peek(mine->q, &mine->held[mine->held_count], NULL);
}

static long run_release(struct crash_world *w)
{
    (void)w;
    return shmring_release(mine->q, mine->held[0]);
}

static long run_skip(struct crash_world *w)
{
    (void)w;
    return (long)shmring_skip(mine->q);
}

static long run_open_consumer(struct crash_world *w)
{
    return shmring_open_fd(&mine->q, w->fd, SHMRING_CONSUMER | opens_with(w->mine));
}

static long run_dup_consumer(struct crash_world *w)
{
    return shmring_dup(&mine->q, here.observer, SHMRING_CONSUMER | opens_with(w->mine));
}

/* ---- All of them ----------------------------------------------------------------------------- */

/* In this order, so that the traits below can name them. */
enum {
    SEND,
    SEND_KEY,
    SEND_BATCH,
    RESERVE,
    COMMIT,
    COMMIT_KEY,
    CANCEL,
    SEND_TWICE,
    SEND_WAIT,
    DEMOTE,
    OPEN_PRODUCER,
    DUP_PRODUCER,
    CLOSE_PRODUCER,
    RECV,
    RECV_BATCH,
    PEEK,
    RELEASE,
    SKIP,
    RECV_WAIT,
    OPEN_CONSUMER,
    OPEN_RELIABLE,
    OPEN_OLDEST,
    OPEN_KEY,
    DUP_CONSUMER,
    CLOSE_CONSUMER,
};

#define P SHMRING_PRODUCER
#define C SHMRING_CONSUMER
const struct crash_operation operations[OPERATIONS] = {
    [SEND] = {"send", P, false, 1, ready_to_send, run_send, one_if_zero},
    [SEND_KEY] = {"send key", P, false, 1, ready_to_send_key, run_send_key, one_if_zero},
    [SEND_BATCH] = {"send_batch", P, false, BATCH, ready_to_send, run_send_batch, the_count},
    [RESERVE] = {"reserve", P, false, 0, NULL, run_reserve, none},
    [COMMIT] = {"commit", P, false, 1, ready_to_commit, run_commit, one_if_zero},
    [COMMIT_KEY] = {"commit key", P, false, 1, ready_to_commit_key, run_commit_key, one_if_zero},
    [CANCEL] = {"cancel", P, false, 0, ready_to_commit, run_cancel, none},
    [SEND_TWICE] = {"send twice", P, false, 1, ready_to_send, run_send_twice, one_if_zero},
    [SEND_WAIT] = {"send_wait", P, false, 1, ready_to_send, run_send_wait, one_if_zero},
    [DEMOTE] = {"demote", P, false, 1, ready_to_demote, run_demote, one_if_zero},
    [OPEN_PRODUCER] = {"open producer", P, true, 0, NULL, run_open_producer, none},
    [DUP_PRODUCER] = {"dup producer", P, true, 0, ready_to_dup, run_dup_producer, none},
    [CLOSE_PRODUCER] = {"close producer", P, false, 0, ready_to_commit, run_close, none},
    [RECV] = {"recv", C, false, 1, nothing_held, run_recv, one_if_length},
    [RECV_BATCH] = {"recv_batch", C, false, BATCH, nothing_held, run_recv_batch, the_count},
    [PEEK] = {"peek", C, false, 0, NULL, run_peek, none},
    [RELEASE] = {"release", C, false, 1, one_held, run_release, one_if_zero},
    [SKIP] = {"skip", C, false, 0, nothing_held, run_skip, none},
    [RECV_WAIT] = {"recv_wait", C, false, 1, nothing_held, run_recv_wait, one_if_length},
    [OPEN_CONSUMER] = {"open consumer", C, true, 0, NULL, run_open_consumer, none},
    [OPEN_RELIABLE] = {"open reliable", C, true, 0, NULL, run_open_consumer, none},
    [OPEN_OLDEST] = {"open oldest", C, true, 0, NULL, run_open_consumer, none},
    [OPEN_KEY] = {"open key", C, true, 0, NULL, run_open_consumer, none},
    [DUP_CONSUMER] = {"dup consumer", C, true, 0, ready_to_dup, run_dup_consumer, none},
    [CLOSE_CONSUMER] = {"close consumer", C, false, 0, some_held, run_close, none},
};
#undef P
#undef C

static bool is_one_of(const struct crash_operation *o, uint32_t these)
{
    return these >> (o - operations) & 1;
}

#define ONE(Operation) (UINT32_C(1) << (Operation))

bool demotes(const struct crash_operation *o)
{
    return is_one_of(o, ONE(DEMOTE));
}

bool detaches(const struct crash_operation *o)
{
    return is_one_of(o, ONE(CLOSE_PRODUCER) | ONE(CLOSE_CONSUMER));
}

bool skips(const struct crash_operation *o)
{
    return is_one_of(o, ONE(SKIP));
}

bool copies(const struct crash_operation *o)
{
    return is_one_of(o, ONE(RECV) | ONE(RECV_BATCH) | ONE(RECV_WAIT));
}

bool releases(const struct crash_operation *o)
{
    return is_one_of(o, ONE(RELEASE));
}

bool matters_in_pairs(const struct crash_operation *o)
{
    return is_one_of(o, ONE(SEND) | ONE(SEND_KEY) | ONE(SEND_BATCH) | ONE(SEND_TWICE) |
                            ONE(DEMOTE) | ONE(OPEN_PRODUCER) | ONE(RECV) | ONE(RECV_BATCH) |
                            ONE(PEEK) | ONE(RELEASE) | ONE(SKIP) | ONE(OPEN_RELIABLE) |
                            ONE(OPEN_OLDEST) | ONE(OPEN_KEY) | ONE(CLOSE_CONSUMER));
}

unsigned opens_with(const struct crash_operation *o)
{
    switch (o - operations) {
    case OPEN_OLDEST:
        return SHMRING_FROM_OLDEST;
    case OPEN_KEY:
        return SHMRING_FROM_KEY | SHMRING_RELIABLE;
    case OPEN_CONSUMER:
        return 0;
    default:
        return SHMRING_RELIABLE;
    }
}

/* ---- A process that was only stopped --------------------------------------------------------- */

static void producer_carries_on(struct crash_world *w)
{
    const uint64_t sent = (uint64_t)w->mine->moved(w->seat->result);

    if (w->mine->attaches)
        here.next = here.producer->broadcast.producer.messages;
    here.next += sent;
    book(w)->sent += sent;
    if (w->mine->run == run_reserve && w->seat->result == 0) {
        message_write(here.next, here.reservation);
        const int r =
            is_key(w, here.next)
                ? shmring_commit_flags(here.producer, here.reservation, message_length(here.next),
                                       SHMRING_KEY)
                : shmring_commit(here.producer, here.reservation, message_length(here.next));
        crash_check(w, r == 0, "commit: %d", r);
        here.next++;
        book(w)->sent++;
    }
    if (here.producer)
        fill(w);
}

/* Has the producer begun to overwrite the message that was peeked last? */
static bool is_overwritten(const struct shmr_broadcast_consumer *c)
{
    const uint32_t last = (c->first + c->held - 1) % SHMRING_PEEKED_MAX;

    return !shmr_broadcast_is_before(&c->ring, c->peeked[last].position,
                                     shmr_broadcast_horizon(&c->ring));
}

static void end_peek(struct crash_world *w, ssize_t length)
{
    const struct shmr_broadcast_consumer *c = &mine->q->broadcast.consumer;
    const bool overwritten = is_overwritten(c);
    const uint64_t missed = c->missed_here;

    /* While this process was stopped, a producer without patience may have struck it off and gone
     * on. Then the message may be any bytes. */
    if (overwritten)
        mine->judge.next[0]++;
    else if (!judge(w, mine, mine->held[mine->held_count], length, false))
        return;
    mine->held_number[mine->held_count++] = mine->judge.next[0] - 1;
    if (overwritten) {
        release_held(w, mine);
        crash_check(w, c->missed_here > missed,
                    "the release does not report an overwritten message");
    }
}

static void consumer_carries_on(struct crash_world *w)
{
    const struct witness *seen = my_witness(w);
    const long result = w->seat->result, moved = w->mine->moved(result);

    if (w->mine->attaches && mine->q)
        begin_reader(w, MINE);
    if (result == -EOVERFLOW && !releases(w->mine))
        be_overtaken(w, mine);
    for (int i = 0; copies(w->mine) && i < moved; i++)
        if (judge(w, mine, seen->buffer[i], (ssize_t)seen->length[i], false))
            note_received(w, mine, mine->judge.next[0] - 1);
    if (w->mine->run == run_peek && result >= 0)
        end_peek(w, result);
    if (skips(w->mine) && result > 0) {
        mine->judge.next[0] += (uint64_t)result;
        book(w)->row[mine->q->row].next += (uint64_t)result;
    }
    if (releases(w->mine)) {
        if (result == 0)
            note_received(w, mine, mine->held_number[0]);
        else
            note_missed(w, mine, 1);
        mine->held_count--;
        memmove(mine->held, mine->held + 1, sizeof mine->held - sizeof mine->held[0]);
        memmove(mine->held_number, mine->held_number + 1,
                sizeof mine->held_number - sizeof mine->held_number[0]);
    }
    if (mine->q)
        drain(w, mine);
    else
        book(w)->row[seen->row].attached = false; /* closed */
}

/* It ends its call with a result that it could have had undisturbed, and goes on. */
void carry_on(struct crash_world *w)
{
    if (w->mine->role == SHMRING_PRODUCER)
        producer_carries_on(w);
    else
        consumer_carries_on(w);
    close_all(w);
}
