/* SPDX-License-Identifier: MIT */
/*
 * The inside of a mux.
 *
 * Each queue has an entry, and each entry a slot in a group. A group is what one thread can sleep
 * on with one futex_waitv(2): SLOTS queues and a word of its own. The group called hot belongs to
 * those who wait; only one of them, the leader, looks at it and sleeps on it, and the others wait
 * to become leader. Every other group has a helper thread, and these groups are there only when
 * there are more queues than the hot group has slots.
 *
 * Why so: sleeping costs about 200 ns a word, and a queue whose wait word has not rung need not be
 * armed again. So while few of many queues are busy, these few are in the hot group, a leader pays
 * for HOT_MOST of them, and the helpers go on sleeping on all others. A helper that is woken sets a
 * bit in `rung` and wakes the leader, who lends the queue and moves it to the hot group. The one
 * that was idle for longest goes back from there.
 *
 * An entry's state says who may use the queue's handle:
 *     IDLE    nobody does; whoever makes it INSIDE may
 *     INSIDE  one thread does: it looks, it arms, or it is the borrower
 *     WANTED  the same, and shmring_mux_remove() waits for it
 *     GONE    removed: nobody ever will again
 * Entries are found through slots, without a lock, in an RCU read-side section. Inside one an entry
 * is not freed, and its queue's wait word may be looked at, whatever its state.
 *
 * Bits of a group, one a slot
 *     taken  the slot is used
 *     dirty  must be armed before one sleeps; in the hot group: look at it each time
 *     rung   something was there: to be lent by the leader
 * Whoever sets a dirty bit then rings the group: counts its word on, and wakes its sleeper.
 *
 * Pairs
 *     M1  ring: count on, see whether somebody sleeps    N1  say that I sleep, sleep if not counted
 *     M2  ring, after setting bits                       N2  read the word, then take the bits
 *     M3  leave: IDLE                                    N3  enter: INSIDE
 *     M4  a slot is filled                               N4  a slot is read
 */
#ifndef MUX_MUX_H
#define MUX_MUX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <shmring/mux.h>

#include "../lib/wait/futex.h"

/*
 * From here to the end of the calling function this thread is not cancelled: liburcu sleeps in
 * poll(2) with its locks held while it waits for a grace period, and pthread_join() may not end
 * half way.
 */
#define MUX_NO_CANCEL()                                                                            \
    __attribute__((cleanup(mux_allow_cancel), unused)) const int cancel_before = mux_forbid_cancel()

static inline int mux_forbid_cancel(void)
{
    int before = PTHREAD_CANCEL_ENABLE;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void mux_allow_cancel(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}

enum { SLOTS = FUTEX_WAITV_MAX - 1, MAP_WORDS = 2, HOT_MOST = 8 };
_Static_assert(SLOTS < MAP_WORDS * 64, "a bit for each slot");

enum { IDLE, INSIDE, WANTED, GONE };

struct mux_entry {
    shmring_t *q;
    void *data;
    unsigned event;
    _Atomic uint32_t state;

    /* Written by the one inside; the first four are looked at by others too. */
    const uint32_t *_Atomic word; /* the wait word; NULL: never armed */
    _Atomic uint32_t value;       /* what it was when armed */
    _Atomic int64_t due;          /* when to arm again in any case */
    _Atomic int64_t soon;         /* when to do so beside others: one sleep for all of them */
    int error;                    /* that arming gave, and nobody was told of yet */
    struct group *group;          /* where it is */
    unsigned slot;
    uint64_t lent;          /* the mux's turn when it was lent last */
    struct mux_entry *next; /* in the borrower's list */
};

struct group {
    _Atomic uint32_t word;   /* counted on by each ring */
    _Atomic uint32_t asleep; /* somebody sleeps on it, or is about to */
    _Atomic uint64_t taken[MAP_WORDS];
    _Atomic uint64_t dirty[MAP_WORDS];
    _Atomic uint64_t rung[MAP_WORDS];
    struct mux_entry *_Atomic slots[SLOTS];
    struct shmring_mux *mux;
    struct group *_Atomic next; /* never changes once set */
    pthread_t helper;           /* not of the hot group */
};

/*
 * A thread that waits here: see waiter.c. Only that thread uses it; those in other threads' hands
 * are reached with the registry's lock.
 */
struct waiter {
    struct shmring_mux *_Atomic mux; /* NULL: it was destroyed */
    struct mux_entry *loans;         /* what the thread has borrowed */
    unsigned turn;
    bool vacant;            /* the thread has ended: the next new one takes this record */
    struct waiter *next;    /* of the same mux */
    struct waiter *sibling; /* of the same thread */
};

struct shmring_mux {
    _Atomic uint32_t lead;    /* 0 free, 1 somebody leads, 2 and others want to */
    _Atomic uint32_t woken;   /* by shmring_mux_wake() */
    _Atomic uint32_t pending; /* some group has a rung bit */
    _Atomic uint32_t ending;
    _Atomic uint32_t no_waitv; /* futex_waitv(2) is not to be had */
    _Atomic int64_t skew;      /* ns: what the clock lags behind the kernel's, see mux_time() */
    struct waiter *waiters;    /* with the registry's lock */

    /* The leader's. */
    uint64_t turn;
    unsigned glance_slot; /* where the next glance begins */
    uint32_t spin_most, spin_usual, waits;

    pthread_mutex_t lock; /* for the rest */
    void *entries;        /* by queue, for tsearch() */
    unsigned long total;
    int64_t look_ns;          /* for each queue that many ns between two looks at any of them */
    _Atomic int64_t patience; /* that times the total */
    _Atomic int64_t slice; /* without futex_waitv(2): how long a group sleeps between two looks */
    unsigned long helpers;
    const uint32_t *mark; /* 1, and 0 in a forked child */

    struct group hot;
};

/* ---- Time ------------------------------------------------------------------------------------ */

/*
 * CLOCK_MONOTONIC, ns; and where clock_gettime(2) has been replaced and stands still or lags: what
 * the kernel's sleeps lasted at the least, as in lib/wait/sleep.c.
 */
static inline int64_t mux_time(struct shmring_mux *mux)
{
    return shmr_now() + atomic_load_explicit(&mux->skew, memory_order_relaxed);
}

/* The kernel says that ns have passed since then. Several threads may say so of the same time. */
static inline void mux_have_passed(struct shmring_mux *mux, int64_t then, int64_t ns)
{
    const int64_t needed = then + ns - shmr_now();
    int64_t skew = atomic_load_explicit(&mux->skew, memory_order_relaxed);

    while (skew < needed &&
           !atomic_compare_exchange_weak_explicit(&mux->skew, &skew, needed, memory_order_relaxed,
                                                  memory_order_relaxed))
        continue;
}

/* ---- Bits ------------------------------------------------------------------------------------ */

static inline uint64_t mux_bit(unsigned i)
{
    return UINT64_C(1) << i % 64;
}

static inline bool mux_is_set(_Atomic uint64_t *map, unsigned i)
{
    return (atomic_load_explicit(&map[i / 64], memory_order_relaxed) & mux_bit(i)) != 0;
}

/* Returns whether it was clear. */
static inline bool mux_set(_Atomic uint64_t *map, unsigned i)
{
    return !(atomic_fetch_or_explicit(&map[i / 64], mux_bit(i), memory_order_acq_rel) & mux_bit(i));
}

static inline void mux_clear(_Atomic uint64_t *map, unsigned i)
{
    atomic_fetch_and_explicit(&map[i / 64], ~mux_bit(i), memory_order_acq_rel);
}

/* For each set bit of a copy of one word of a map. */
#define MUX_EACH_BIT(I, Word, Bits)                                                                \
    for (uint64_t bits_ = (Bits), once_ = 1; once_; once_ = 0)                                     \
        for (unsigned I; bits_ && ((I) = (Word)*64 + (unsigned)__builtin_ctzll(bits_), 1);         \
             bits_ &= bits_ - 1)

/* ---- Entries --------------------------------------------------------------------------------- */

/* May this thread use the handle? N3 */
static inline bool mux_enter(struct mux_entry *e)
{
    uint32_t idle = IDLE;

    return atomic_compare_exchange_strong_explicit(&e->state, &idle, INSIDE, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* M3. The entry may be freed from now on, unless this is an RCU read-side section. */
static inline void mux_leave(struct mux_entry *e)
{
    uint32_t inside = INSIDE;

    if (atomic_compare_exchange_strong_explicit(&e->state, &inside, IDLE, memory_order_release,
                                                memory_order_relaxed))
        return;
    /*
     * WANTED: done on behalf of shmring_mux_remove(), or another one might enter before it does. It
     * may free the entry before it is woken: waking does not look at the word.
     */
    const _Atomic uint32_t *state = &e->state;
    atomic_store_explicit(&e->state, GONE, memory_order_release);
    shmr_futex_wake((const void *)state, SHMR_FUTEX_PRIVATE, 1);
}

/* Has the wait word been rung since the entry was armed? A guess, unless nobody is inside. */
static inline bool mux_has_rung(struct mux_entry *e)
{
    const uint32_t *word = atomic_load_explicit(&e->word, memory_order_acquire);

    return word && __atomic_load_n(word, __ATOMIC_RELAXED) !=
                       atomic_load_explicit(&e->value, memory_order_relaxed);
}

/* ---- Groups (group.c) ------------------------------------------------------------------------ */

/* Put the entry, which nobody else may enter, into a free slot, dirty. The caller rings. */
bool mux_place(struct group *g, struct mux_entry *e);

/* Take it out of the slot. */
void mux_unplace(struct group *g, unsigned slot);

unsigned mux_count(struct group *g);

/* The group has something new for its sleeper. */
void mux_ring(struct group *g);

/* Arm the entry, which this thread is inside of. Is something there, or wrong? */
bool mux_arm(struct mux_entry *e);

/* Arm again what needs it. Sets rung bits; else the sleep is ready: true. */
struct sleep {
    struct futex_waitv words[FUTEX_WAITV_MAX];
    unsigned count;
    int64_t until;
};
bool mux_settle(struct group *g, struct sleep *s);

/* Sleep as prepared, or for less. 0, -EINTR, or another error: the process cannot sleep at all. */
int mux_sleep(struct group *g, struct sleep *s);

/* One more group with a helper. 0, -ENOMEM, -EAGAIN. With mux->lock. */
int mux_add_group(struct shmring_mux *mux);

/* ---- Threads (waiter.c) ---------------------------------------------------------------------- */

/* Before anything else: 0, -EAGAIN, -ENOMEM. */
int mux_start_registry(void);

/* This thread's record: NULL if there is none; and made if there is none, or NULL: no memory. */
struct waiter *mux_find_waiter(struct shmring_mux *mux);
struct waiter *mux_make_waiter(struct shmring_mux *mux);

/* The mux ends: it has no records any more. */
void mux_end_waiters(struct shmring_mux *mux);

/* ---- Waiting (wait.c) ------------------------------------------------------------------------ */

/* What the thread has borrowed is anybody's again. */
void mux_give_all_back(struct waiter *waiter);

/* 0, -EBADF or -ENOTCONN. */
int mux_check(const struct shmring_mux *mux);

#endif
