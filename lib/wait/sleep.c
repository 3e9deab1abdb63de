/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/sleep.h"

#include <errno.h>

#include "base/deadline.h"
#include "base/error.h"
#include "base/trace.h"
#include "core/recovery.h"
#include "wait/fence.h"
#include "wait/futex.h"
#include "wait/peers.h"
#include "wait/spin.h"

/* A sleeper checks at most once in this time, 1 s, whether the queue still has its name. */
#define NAME_CHECK_NS SHMR_SECOND

/* ---- The kernel's part ---------------------------------------------------------------------- */

#if defined SYS_futex_waitv
static int sleep_on_both(struct shmr_waitword *const waitword[SHMR_EVENTS],
                         const uint32_t value[SHMR_EVENTS], int64_t ns)
{
    struct futex_waitv waiters[SHMR_EVENTS] = {0};

    for (int e = 0; e < SHMR_EVENTS; e++)
        waiters[e] = (struct futex_waitv){
            .val = value[e], .uaddr = (uintptr_t)&waitword[e]->word, .flags = FUTEX_32};
    return shmr_futex_waitv(waiters, SHMR_EVENTS, ns);
}
#else
static int sleep_on_both(struct shmr_waitword *const waitword[SHMR_EVENTS],
                         const uint32_t value[SHMR_EVENTS], int64_t ns)
{
    (void)waitword, (void)value, (void)ns;
    return -ENOSYS;
}
#endif

/* Where the kernel cannot sleep on both: sleep on one, and check both after each slice. */
static int sleep_in_slices(shmring_t *q, const uint32_t value[SHMR_EVENTS], int64_t until)
{
    int r = 0;

    while (r == 0 || r == -ETIMEDOUT) {
        const int64_t now = shmr_wait_now(q), left = until - now;
        const int64_t slice = left < SHMR_FUTEX_SLICE_NS ? left : SHMR_FUTEX_SLICE_NS;

        if (left <= 0)
            return -ETIMEDOUT;
        for (int e = 0; e < SHMR_EVENTS; e++)
            if (atomic_load_explicit(&q->waitword[e]->word, memory_order_relaxed) != value[e])
                return 0;
        r = shmr_futex_wait(&q->waitword[SHMR_READABLE]->word, SHMR_FUTEX_SHARED,
                            value[SHMR_READABLE], slice);
        if (r == -ETIMEDOUT)
            shmr_wait_have_passed(q, now, slice);
    }
    return r;
}

/* Sleep until one of the events' words has changed. As shmr_futex_wait(). */
static int sleep_once(shmring_t *q, unsigned events, const uint32_t value[SHMR_EVENTS],
                      int64_t from, int64_t until)
{
    int r;

    if (events != (SHMRING_READABLE | SHMRING_WRITABLE)) {
        const int e = shmr_event_index(events);
        r = shmr_futex_wait(&q->waitword[e]->word, SHMR_FUTEX_SHARED, value[e], until - from);
    } else {
        r = q->waiting.no_waitv ? -ENOSYS : sleep_on_both(q->waitword, value, until - from);
        q->waiting.no_waitv |= r == -ENOSYS;
        if (r == -ENOSYS || r == -ENOMEM)
            return sleep_in_slices(q, value, until);
    }
    if (r == -ETIMEDOUT)
        shmr_wait_have_passed(q, from, until - from);
    return r;
}

/* ---- Rechecks -------------------------------------------------------------------------------- */

/*
 * Between two calls a wait sleeps, or its caller does. If it is the same time after that, the clock
 * stands still, and no sleep was long enough for shmr_wait_have_passed() to correct it: another
 * participant woke the sleeper, or the caller slept in a call of its own (shmring_futex_arm()).
 * Then each call rechecks.
 */
static bool is_recheck_due(shmring_t *q, int64_t now)
{
    struct shmr_waiting *w = &q->waiting;

    w->stands_still = now == w->seen;
    w->seen = now;
    return w->stands_still || now - w->rechecked >= w->recheck;
}

/* Check what no other participant wakes a sleeper for: deaths, the name, and peers. 0, -EPIPE or
 * -ESTALE. */
static int recheck_now(shmring_t *q, unsigned events, int64_t now)
{
    struct shmr_waiting *w = &q->waiting;

    w->rechecked = now;
    if (w->stands_still)
        shmr_sweep_now(q, SHMR_SWEEP_UNITS_ASLEEP);
    else
        shmr_sweep(q, SHMR_SWEEP_UNITS_ASLEEP);
    if (w->stands_still || now - w->name_checked >= NAME_CHECK_NS) {
        w->name_checked = now;
        if (shmr_handle_check_name(q) < 0)
            return -ESTALE;
    }
    return shmr_peers_check(q, events);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/*
 * After announcing: do all publishers see by now that the word is WATCHED? They do when this handle
 * first announced SHMR_RECHECK_NS ago, or another one did and set `settled`: see "The first sleep"
 * in waitword.h. now: the time before the announcement.
 */
static bool is_settled(shmring_t *q, int event, int64_t now)
{
    struct shmr_waitword *waitword = q->waitword[event];
    int64_t *watched = &q->waiting.watched[event];

    if (atomic_load_explicit(&waitword->settled, memory_order_relaxed))
        return true;
    if (*watched == 0)
        *watched = shmr_wait_now(q);
    if (now - *watched < SHMR_RECHECK_NS)
        return false;
    atomic_store_explicit(&waitword->settled, 1, memory_order_relaxed);
    return true;
}

/*
 * Announce that I am about to sleep. Returns which events are there after all; or 0, and then
 * value[] has the words to sleep on, and *limit the longest time. now: the time before.
 */
static unsigned announce(shmring_t *q, unsigned events, uint32_t how, int64_t now,
                         uint32_t value[SHMR_EVENTS], int64_t *limit)
{
    const struct shmr_kind *const type = q->geometry.type;
    bool fence = false, certain = true, unseen = false;

    for (int e = 0; e < SHMR_EVENTS; e++) {
        if (!(events & shmr_event_bit(e)))
            continue;
        if (q->read_only) { /* it cannot announce: the clock ends its sleep */
            value[e] = atomic_load_explicit(&q->waitword[e]->word, memory_order_relaxed);
            unseen = true;
            continue;
        }
        uint32_t was = shmr_waitword_announce(q->waitword[e], how);
        certain &= is_settled(q, e, now);
        value[e] = was | how | SHMR_WAITWORD_WATCHED;
        fence |= (was & SHMR_WAITWORD_UNFENCED) != 0;
    }
    if (fence) /* wait:P1 */
        certain &= shmr_fence_others();
    q->waiting.unsure = !certain || unseen;
    *limit = certain || q->waiting.recheck < SHMR_RECHECK_NS ? q->waiting.recheck : SHMR_RECHECK_NS;
    if (type->sleep_most) {
        const int64_t most = type->sleep_most(q, events);
        *limit = most < *limit ? most : *limit;
    }
    return type->ready(q, events, true);
}

/* When a sleep that begins now ends if no participant wakes it. */
static int64_t wake_up_time(const shmring_t *q, int64_t now, int64_t limit, int64_t deadline)
{
    const int64_t recheck = q->waiting.rechecked + q->waiting.recheck;
    int64_t until = now + limit;

    if (until > recheck)
        until = recheck;
    return until < deadline ? until : deadline;
}

/* A wait ended without an event: r says why. Returns the error, or the events that came just now.
 */
static int wait_ended(shmring_t *q, unsigned events, int r)
{
    unsigned found;

    if (q->lost)
        return shmr_handle_check_memory(q);
    found = q->geometry.type->ready(q, events, true);
    if (found)
        return (int)found;
    if (r == -EPIPE)
        return shmr_peers_hung_up(q, events);
    if (r == -EINTR)
        return shmr_fail_fast(EINTR, "a signal handler ran", 0, 0);
    if (r == -ETIMEDOUT && q->sweep.error)
        return shmr_fail_fast(ETIMEDOUT,
                              "nothing happened in time, and what dead participants hold cannot be "
                              "recovered (error %llu of fcntl(2)): see shmring_recover()",
                              (uint64_t)q->sweep.error, 0);
    if (r == -ETIMEDOUT)
        return shmr_fail_fast(ETIMEDOUT, "nothing happened in time", 0, 0);
    return r;
}

/* Wait for one of the events. Returns those there, or -ETIMEDOUT, -EINTR, -EPIPE, -ESTALE. */
static int wait_for(shmring_t *q, unsigned events, int64_t deadline)
{
    SHMR_ALONE(q);
    const struct shmr_kind *const type = q->geometry.type;
    int64_t from = 0;
    unsigned found = shmr_spin(q, events, deadline, &from);
    uint32_t value[SHMR_EVENTS];
    int r = 0;

    if (found)
        return (int)found;
    if (deadline == SHMR_AT_ONCE && (r = shmr_peers_check(q, events)) == 0)
        r = -ETIMEDOUT;
    for (bool slept = false; !found && r == 0; slept = true) {
        int64_t limit, now = shmr_wait_now(q), until;

        /* Recheck here, so that many short waits, or many needless wake-ups, do not prevent it. */
        r = is_recheck_due(q, now) ? recheck_now(q, events, now) : shmr_peers_check(q, events);
        if (r < 0)
            break;
        if (q->lost)
            return shmr_handle_check_memory(q);
        if (type->unblock)
            type->unblock(q);
        /* Where all others that sleep at the event are woken, too, poll before announcing again. */
        if (slept && !type->pass_on && (found = type->ready(q, events, true)) != 0)
            break;
        found = announce(q, events, SHMR_WAITWORD_ASLEEP, now, value, &limit);
        if (found) {
            if (slept && type->pass_on)
                type->pass_on(q, found);
            break;
        }
        if (now >= deadline) {
            r = -ETIMEDOUT;
            break;
        }
        until = wake_up_time(q, now, limit, deadline);
        SHMR_TRACE(sleep, q, events, until - now);
        r = sleep_once(q, events, value, now, until);
        SHMR_TRACE(sleep_end, q, events, r);
        if (r == -ETIMEDOUT)
            r = 0;
        else if (r < 0 && r != -EINTR)
            return shmr_fail_fast(-r,
                                  "futex(2) and clock_nanosleep(2) are both refused, by a seccomp "
                                  "filter: this process cannot sleep",
                                  0, 0);
    }
    if (from != 0) /* spinning was in vain */
        shmr_spin_learn(q, events, from);
    return found && !q->lost ? (int)found : wait_ended(q, events, r);
}

int shmring_wait(shmring_t *q, unsigned events, const struct timespec *timeout)
{
    int64_t deadline;
    int r = shmr_wait_check(q, events);

    if (r == 0)
        r = shmr_wait_deadline(q, timeout, &deadline);
    return r < 0 ? r : wait_for(q, events, deadline);
}

int shmr_wait_arm(shmring_t *q, unsigned event, uint32_t how, uint32_t value[SHMR_EVENTS],
                  int64_t *limit)
{
    const struct shmr_kind *const type = q->geometry.type;
    const int64_t now = shmr_wait_now(q);
    if (type->unblock)
        type->unblock(q);
    unsigned found = announce(q, event, how, now, value, limit);
    int r = 0;

    if (!found) {
        r = is_recheck_due(q, now) ? recheck_now(q, event, now) : shmr_peers_check(q, event);
        found = type->ready(q, event, true);
    }
    if (q->lost)
        return shmr_handle_check_memory(q);
    if (found && type->pass_on)
        type->pass_on(q, event);
    if (found)
        return 1;
    return r == -EPIPE ? shmr_peers_hung_up(q, event) : r;
}

int shmring_futex_arm(shmring_t *q, unsigned event, struct shmring_futex *futex)
{
    const int e = shmr_event_index(event);
    uint32_t value[SHMR_EVENTS];
    int r = shmr_wait_check(q, event);

    if (r < 0)
        return r;
    SHMR_ALONE(q);
    if (!futex || event == (SHMRING_READABLE | SHMRING_WRITABLE))
        return shmr_fail_fast(EINVAL,
                              futex ? "one futex is for one event: call twice"
                                    : "the place for the result is NULL",
                              0, 0);
    r = shmr_wait_arm(q, event, SHMR_WAITWORD_ASLEEP, value, &futex->limit_ns);
    if (r == 0) {
        futex->word = (const uint32_t *)(const void *)&q->waitword[e]->word;
        futex->value = value[e];
        futex->flags = q->waiting.unsure ? SHMRING_FUTEX_UNSURE : 0;
    }
    return r;
}

/* ---- Calls that wait ------------------------------------------------------------------------- */

bool shmr_try_again(shmring_t *q, struct shmr_attempts *a, ssize_t *r)
{
    int waited = 0;

    if (*r != -EAGAIN)
        return false;
    if (!a->waited) /* the clock is read only now: the first attempt is usually a success */
        waited = shmr_wait_deadline(q, a->timeout, &a->deadline);
    a->waited = true;
    if (waited == 0)
        waited = wait_for(q, a->event, a->deadline);
    if (waited > 0)
        return true;
    *r = waited;
    return false;
}
