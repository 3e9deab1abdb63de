/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/sleep.h"

#include <errno.h>

#include "base/deadline.h"
#include "base/trace.h"
#include "core/recovery.h"
#include "core/rows.h"
#include "wait/fence.h"
#include "wait/futex.h"
#include "wait/notifier.h"
#include "wait/ready.h"

/* Looks between two at the clock; and of so many waits one spins for as long as it may. */
#define LOOKS_PER_CLOCK   8
#define WAITS_PER_ATTEMPT 16

/* The shortest spin, in back-offs: worth it whatever the waits of late were like. */
#define SPIN_LEAST 5

/* A sleeper checks that often, at the most, whether the queue still has its name. */
#define NAME_CHECK_NS SHMR_SECOND

/* ---- Time ------------------------------------------------------------------------------------ */

/*
 * The time that this handle goes by. The clock of a process may stand still or lag, where
 * clock_gettime() has been replaced (libfaketime). The kernel measures sleeps by its own clock:
 * when it says that a sleep of N ns is over, N ns have passed, and what the clock lacks is added
 * from then on. So every timeout ends.
 */
int64_t shmr_wait_now(const shmring_t *q)
{
    return shmr_now() + q->waiting.skew;
}

void shmr_wait_have_passed(shmring_t *q, int64_t then, int64_t ns)
{
    const int64_t lag = then + ns - shmr_wait_now(q);

    if (lag > 0)
        q->waiting.skew += lag;
}

static int deadline_of(const shmring_t *q, const struct timespec *timeout, int64_t *deadline)
{
    const int r = shmr_deadline(timeout, deadline);

    if (r == 0 && *deadline != SHMR_FOR_EVER && *deadline != SHMR_AT_ONCE)
        *deadline += q->waiting.skew;
    return r;
}

/* ---- The kernel's part ---------------------------------------------------------------------- */

#if defined SYS_futex_waitv
static int sleep_on_both(struct shmr_bell *const bell[SHMR_EVENTS],
                         const uint32_t value[SHMR_EVENTS], int64_t ns)
{
    struct futex_waitv waiters[SHMR_EVENTS] = {0};

    for (int e = 0; e < SHMR_EVENTS; e++)
        waiters[e] = (struct futex_waitv){
            .val = value[e], .uaddr = (uintptr_t)&bell[e]->word, .flags = FUTEX_32};
    return shmr_futex_waitv(waiters, SHMR_EVENTS, ns);
}
#else
static int sleep_on_both(struct shmr_bell *const bell[SHMR_EVENTS],
                         const uint32_t value[SHMR_EVENTS], int64_t ns)
{
    (void)bell, (void)value, (void)ns;
    return -ENOSYS;
}
#endif

/* Where the kernel cannot sleep on both: sleep on one, and look at the other after each slice. */
static int sleep_in_slices(shmring_t *q, const uint32_t value[SHMR_EVENTS], int64_t until)
{
    int r = 0;

    while (r == 0 || r == -ETIMEDOUT) {
        const int64_t now = shmr_wait_now(q), left = until - now;
        const int64_t slice = left < SHMR_FUTEX_SLICE_NS ? left : SHMR_FUTEX_SLICE_NS;

        if (left <= 0)
            return -ETIMEDOUT;
        for (int e = 0; e < SHMR_EVENTS; e++)
            if (atomic_load_explicit(&q->bell[e]->word, memory_order_relaxed) != value[e])
                return 0;
        r = shmr_futex_wait(&q->bell[SHMR_READABLE]->word, SHMR_FUTEX_SHARED, value[SHMR_READABLE],
                            slice);
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
        r = shmr_futex_wait(&q->bell[e]->word, SHMR_FUTEX_SHARED, value[e], until - from);
    } else {
        r = q->waiting.no_waitv ? -ENOSYS : sleep_on_both(q->bell, value, until - from);
        q->waiting.no_waitv |= r == -ENOSYS;
        if (r == -ENOSYS || r == -ENOMEM)
            return sleep_in_slices(q, value, until);
    }
    if (r == -ETIMEDOUT)
        shmr_wait_have_passed(q, from, until - from);
    return r;
}

static unsigned event_bit(int event)
{
    return event == SHMR_READABLE ? SHMRING_READABLE : SHMRING_WRITABLE;
}

int shmr_ring(shmring_t *q, int event, int n)
{
    int error = errno; /* a signal handler may be running */

    if (q->lost)
        return shmr_handle_check_memory(q);
    uint32_t who = shmr_bell_ring(q->bell[event]);

    if (who)
        SHMR_TRACE(wake, q, event_bit(event), n);
    if (who & SHMR_BELL_ASLEEP)
        shmr_futex_wake(&q->bell[event]->word, SHMR_FUTEX_SHARED, n);
    if (who & SHMR_BELL_POLLED)
        shmr_doorbell_ring(q, event);
    errno = error;
    return 0;
}

/* ---- Is it there? ---------------------------------------------------------------------------- */

/* Which of the events are there now. Thorough: look at every block, not only at some. */
static unsigned ready(shmring_t *q, unsigned events, bool thorough)
{
    struct shmr_mpmc *mpmc = &q->mpmc.queue;
    unsigned found = 0;

    if (events & SHMRING_READABLE && (q->kind == SHMRING_SPSC ? shmr_spsc_is_readable(&q->consumer)
                                                              : shmr_mpmc_is_readable(mpmc, 1)))
        found |= SHMRING_READABLE;
    if (events & SHMRING_WRITABLE &&
        (q->kind == SHMRING_SPSC
             ? shmr_spsc_is_writable(&q->producer, q->waiting.refused)
             : shmr_mpmc_is_writable(mpmc, thorough ? mpmc->mask + 1 : SHMR_MPMC_LOOKS)))
        found |= SHMRING_WRITABLE;
    return found;
}

/*
 * mpmc: others may be asleep that a ring before my announcement should have woken: if there is more
 * than what I am about to take.
 */
static void pass_on(shmring_t *q, unsigned events)
{
    if (events & SHMRING_READABLE && shmr_mpmc_is_readable(&q->mpmc.queue, 2))
        (void)shmr_ring(q, SHMR_READABLE, 1);
    if (events & SHMRING_WRITABLE && shmr_mpmc_has_room(&q->mpmc.queue, 2))
        (void)shmr_ring(q, SHMR_WRITABLE, 1);
}

/* The role of those who could bring the event about. */
static uint32_t peers_role(int event)
{
    return event == SHMR_READABLE ? SHMRING_PRODUCER : SHMRING_CONSUMER;
}

/* Has another participant been attached that could have brought the event about, and that nobody
 * was told of yet? */
static bool had_peer(shmring_t *q, int event)
{
    const uint32_t role = peers_role(event);
    uint64_t ever = 0;

    for (uint32_t i = 0; i < q->geometry.rows; i++)
        ever += shmr_row_taken_as(shmr_row_at(q->map.table, i), role);
    q->peers_ever[event] = ever;
    return ever > q->peers_before[event] + ((q->roles & role) != 0); /* I am one of them */
}

/* spsc: where it is noted that the one who waits for the event was told of a hang-up. */
static _Atomic uint64_t *hung_up(const shmring_t *q, int event)
{
    const uint32_t row = event == SHMR_READABLE ? SHMR_ROW_CONSUMER : SHMR_ROW_PRODUCER;

    return &shmr_row_at(q->map.table, row)->hung_up;
}

/*
 * The caller is told that the other side has left. spsc: it is the only one to be told, so for its
 * successor those do not count; that one waits for the next. mpmc: there may be others to be told.
 */
static int tell_of_hangup(shmring_t *q, unsigned events)
{
    for (int e = 0; e < SHMR_EVENTS && q->kind == SHMRING_SPSC; e++)
        if (events & event_bit(e) && q->peers_ever[e] > 0)
            atomic_store_explicit(hung_up(q, e), q->peers_ever[e], memory_order_relaxed);
    return -EPIPE;
}

/* Is another participant alive that could bring the event about? */
static bool has_peer(const shmring_t *q, int event)
{
    const uint32_t role = peers_role(event);

    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        struct shmr_row *row = shmr_row_at(q->map.table, i);
        bool mine = q->kind == SHMRING_MPMC ? i == q->row : (q->roles & role) != 0;
        if (!mine && shmr_row_is_attached(row) &&
            atomic_load_explicit(&row->role, memory_order_relaxed) & role &&
            shmr_row_is_locked(q->fd, &q->geometry, i) != 0)
            return true;
    }
    return false;
}

static int check_peers(shmring_t *q, unsigned events)
{
    const bool wait_for_first = !(q->waiting.flags & SHMRING_WAIT_PEERS);

    if (!(q->waiting.flags & (SHMRING_WAIT_PEERS | SHMRING_WAIT_HANGUP)))
        return 0;
    /* had_peer() first: a participant that it sees is seen by has_peer() for as long as it lives.
     */
    for (int e = 0; e < SHMR_EVENTS; e++)
        if (events & event_bit(e) && ((wait_for_first && !had_peer(q, e)) || has_peer(q, e)))
            return 0;
    if (q->kind == SHMRING_MPMC) /* the caller polls for what dead consumers held */
        (void)shmr_recover_dead(q, shmr_sweep_rows(q));
    return shmr_fail_fast(
        EPIPE, events & SHMRING_READABLE ? "no live producer is left" : "no live consumer is left",
        0, 0);
}

/* Is it time for that? */
static bool is_recheck_due(const shmring_t *q, int64_t now)
{
    return now - q->waiting.looked_around >= q->waiting.recheck;
}

/* The recheck of a sleeper: what nobody wakes it for. 0, -EPIPE, -ESTALE. */
static int look_around(shmring_t *q, unsigned events, int64_t now)
{
    struct shmr_waiting *w = &q->waiting;

    w->looked_around = now;
    if (q->kind == SHMRING_MPMC)
        shmr_sweep(q, SHMR_SWEEP_BLOCKS_ASLEEP);
    if (now - w->name_checked >= NAME_CHECK_NS) {
        w->name_checked = now;
        if (shmr_handle_check_name(q) < 0)
            return -ESTALE;
    }
    return check_peers(q, events);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

void shmr_wait_init(shmring_t *q, unsigned flags)
{
    const bool unfenced = flags & SHMRING_ASYMMETRIC_FENCE && shmr_fence_register();

    q->bell[SHMR_READABLE] = &q->map.bells->readable;
    q->bell[SHMR_WRITABLE] = &q->map.bells->writable;
    for (int e = 0; e < SHMR_EVENTS; e++) {
        /* Set before the first message is published: see W2 in bell.h. */
        if (unfenced)
            atomic_fetch_or_explicit(&q->bell[e]->word, SHMR_BELL_UNFENCED, memory_order_seq_cst);
        q->heed[e] = unfenced ? SHMR_HEED_UNFENCED : SHMR_HEED_FENCED;
        if (q->kind == SHMRING_SPSC)
            q->peers_before[e] = atomic_load_explicit(hung_up(q, e), memory_order_relaxed);
    }
    q->waiting.name_checked = shmr_now();             /* attaching has found the name */
    if (q->kind == SHMRING_MPMC && SHMR_RMW_IS_FENCE) /* a message is published by one */
        q->heed[SHMR_READABLE] = SHMR_HEED_UNFENCED;
    shmring_set_waiting(q, NULL);
}

int shmr_wait_check(const shmring_t *q, unsigned events)
{
    int r = shmr_handle_check(q);

    if (r < 0)
        return r;
    if (events == 0 || events & ~(unsigned)(SHMRING_READABLE | SHMRING_WRITABLE))
        return shmr_fail_fast(EINVAL, "events: SHMRING_READABLE, SHMRING_WRITABLE, or both", 0, 0);
    if (events & SHMRING_READABLE && !(q->roles & SHMRING_CONSUMER))
        return shmr_fail_fast(EPERM, "only a consumer waits for SHMRING_READABLE", 0, 0);
    if (events & SHMRING_WRITABLE && !(q->roles & SHMRING_PRODUCER))
        return shmr_fail_fast(EPERM, "only a producer waits for SHMRING_WRITABLE", 0, 0);
    return 0;
}

/* Whose experience tells how long to spin. */
static int spin_index(unsigned events)
{
    return events & SHMRING_READABLE ? SHMR_READABLE : SHMR_WRITABLE;
}

/* For how long this wait is to spin beyond the least. */
static int64_t spin_limit(struct shmr_waiting *w, int event)
{
    uint32_t limit = 2 * w->usual[event];

    if (w->waits[event]++ % WAITS_PER_ATTEMPT == 0 || limit > w->spin_most)
        limit = w->spin_most;
    return limit;
}

/*
 * So long did a wait take beyond the least. A sleep costs about spin_most by itself: one that was
 * over in twice that need not have been.
 */
static void learn(struct shmr_waiting *w, int event, int64_t took)
{
    const int64_t usual = w->usual[event];

    if (took < 0) /* the clock was put back */
        took = 0;
    if (took > w->spin_most)
        took = took / 2 > w->spin_most ? 0 : w->spin_most;
    w->usual[event] = (uint32_t)((7 * usual + took) / 8);
}

/* Look for a while: what is there, or 0 and since when it was looked for. */
static unsigned spin(shmring_t *q, unsigned events, int64_t deadline, int64_t *from)
{
    struct shmr_waiting *w = &q->waiting;
    const int event = spin_index(events);
    unsigned found = ready(q, events, false);

    if (found || w->spin_most == 0 || deadline == SHMR_AT_ONCE)
        return found;
    for (uint32_t i = 0; i < SPIN_LEAST * w->pauses; i++) { /* no look at the clock: it costs */
        shmr_pause(1);
        if ((found = ready(q, events, false)) != 0)
            return found;
    }

    const int64_t limit = spin_limit(w, event);
    int64_t now = *from = shmr_wait_now(q), until = now + limit;
    /* With a clock that stands still: the pauses between so many reads take eight times as long. */
    int64_t reads = limit * w->pauses / SHMR_BACK_OFF_NS + 1;
    for (; now < until && now < deadline && reads > 0; now = shmr_wait_now(q), reads--)
        for (int i = 0; i < LOOKS_PER_CLOCK; i++) {
            shmr_pause(1);
            if ((found = ready(q, events, false)) != 0) {
                learn(w, event, now - *from);
                return found;
            }
        }
    return 0;
}

/*
 * After announcing: do all who publish see by now that the word is WATCHED? It is so when this
 * handle announced first SHMR_RECHECK_NS ago, or another one did and left a note of it: see "The
 * first sleep" in bell.h. now: before the announcement.
 */
static bool is_settled(shmring_t *q, int event, int64_t now)
{
    struct shmr_bell *bell = q->bell[event];
    int64_t *watched = &q->waiting.watched[event];

    if (atomic_load_explicit(&bell->settled, memory_order_relaxed))
        return true;
    if (*watched == 0)
        *watched = shmr_wait_now(q);
    if (now - *watched < SHMR_RECHECK_NS)
        return false;
    atomic_store_explicit(&bell->settled, 1, memory_order_relaxed);
    return true;
}

/*
 * Announce that I am about to sleep. Which events are there after all; or 0, the words to sleep on,
 * and for how long at most. now: a moment before.
 */
static unsigned announce(shmring_t *q, unsigned events, uint32_t how, int64_t now,
                         uint32_t value[SHMR_EVENTS], int64_t *limit)
{
    bool fence = false, certain = true;

    for (int e = 0; e < SHMR_EVENTS; e++) {
        if (!(events & event_bit(e)))
            continue;
        uint32_t was = shmr_bell_announce(q->bell[e], how);
        certain &= is_settled(q, e, now);
        value[e] = was | how | SHMR_BELL_WATCHED;
        fence |= (was & SHMR_BELL_UNFENCED) != 0;
    }
    if (fence) /* P1 */
        certain &= shmr_fence_others();
    q->waiting.unsure = !certain;
    *limit = certain || q->waiting.recheck < SHMR_RECHECK_NS ? q->waiting.recheck : SHMR_RECHECK_NS;
    return ready(q, events, true);
}

/* The point in time at which a sleep from now on ends by itself. */
static int64_t wake_up_time(const shmring_t *q, int64_t now, int64_t limit, int64_t deadline)
{
    const int64_t recheck = q->waiting.looked_around + q->waiting.recheck;
    int64_t until = now + limit;

    if (until > recheck)
        until = recheck;
    return until < deadline ? until : deadline;
}

/* Wait for one of the events. Which are there, or -ETIMEDOUT, -EINTR, -EPIPE, -ESTALE. */
static int wait_for(shmring_t *q, unsigned events, int64_t deadline)
{
    SHMR_ALONE(q);
    int64_t from = 0;
    unsigned found = spin(q, events, deadline, &from);
    uint32_t value[SHMR_EVENTS];
    int r = 0;

    if (found)
        return (int)found;
    if (deadline == SHMR_AT_ONCE && (r = check_peers(q, events)) == 0)
        r = -ETIMEDOUT;
    for (bool slept = false; !found && r == 0; slept = true) {
        int64_t limit, now = shmr_wait_now(q), until;

        /* Also when it is woken all the time, and for nothing; and by many short waits. */
        r = is_recheck_due(q, now) ? look_around(q, events, now) : check_peers(q, events);
        if (r < 0)
            break;
        if (q->lost)
            return shmr_handle_check_memory(q);
        /* A queue with one consumer, or one producer: there is nobody to announce for. */
        if (slept && q->kind == SHMRING_SPSC && (found = ready(q, events, true)) != 0)
            break;
        found = announce(q, events, SHMR_BELL_ASLEEP, now, value, &limit);
        if (found) {
            if (slept && q->kind == SHMRING_MPMC)
                pass_on(q, found);
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
        learn(&q->waiting, spin_index(events), shmr_wait_now(q) - from);
    if (q->lost)
        return shmr_handle_check_memory(q);
    if (r < 0 && (found = ready(q, events, true)) != 0)
        r = 0;
    if (r == -EPIPE)
        return tell_of_hangup(q, events);
    if (r == -EINTR)
        return shmr_fail_fast(EINTR, "a signal handler ran", 0, 0);
    if (r == -ETIMEDOUT && q->sweep.error)
        return shmr_fail_fast(ETIMEDOUT,
                              "nothing happened in time, and what dead participants hold cannot be "
                              "recovered (error %llu of fcntl(2)): see shmring_recover()",
                              (uint64_t)q->sweep.error, 0);
    if (r == -ETIMEDOUT)
        return shmr_fail_fast(ETIMEDOUT, "nothing happened in time", 0, 0);
    return r < 0 ? r : (int)found;
}

int shmring_wait(shmring_t *q, unsigned events, const struct timespec *timeout)
{
    int64_t deadline;
    int r = shmr_wait_check(q, events);

    if (r == 0)
        r = deadline_of(q, timeout, &deadline);
    return r < 0 ? r : wait_for(q, events, deadline);
}

int shmr_wait_arm(shmring_t *q, unsigned event, uint32_t how, uint32_t value[SHMR_EVENTS],
                  int64_t *limit)
{
    const int64_t now = shmr_wait_now(q);
    unsigned found = announce(q, event, how, now, value, limit);
    int r = 0;

    if (!found) {
        r = is_recheck_due(q, now) ? look_around(q, event, now) : check_peers(q, event);
        found = ready(q, event, true);
    }
    if (q->lost)
        return shmr_handle_check_memory(q);
    if (found && q->kind == SHMRING_MPMC)
        pass_on(q, event);
    if (found)
        return 1;
    return r == -EPIPE ? tell_of_hangup(q, event) : r;
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
    r = shmr_wait_arm(q, event, SHMR_BELL_ASLEEP, value, &futex->limit_ns);
    if (r == 0) {
        futex->word = (const uint32_t *)(const void *)&q->bell[e]->word;
        futex->value = value[e];
        futex->flags = q->waiting.unsure ? SHMRING_FUTEX_UNSURE : 0;
    }
    return r;
}

int shmring_set_waiting(shmring_t *q, const struct shmring_waiting *w)
{
    static const struct shmring_waiting usual = {.spin_ns = SHMR_SPIN_MOST_NS};
    int r = shmr_handle_check(q);

    if (r < 0)
        return r;
    SHMR_ALONE(q);
    if (!w)
        w = &usual;
    if (w->flags & ~(uint32_t)(SHMRING_WAIT_PEERS | SHMRING_WAIT_HANGUP))
        return shmr_fail(EINVAL, "flags 0x%x: only SHMRING_WAIT_PEERS and SHMRING_WAIT_HANGUP",
                         w->flags);
    for (size_t i = 0; i < sizeof w->reserved / sizeof w->reserved[0]; i++)
        if (w->reserved[i])
            return shmr_fail(EINVAL, "reserved fields are not zero");
    q->waiting = (struct shmr_waiting){
        .spin_most = w->spin_ns,
        .flags = w->flags,
        .recheck = w->recheck_ms ? w->recheck_ms * INT64_C(1000000) : SHMR_RECHECK_NS,
        .pauses = shmr_process_pauses(),
    };
    return 0;
}

/* ---- Calls that wait ------------------------------------------------------------------------- */

/* Attempts at an operation, until the event is there or the time is over. */
struct attempts {
    const struct timespec *timeout;
    int64_t deadline;
    unsigned event;
    bool waited;
};

/* Between two of them: r is what the last one returned. True: make another one. */
static bool try_again(shmring_t *q, struct attempts *a, ssize_t *r)
{
    int waited = 0;

    if (*r != -EAGAIN)
        return false;
    if (!a->waited) /* the clock is looked at only now: the first attempt is usually a success */
        waited = deadline_of(q, a->timeout, &a->deadline);
    a->waited = true;
    if (waited == 0)
        waited = wait_for(q, a->event, a->deadline);
    if (waited > 0)
        return true;
    *r = waited;
    return false;
}

int shmr_send_later(shmring_t *q, const void *msg, size_t len, const struct timespec *timeout)
{
    struct attempts a = {.timeout = timeout, .event = SHMRING_WRITABLE};
    ssize_t r = -EAGAIN;

    while (try_again(q, &a, &r))
        r = shmring_send(q, msg, len);
    return (int)r;
}

ssize_t shmr_recv_later(shmring_t *q, void *buf, size_t size, const struct timespec *timeout)
{
    struct attempts a = {.timeout = timeout, .event = SHMRING_READABLE};
    ssize_t r = -EAGAIN;

    while (try_again(q, &a, &r))
        r = shmring_recv(q, buf, size);
    return r;
}

int shmring_reserve_wait(shmring_t *q, size_t len, void **msg, const struct timespec *timeout)
{
    struct attempts a = {.timeout = timeout, .event = SHMRING_WRITABLE};
    ssize_t r;

    do
        r = shmring_reserve(q, len, msg);
    while (try_again(q, &a, &r));
    return (int)r;
}

ssize_t shmring_peek_wait(shmring_t *q, const void **msg, struct shmring_info *info,
                          const struct timespec *timeout)
{
    struct attempts a = {.timeout = timeout, .event = SHMRING_READABLE};
    ssize_t r;

    do
        r = shmring_peek(q, msg, info);
    while (try_again(q, &a, &r));
    return r;
}
