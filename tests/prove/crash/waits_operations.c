/* SPDX-License-Identifier: MIT */
/* The operations of the process that dies: calls that publish a message, or room, and calls that
 * wait. */
#include <config.h>

#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/core/recovery.h"
#include "waits.h"

static shmring_t *mine; /* the handle of the process that dies */
static const void *held;
static void *reservation;

static uint64_t *witness(struct crash_world *w)
{
    return (void *)w->seat->witness;
}

/* Fill a broadcast queue for this reliable consumer, and take all but one of the messages that the
 * producer needs room of, which is a chunk: a 16th of the ring. */
static void hold_the_producer_up(struct crash_world *w)
{
    const uint64_t chunk = w->kind->config.capacity / 16;
    shmring_t *producer = join(w, SHMRING_PRODUCER);
    uint64_t number;

    if (!producer)
        return;
    fill(producer);
    shmring_close(&producer);
    for (uint64_t left = chunk / shmring_record_size(sizeof number); left > 1; left--) {
        ssize_t r = shmring_recv(mine, &number, sizeof number);
        crash_check(w, r == sizeof number, "receiving: %zd", r);
    }
}

void attach(struct crash_world *w)
{
    const bool unfenced = w->state->id == UNFENCED;

    mine = join(w, w->operation->role | (unfenced ? SHMRING_ASYMMETRIC_FENCE : 0));
    if (!mine)
        return;
    if (is_broadcast(w) && operation(w)->event == SHMRING_WRITABLE)
        hold_the_producer_up(w);
    patience(mine, AN_HOUR);
    if (is_mpmc(w)) /* no sweep in the next 50 ms */
        atomic_store(&mine->mpmc.queue.tail_page->swept, shmr_coarse_now());
}

void carry_on(struct crash_world *w)
{
    (void)w;
}

static bool ready_to_commit(struct crash_world *w)
{
    const uint64_t number = VICTIMS;
    int r = shmring_reserve(mine, sizeof number, &reservation);

    crash_check(w, r == 0, "reserve: %d", r);
    memcpy(reservation, &number, sizeof number);
    return true;
}

/* The queue is full but for one message, and the process reserves that. */
static bool ready_to_cancel(struct crash_world *w)
{
    int r = shmring_reserve(mine, sizeof(uint64_t), &reservation);

    return crash_check(w, r == 0, "reserve: %d", r);
}

static bool ready_to_release(struct crash_world *w)
{
    ssize_t r = shmring_peek(mine, &held, NULL);

    return crash_check(w, r == sizeof(uint64_t), "peek: %zd", r);
}

static bool ready_to_arm(struct crash_world *w)
{
    return crash_check(w, shmring_fd(mine, operation(w)->event) >= 0, "no descriptor");
}

static long run_send(struct crash_world *w)
{
    const uint64_t number = VICTIMS;

    (void)w;
    return shmring_send(mine, &number, sizeof number);
}

static long run_send_batch(struct crash_world *w)
{
    uint64_t number[BATCH];
    struct iovec msgs[BATCH];

    (void)w;
    for (unsigned i = 0; i < BATCH; i++) {
        number[i] = VICTIMS + i;
        msgs[i] = (struct iovec){&number[i], sizeof number[i]};
    }
    return shmring_send_batch(mine, msgs, BATCH);
}

static long run_commit(struct crash_world *w)
{
    (void)w;
    return shmring_commit(mine, reservation, sizeof(uint64_t));
}

long run_cancel(struct crash_world *w)
{
    (void)w;
    return shmring_cancel(mine, reservation);
}

static long run_recv(struct crash_world *w)
{
    return shmring_recv(mine, witness(w), sizeof(uint64_t));
}

static long run_recv_batch(struct crash_world *w)
{
    struct iovec msgs[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        msgs[i] = (struct iovec){&witness(w)[i], sizeof(uint64_t)};
    return shmring_recv_batch(mine, msgs, BATCH);
}

long run_release(struct crash_world *w)
{
    (void)w;
    return shmring_release(mine, held);
}

/* The time limit of a call that waits. */
static const struct timespec *limit(const struct crash_world *w)
{
    static const struct timespec moment = {.tv_nsec = 1000000};

    return w->state->id == TIMES_OUT ? &moment : NULL;
}

static long run_recv_wait(struct crash_world *w)
{
    return shmring_recv_wait(mine, witness(w), sizeof(uint64_t), limit(w));
}

static long run_peek_wait(struct crash_world *w)
{
    return shmring_peek_wait(mine, &held, NULL, limit(w));
}

static long run_send_wait(struct crash_world *w)
{
    const uint64_t number = VICTIMS;

    return shmring_send_wait(mine, &number, sizeof number, limit(w));
}

static long run_reserve_wait(struct crash_world *w)
{
    return shmring_reserve_wait(mine, sizeof(uint64_t), &reservation, limit(w));
}

static long run_wait(struct crash_world *w)
{
    return shmring_wait(mine, operation(w)->event, limit(w));
}

long run_fd_arm(struct crash_world *w)
{
    return shmring_fd_arm(mine, operation(w)->event);
}

static long run_futex_arm(struct crash_world *w)
{
    struct shmring_futex futex;

    return shmring_futex_arm(mine, operation(w)->event, &futex);
}

#define P SHMRING_PRODUCER
#define C SHMRING_CONSUMER
#define R SHMRING_READABLE
#define W SHMRING_WRITABLE
const struct operation operations[OPERATIONS] = {
    {{"send", P, false, 1, NULL, run_send, one_if_zero}, R, false, false, false},
    {{"send_batch", P, false, BATCH, NULL, run_send_batch, the_count}, R, false, false, false},
    {{"commit", P, false, 1, ready_to_commit, run_commit, one_if_zero}, R, false, false, false},
    {{"recv", C, false, 1, NULL, run_recv, one_if_length}, W, false, false, false},
    {{"recv_batch", C, false, BATCH, NULL, run_recv_batch, the_count}, W, false, false, false},
    {{"release", C, false, 1, ready_to_release, run_release, one_if_zero}, W, false, false, false},
    {{"cancel", P, false, 0, ready_to_cancel, run_cancel, none}, W, false, true, false},
    {{"recv_wait", C, false, 1, NULL, run_recv_wait, one_if_length}, R, true, false, true},
    {{"peek_wait", C, false, 0, NULL, run_peek_wait, none}, R, true, false, true},
    {{"wait readable", C, false, 0, NULL, run_wait, none}, R, true, false, true},
    {{"send_wait", P, false, 1, NULL, run_send_wait, one_if_zero}, W, true, false, true},
    {{"reserve_wait", P, false, 0, NULL, run_reserve_wait, none}, W, true, false, true},
    {{"wait writable", P, false, 0, NULL, run_wait, none}, W, true, false, true},
    {{"futex_arm", C, false, 0, NULL, run_futex_arm, none}, R, true, false, false},
    {{"fd_arm", C, false, 0, ready_to_arm, run_fd_arm, none}, R, true, false, false},
    {{"fd_arm writable", P, false, 0, ready_to_arm, run_fd_arm, none}, W, true, false, false},
};
#undef P
#undef C
#undef R
#undef W

/* Does the operation make sense in this state and kind of queue? */
bool is_case(const struct operation *o, int state, unsigned kind)
{
    const bool mpmc = kind == SHMRING_MPMC;

    if (o->mpmc_only && !mpmc)
        return false;
    /* A broadcast producer waits for room only while a live reliable consumer holds it up. In these
     * states no such consumer is beside the process that dies. */
    if (kind == SHMRING_BROADCAST && o->waits && o->event == SHMRING_WRITABLE)
        return false;
    switch (state) {
    case BY_FUTEX:
    case BY_DESCRIPTOR:
        return !o->waits;
    case UNFENCED:
        return !o->waits && (o->base.run == run_send || o->base.run == run_recv);
    case TIMES_OUT:
        return o->waits;
    case IS_NOTIFIED:
        return o->sleeps;
    default:
        return o->base.run == run_fd_arm && o->event == SHMRING_READABLE && mpmc;
    }
}
