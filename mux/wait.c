/* SPDX-License-Identifier: MIT */
/* Waiting: borrowing and giving back, which thread leads, and what a leader does. */
#include <config.h>

#include "internal.h"

#include <stdlib.h>

#include "rcu.h"

/*
 * A wait polls the queues that this thread has just borrowed, and returns if one is ready. Every
 * TURNS_PER_FULL_POLL-th wait of a thread polls more than those: all queues that are awake (their
 * dirty bit is set), and ARMED_PER_POLL of the armed ones, in turn.
 */
enum { TURNS_PER_FULL_POLL = 8, ARMED_PER_POLL = 4 };

/*
 * While spinning. POLLS_PER_CLOCK: polls between two clock reads. Every WAITS_PER_ATTEMPT-th wait
 * spins for the full limit, so that a spin time learned too short can recover. SPIN_LEAST_NS: each
 * wait spins for at least this long, unless spin_ns is less; that is less than a sleep costs and
 * long enough for a producer in the middle of a send.
 */
enum { POLLS_PER_CLOCK = 8, WAITS_PER_ATTEMPT = 16, SPIN_LEAST_NS = 2000 };

/* What one wait has found so far. */
struct found {
    struct waiter *self;
    struct shmring_mux_event *events;
    int count, most;
};

static const struct timespec at_once;

/* ---- Borrowing ------------------------------------------------------------------------------- */

/*
 * If the entry's queue is ready or has an error, make an event of it, and lend it to this thread,
 * which is inside of it. An armed entry is armed again first: that passes the wake-up on, as this
 * thread may have been woken in place of another sleeper at the queue.
 */
static bool lend(struct found *f, struct mux_entry *e, bool armed)
{
    int r = e->error;

    if (r == 0 && armed)
        r = mux_arm(e) ? e->error : -ETIMEDOUT;
    else if (r == 0)
        r = shmring_wait(e->q, e->event, &at_once);
    if (r == -ETIMEDOUT)
        return false;
    e->error = 0;
    f->events[f->count++] = (struct shmring_mux_event){
        .q = e->q, .data = e->data, .event = e->event, .error = r < 0 ? r : 0};
    e->next = f->self->loans;
    f->self->loans = e;
    return true;
}

static void give_back(struct mux_entry *e)
{
    struct group *g = e->group;
    unsigned slot = e->slot;

    mux_leave(e); /* another entry may have the slot by now: the dirty bit then only costs one poll
                     of it */
    mux_set(g->dirty, slot);
    mux_notify(g);
}

void mux_give_all_back(struct waiter *self)
{
    for (struct mux_entry *e = self->loans, *next; e; e = next) {
        next = e->next;
        give_back(e);
    }
    self->loans = NULL;
}

/* Lend the same queues again. That needs no leader, and no giving back first. */
static void poll_loans(struct found *f)
{
    struct mux_entry *e = f->self->loans;

    f->self->loans = NULL;
    for (struct mux_entry *next; e; e = next) {
        next = e->next;
        if (f->count == f->most || !lend(f, e, false))
            give_back(e);
    }
}

/* ---- Leading --------------------------------------------------------------------------------- */

static int lead(struct shmring_mux *mux, int64_t deadline)
{
    uint32_t no_leader = 0;

    if (atomic_compare_exchange_strong_explicit(&mux->lead, &no_leader, 1, memory_order_acquire,
                                                memory_order_relaxed))
        return 0;
    if (deadline == SHMR_AT_ONCE)
        return -ETIMEDOUT;
    while (atomic_exchange_explicit(&mux->lead, 2, memory_order_acquire) != 0) {
        const int64_t now = mux_time(mux);
        const int64_t left = deadline == SHMR_FOR_EVER ? SHMR_FOR_EVER : deadline - now;
        if (left <= 0)
            return -ETIMEDOUT;
        int r = shmr_futex_wait((const void *)&mux->lead, SHMR_FUTEX_PRIVATE, 2, left);
        if (r == -ETIMEDOUT)
            mux_have_passed(mux, now, left);
        else if (r < 0)
            return r;
    }
    return 0;
}

static void follow(struct shmring_mux *mux)
{
    if (atomic_exchange_explicit(&mux->lead, 0, memory_order_release) == 2)
        shmr_futex_wake((const void *)&mux->lead, SHMR_FUTEX_PRIVATE, 1);
}

/* Of the armed entries of the hot group, enter the one that was lent the longest ago. NULL: none.
 */
static struct mux_entry *enter_idlest(struct shmring_mux *mux)
{
    struct group *hot = &mux->hot;
    struct mux_entry *idlest = NULL;

    for (unsigned w = 0; w < MAP_WORDS; w++) {
        uint64_t bits = atomic_load_explicit(&hot->taken[w], memory_order_acquire) &
                        ~atomic_load_explicit(&hot->dirty[w], memory_order_relaxed) &
                        ~atomic_load_explicit(&hot->ready[w], memory_order_relaxed);
        MUX_EACH_BIT(slot, w, bits)
        {
            struct mux_entry *e = atomic_load_explicit(&hot->slots[slot], memory_order_acquire);
            if (!e || (idlest && e->lent >= idlest->lent) || !mux_enter(e))
                continue;
            if (idlest)
                mux_leave(idlest);
            idlest = e;
        }
    }
    return idlest;
}

/* If there are helpers, move idle entries to the helpers' groups until the hot group has at most
 * HOT_MOST entries. */
static void demote(struct shmring_mux *mux)
{
    struct group *first = atomic_load_explicit(&mux->hot.next, memory_order_acquire);

    for (unsigned count = first ? mux_count(&mux->hot) : 0; count > HOT_MOST; count--) {
        struct mux_entry *e = enter_idlest(mux);
        if (!e)
            return;
        struct group *g = first;
        unsigned slot = e->slot;
        while (g && !mux_place(g, e))
            g = atomic_load_explicit(&g->next, memory_order_acquire);
        if (g)
            mux_unplace(&mux->hot, slot);
        mux_leave(e);
        if (!g)
            return;
        mux_notify(g);
    }
}

/* The slot is empty: the dirty bit was set late, for an entry that was removed. Clear it. */
static void forget_dirty(struct group *g, unsigned slot)
{
    mux_clear(g->dirty, slot);
    if (atomic_load_explicit(&g->slots[slot], memory_order_relaxed))
        mux_set(g->dirty, slot); /* the slot was filled meanwhile */
}

/* Lend the entry in the slot if it is ready, and then keep it in the hot group. */
static void try_slot(struct shmring_mux *mux, struct group *g, unsigned slot, struct found *f)
{
    struct mux_entry *e = atomic_load_explicit(&g->slots[slot], memory_order_acquire); /* N4 */

    if (mux_is_set(g->ready, slot))
        mux_clear(g->ready, slot);
    if (!e)
        forget_dirty(g, slot);
    if (!e || !mux_enter(e)) /* the thread inside sets a bit when it leaves */
        return;
    if (!lend(f, e, !mux_is_set(g->dirty, slot))) {
        mux_leave(e);
        if (g != &mux->hot) { /* the helper does not sleep on it now */
            mux_set(g->dirty, slot);
            mux_notify(g);
        }
        return;
    }
    mux_clear(g->dirty, slot); /* give_back() sets it again */
    e->lent = mux->turn;
    if (g != &mux->hot && mux_place(&mux->hot, e)) {
        mux_clear(mux->hot.dirty, e->slot);
        mux_unplace(g, slot);
    }
}

/* Lend all entries whose ready bit is set. */
static void collect(struct shmring_mux *mux, struct found *f)
{
    if (!atomic_load_explicit(&mux->pending, memory_order_relaxed))
        return;
    atomic_exchange_explicit(&mux->pending, 0, memory_order_acquire);
    for (struct group *g = &mux->hot; g; g = atomic_load_explicit(&g->next, memory_order_acquire))
        for (unsigned w = 0; w < MAP_WORDS; w++)
            MUX_EACH_BIT(slot, w, atomic_load_explicit(&g->ready[w], memory_order_acquire))
            {
                if (f->count == f->most) {
                    atomic_store_explicit(&mux->pending, 1, memory_order_release);
                    return;
                }
                try_slot(mux, g, slot, f);
            }
}

/* Poll all entries of the hot group that are dirty, because they were busy lately. Each call begins
 * with another slot. */
static void poll_awake(struct shmring_mux *mux, struct found *f)
{
    struct group *hot = &mux->hot;
    unsigned start = (unsigned)(mux->turn % SLOTS);

    for (unsigned half = 0; half < 2; half++)
        for (unsigned w = 0; w < MAP_WORDS; w++) {
            uint64_t before = start >= (w + 1) * 64 ? UINT64_MAX
                              : start > w * 64      ? mux_bit(start) - 1
                                                    : 0;
            MUX_EACH_BIT(slot, w,
                         atomic_load_explicit(&hot->dirty[w], memory_order_acquire) &
                             (half ? before : ~before))
            {
                if (f->count == f->most)
                    return;
                try_slot(mux, hot, slot, f);
            }
        }
}

/* Poll up to ARMED_PER_POLL armed entries of the hot group, in turn, because no thread sleeps on
 * them just now. */
static void poll_armed(struct shmring_mux *mux, struct found *f)
{
    struct group *hot = &mux->hot;
    unsigned slot = mux->armed_slot, polls = 0;
    int64_t now = mux_time(mux);

    for (unsigned words = 0; words <= MAP_WORDS; words++) {
        unsigned w = slot / 64;
        uint64_t bits = atomic_load_explicit(&hot->taken[w], memory_order_acquire) &
                        ~atomic_load_explicit(&hot->dirty[w], memory_order_relaxed) &
                        ~(mux_bit(slot) - 1);
        MUX_EACH_BIT(i, w, bits)
        {
            if (polls++ == ARMED_PER_POLL || f->count == f->most)
                goto enough;
            slot = i + 1;
            struct mux_entry *e = atomic_load_explicit(&hot->slots[i], memory_order_acquire);
            if (e &&
                (mux_has_changed(e) || now >= atomic_load_explicit(&e->due, memory_order_relaxed)))
                try_slot(mux, hot, i, f);
        }
        slot = (w + 1) % MAP_WORDS * 64;
    }
enough:
    mux->armed_slot = slot % (MAP_WORDS * 64);
}

/* Poll once. The dirty entries come first at every other call, those with a ready bit at the calls
 * between. */
static void poll_once(struct shmring_mux *mux, struct found *f)
{
    mux_rcu_enter();
    for (int half = 0; half < 2; half++)
        if ((mux->turn + (unsigned)half) % 2) {
            poll_awake(mux, f);
        } else {
            collect(mux, f);
            poll_armed(mux, f);
        }
    mux->turn++;
    mux_rcu_leave(mux);
}

static bool is_any_awake(struct shmring_mux *mux)
{
    for (unsigned w = 0; w < MAP_WORDS; w++)
        if (atomic_load_explicit(&mux->hot.dirty[w], memory_order_relaxed))
            return true;
    return false;
}

static void pause_a_little(void)
{
#if defined __x86_64__ || defined __i386__
    for (int i = 0; i < 4; i++)
        __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* If a queue was busy lately, poll for about as long as recent waits took. */
static void spin(struct shmring_mux *mux, struct found *f, int64_t deadline)
{
    int64_t from = mux_time(mux), now = from;
    int64_t limit = SPIN_LEAST_NS + 2 * (int64_t)mux->spin_usual;

    if (mux->waits++ % WAITS_PER_ATTEMPT == 0 || limit > mux->spin_most)
        limit = mux->spin_most;
    if (!is_any_awake(mux))
        return;
    for (; now < from + limit && now < deadline; now = mux_time(mux))
        for (int i = 0; i < POLLS_PER_CLOCK; i++) {
            pause_a_little();
            poll_once(mux, f);
            if (f->count || atomic_load_explicit(&mux->woken, memory_order_relaxed)) {
                mux->spin_usual = (uint32_t)((7 * (int64_t)mux->spin_usual + (now - from)) / 8);
                return;
            }
        }
    mux->spin_usual -= mux->spin_usual / 8;
}

/* Wait as the leader until a queue is ready. Returns the number of events, 0 (woken) or -errno. */
static int wait_for(struct shmring_mux *mux, struct found *f, int64_t deadline)
{
    struct sleep s;
    int r = 0;

    poll_once(mux, f);
    if (!f->count && deadline != SHMR_AT_ONCE)
        spin(mux, f, deadline);
    while (!f->count) {
        if (atomic_exchange_explicit(&mux->woken, 0, memory_order_acquire))
            return 0; /* also after a signal, because no other wait reports this wake-up */
        mux_rcu_enter();
        demote(mux);
        mux_rcu_leave(mux);
        if (mux_settle(&mux->hot, &s) &&
            !atomic_load_explicit(&mux->pending, memory_order_acquire) &&
            !atomic_load_explicit(&mux->woken, memory_order_acquire)) {
            if (r < 0)
                break;
            if (deadline != SHMR_FOR_EVER && mux_time(mux) >= deadline) {
                r = -ETIMEDOUT;
                break;
            }
            if (deadline < s.until)
                s.until = deadline;
            r = mux_sleep(&mux->hot, &s);
        } else {
            atomic_store_explicit(&mux->pending, 1, memory_order_relaxed);
        }
        poll_once(mux, f);
    }
    return f->count ? f->count : r;
}

/* ---- The calls ------------------------------------------------------------------------------- */

int mux_check(const struct shmring_mux *mux)
{
    if (!mux)
        return -EBADF;
    return *(const volatile uint32_t *)mux->mark ? 0 : -ENOTCONN;
}

static bool is_valid(const struct timespec *timeout)
{
    return !timeout ||
           (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < SHMR_SECOND);
}

static int64_t deadline_of(struct shmring_mux *mux, const struct timespec *timeout)
{
    if (!timeout || timeout->tv_sec >= INT64_MAX / SHMR_SECOND / 2)
        return SHMR_FOR_EVER;
    if (timeout->tv_sec == 0 && timeout->tv_nsec == 0)
        return SHMR_AT_ONCE;
    return mux_time(mux) + (int64_t)timeout->tv_sec * SHMR_SECOND + timeout->tv_nsec;
}

int shmring_mux_wait(shmring_mux_t *mux, struct shmring_mux_event *events, int n,
                     const struct timespec *timeout)
{
    struct found f = {.events = events, .most = n};
    int64_t deadline;
    int r = mux_check(mux);

    if (r < 0)
        return r;
    if (!events || n < 1 || !is_valid(timeout))
        return -EINVAL;
    f.self = mux_find_waiter(mux);
    if (!f.self && !(f.self = mux_make_waiter(mux)))
        return -ENOMEM;
    if (f.self->loans && ++f.self->turn % TURNS_PER_FULL_POLL &&
        !atomic_load_explicit(&mux->pending, memory_order_relaxed) &&
        !atomic_load_explicit(&mux->woken, memory_order_relaxed)) {
        poll_loans(&f);
        if (f.count)
            return f.count;
    }
    mux_give_all_back(f.self);
    deadline = deadline_of(mux, timeout);
    r = lead(mux, deadline);
    if (r < 0)
        return r;
    r = wait_for(mux, &f, deadline);
    follow(mux);
    return r;
}

int shmring_mux_done(shmring_mux_t *mux, shmring_t *q)
{
    int r = mux_check(mux);

    if (r < 0)
        return r;
    struct waiter *self = mux_find_waiter(mux);
    for (struct mux_entry **e = self ? &self->loans : NULL; e && *e; e = &(*e)->next)
        if ((*e)->q == q) {
            struct mux_entry *found = *e;
            *e = found->next;
            give_back(found);
            return 0;
        }
    return -ENOENT;
}

int shmring_mux_wake(shmring_mux_t *mux)
{
    int r = mux_check(mux);

    if (r < 0)
        return r;
    atomic_store_explicit(&mux->woken, 1, memory_order_release);
    mux_notify(&mux->hot);
    return 0;
}
