/* SPDX-License-Identifier: MIT */
/* SPSC under the stepper: the operations of the process that dies. */
#include <config.h>

#include <string.h>

#include "spsc.h"

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

void attach(struct crash_world *w)
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
    seen->start = here.reader.next[0];
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

long run_recv(struct crash_world *w)
{
    struct witness *seen = witness(w);
    ssize_t length = shmring_recv(here.consumer, seen->buffer[0], LONGEST);

    if (length >= 0) {
        seen->length[0] = (size_t)length;
        seen->taken++;
        here.reader.next[0]++;
    }
    return length;
}

long run_recv_batch(struct crash_world *w)
{
    struct witness *seen = witness(w);
    struct iovec msgs[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        msgs[i] = (struct iovec){seen->buffer[i], LONGEST};
    int r = shmring_recv_batch(here.consumer, msgs, BATCH);
    for (int i = 0; i < r; i++)
        seen->length[i] = msgs[i].iov_len;
    seen->taken += (uint64_t)the_count(r);
    here.reader.next[0] += (uint64_t)the_count(r);
    return r;
}

static long run_peek(struct crash_world *w)
{
    struct shmring_info info;
    ssize_t length = shmring_peek(here.consumer, &here.held[here.held_count], &info);

    if (length >= 0) {
        witness(w)->taken++;
        here.held_count++;
        here.reader.next[0]++;
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
    here.reader = oracle_reader(true);
    here.reader.next[0] = st.received;
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
const struct crash_operation operations[OPERATIONS] = {
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

/* A process that was only stopped ends its call with the undisturbed result, and goes on. */
void carry_on(struct crash_world *w)
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
                        message_is(here.reader.next[0] - (uint64_t)(w->mine->moved(result) - i),
                                   seen->buffer[i], seen->length[i]),
                        "the paused consumer received something else");
        release_held(w);
        drain(w);
    }
    close_all();
}
