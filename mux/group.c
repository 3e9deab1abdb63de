/* SPDX-License-Identifier: MIT */
/* Groups: their slots, arming the entries in them, and the helper threads. */
#include <config.h>

#include "internal.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "rcu.h"

bool mux_place(struct group *g, struct mux_entry *e)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (mux_is_set(g->taken, i) || !mux_set(g->taken, i))
            continue;
        e->group = g;
        e->slot = i;
        atomic_store_explicit(&g->slots[i], e, memory_order_release); /* M4 */
        mux_set(g->dirty, i);
        return true;
    }
    return false;
}

void mux_unplace(struct group *g, unsigned slot)
{
    atomic_store_explicit(&g->slots[slot], NULL, memory_order_relaxed);
    mux_clear(g->dirty, slot);
    mux_clear(g->ready, slot);
    mux_clear(g->taken, slot);
}

unsigned mux_count(struct group *g)
{
    unsigned n = 0;

    for (unsigned w = 0; w < MAP_WORDS; w++)
        n += (unsigned)__builtin_popcountll(
            atomic_load_explicit(&g->taken[w], memory_order_relaxed));
    return n;
}

void mux_notify(struct group *g)
{
    atomic_fetch_add_explicit(&g->word, 1, memory_order_seq_cst); /* M1, M2 */
    if (atomic_load_explicit(&g->asleep, memory_order_seq_cst))
        shmr_futex_wake((const void *)&g->word, SHMR_FUTEX_PRIVATE, 1);
}

bool mux_arm(struct mux_entry *e)
{
    const int64_t patience = atomic_load_explicit(&e->group->mux->patience, memory_order_relaxed);
    struct shmring_futex futex;
    int r = shmring_futex_arm(e->q, e->event, &futex);

    if (r != 0) {
        e->error = r < 0 ? r : 0;
        return true;
    }
    atomic_store_explicit(&e->value, futex.value, memory_order_relaxed);
    if (futex.limit_ns < patience && !(futex.flags & SHMRING_FUTEX_UNSURE))
        futex.limit_ns = patience;
    const int64_t now = mux_time(e->group->mux);
    atomic_store_explicit(&e->due, now + futex.limit_ns, memory_order_relaxed);
    atomic_store_explicit(&e->soon, now + futex.limit_ns / 4 * 3, memory_order_relaxed);
    atomic_store_explicit(&e->word, futex.word, memory_order_release);
    return false;
}

/* Prepare to sleep on the queue in one slot; arm it first if needed. Returns false if it set the
 * ready bit. */
static bool settle_slot(struct group *g, struct sleep *s, unsigned slot, int64_t now)
{
    struct mux_entry *e = atomic_load_explicit(&g->slots[slot], memory_order_acquire); /* N4 */
    bool dirty = mux_is_set(g->dirty, slot);

    if (!e || mux_is_set(g->ready, slot) ||
        atomic_load_explicit(&e->state, memory_order_acquire) != IDLE)
        return true; /* the thread inside sets the dirty bit when it leaves, and calls mux_notify()
                      */
    if (dirty || mux_has_changed(e) ||
        now >= atomic_load_explicit(&e->soon, memory_order_relaxed)) {
        if (!mux_enter(e))
            return true;
        mux_clear(g->dirty, slot);
        bool found = mux_arm(e);
        mux_leave(e);
        if (found) {
            mux_set(g->ready, slot); /* after leaving: a leader that cannot enter clears it */
            return false;
        }
    }
    s->words[s->count++] = (struct futex_waitv){
        .uaddr = (uintptr_t)atomic_load_explicit(&e->word, memory_order_relaxed),
        .val = atomic_load_explicit(&e->value, memory_order_relaxed),
        .flags = FUTEX_32,
    };
    int64_t due = atomic_load_explicit(&e->due, memory_order_relaxed);
    if (due < s->until)
        s->until = due;
    return true;
}

bool mux_settle(struct group *g, struct sleep *s)
{
    bool quiet = true;
    int64_t now = mux_time(g->mux);

    s->words[0] = (struct futex_waitv){
        .uaddr = (uintptr_t)&g->word,
        .val = atomic_load_explicit(&g->word, memory_order_acquire), /* N2 */
        .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG,
    };
    s->count = 1;
    s->until = SHMR_FOR_EVER;
    mux_rcu_enter();
    for (unsigned w = 0; w < MAP_WORDS; w++)
        MUX_EACH_BIT(slot, w, atomic_load_explicit(&g->taken[w], memory_order_acquire))
    quiet &= settle_slot(g, s, slot, now);
    mux_rcu_leave(g->mux);
    return quiet;
}

/*
 * Without futex_waitv(2) a thread can sleep only on the group's own word. It sleeps for at most a
 * slice: after that mux_settle() reads all wait words.
 */
static int sleep_for_a_slice(struct group *g, const struct sleep *s, int64_t from, int64_t ns)
{
    const int64_t slice = atomic_load_explicit(&g->mux->slice, memory_order_relaxed);
    int r;

    if (ns > slice)
        ns = slice;
    r = shmr_futex_wait((const void *)&g->word, SHMR_FUTEX_PRIVATE, (uint32_t)s->words[0].val, ns);
    if (r == -ETIMEDOUT)
        mux_have_passed(g->mux, from, ns);
    return r;
}

int mux_sleep(struct group *g, struct sleep *s)
{
    struct shmring_mux *mux = g->mux;
    const int64_t from = mux_time(mux);
    const int64_t ns = s->until == SHMR_FOR_EVER ? SHMR_FOR_EVER : s->until - from;
    int r = -ENOSYS;

    if (ns <= 0)
        return 0;
    atomic_store_explicit(&g->asleep, 1, memory_order_seq_cst); /* N1 */
    if (!atomic_load_explicit(&mux->no_waitv, memory_order_relaxed)) {
        r = shmr_futex_waitv(s->words, s->count, ns);
        if (r == -ETIMEDOUT)
            mux_have_passed(mux, from, ns);
        if (r == -ENOSYS)
            atomic_store_explicit(&mux->no_waitv, 1, memory_order_relaxed);
    }
    if (r == -ENOSYS || r == -ENOMEM)
        r = sleep_for_a_slice(g, s, from, ns);
    atomic_store_explicit(&g->asleep, 0, memory_order_relaxed);
    return r == -ETIMEDOUT ? 0 : r;
}

static void *help(void *argument)
{
    struct group *g = argument;
    struct shmring_mux *mux = g->mux;
    struct sleep s;

    pthread_setname_np(pthread_self(), "shmring-mux");
    while (!atomic_load_explicit(&mux->ending, memory_order_acquire)) {
        if (!mux_settle(g, &s)) {
            atomic_store_explicit(&mux->pending, 1, memory_order_release);
            mux_notify(&mux->hot);
            continue; /* read the group's word, and the queues that were not ready, again */
        }
        if (mux_sleep(g, &s) < 0)
            sched_yield(); /* a seccomp filter refuses every call that sleeps */
    }
    return NULL;
}

int mux_add_group(struct shmring_mux *mux)
{
    struct group *g = calloc(1, sizeof *g), *last = &mux->hot, *next;
    sigset_t all, before;

    if (!g)
        return -ENOMEM;
    g->mux = mux;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&g->helper, NULL, help, g);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        free(g);
        return -EAGAIN;
    }
    while ((next = atomic_load_explicit(&last->next, memory_order_relaxed)) != NULL)
        last = next;
    atomic_store_explicit(&last->next, g, memory_order_release);
    mux->helpers++;
    return 0;
}
