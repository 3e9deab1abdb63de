/* SPDX-License-Identifier: MIT */
/*
 * The inside of a mux.
 *
 * Each queue has an entry, and each entry has a slot in a group. A group is what one thread can
 * sleep on with one futex_waitv(2): SLOTS queues and a word of its own. The group called hot
 * belongs to the threads in shmring_mux_wait(). Only one of them, the leader, polls it and sleeps
 * on it, and the others wait to become leader. Every other group has a helper thread. Such groups
 * exist only when there are more queues than the hot group has slots.
 *
 * The reason: a sleep costs about 200 ns for each word, and a queue whose wait word has not changed
 * since it was armed need not be armed again. So while few of many queues are busy, these few are
 * in the hot group, a leader pays for HOT_MOST queues, and the helpers go on sleeping on all
 * others. A helper that is woken sets the queue's bit in `ready` and wakes the leader, which lends
 * the queue and moves it to the hot group. In return the leader moves the queue that was idle for
 * longest from the hot group to a helper's.
 *
 * An entry's state says which thread may use the queue's handle:
 *     IDLE    no thread does; the thread that makes it INSIDE may
 *     INSIDE  one thread does: it polls, it arms, or it is the borrower
 *     WANTED  the same, and shmring_mux_remove() waits for that thread
 *     GONE    removed: no thread ever will again
 * Threads find entries through slots, without a lock, in an RCU read-side section. During such a
 * section no entry is freed, and a thread may read the wait word of an entry in any state.
 *
 * Bits of a group, one for each slot
 *     taken  the slot is used
 *     dirty  must be armed before a thread sleeps; in the hot group: poll it each time
 *     ready  the queue was ready: the leader shall lend it
 * A thread that has set a dirty bit then calls mux_notify(), which adds 1 to the group's word and
 * wakes its sleeper.
 *
 * Pairs
 *     M1  mux_notify(): add 1 to the word, read asleep
 *                                              N1  store asleep, sleep if the word is the same
 *     M2  mux_notify(), after setting bits     N2  read the word, then the bits
 *     M3  leave an entry: it is IDLE           N3  enter an entry: it is INSIDE
 *     M4  fill a slot                          N4  read a slot
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
 * From here to the end of the calling function, pthread_cancel() does not end this thread. liburcu
 * sleeps in poll(2) with its locks held while it waits for a grace period, and a cancelled
 * pthread_join() would leave a helper running.
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

    /* The thread inside writes these; other threads read the first four too. */
    const uint32_t *_Atomic word; /* the wait word; NULL: never armed */
    _Atomic uint32_t value;       /* the wait word's value when armed */
    _Atomic int64_t due;          /* time at which to arm again in any case */
    _Atomic int64_t soon; /* time from which to arm again if the thread is awake: one sleep then
                             serves many queues */
    int error;            /* from arming; not yet reported in an event */
    struct group *group;  /* the group that it is in */
    unsigned slot;
    uint64_t lent;          /* mux->turn when it was last lent */
    struct mux_entry *next; /* in the borrower's list */
};

struct group {
    _Atomic uint32_t word;   /* mux_notify() adds 1 */
    _Atomic uint32_t asleep; /* 1: a thread sleeps on the word, or is about to */
    _Atomic uint64_t taken[MAP_WORDS];
    _Atomic uint64_t dirty[MAP_WORDS];
    _Atomic uint64_t ready[MAP_WORDS];
    struct mux_entry *_Atomic slots[SLOTS];
    struct shmring_mux *mux;
    struct group *_Atomic next; /* never changes once set */
    pthread_t helper;           /* not of the hot group */
};

/*
 * A thread's record in a mux: see mux/waiter.c. Only that thread uses it; any other thread must
 * hold the registry's lock.
 */
struct waiter {
    struct shmring_mux *_Atomic mux; /* NULL: the mux was destroyed */
    struct mux_entry *loans;         /* what the thread has borrowed */
    unsigned turn;
    bool vacant;            /* the thread has ended: the next new one takes this record */
    struct waiter *next;    /* of the same mux */
    struct waiter *sibling; /* of the same thread */
};

struct shmring_mux {
    _Atomic uint32_t lead;    /* 0: no leader; 1: a thread leads; 2: other threads wait to lead */
    _Atomic uint32_t woken;   /* 1: set by shmring_mux_wake() */
    _Atomic uint32_t pending; /* 1: a group may have a ready bit */
    _Atomic uint32_t ending;
    _Atomic uint32_t no_waitv; /* 1: futex_waitv(2) does not work here */
    _Atomic int64_t skew;      /* ns that the clock lags behind the kernel's, see mux_time() */
    struct waiter *waiters;    /* protected by the registry's lock */

    /* Only the leader uses these. */
    uint64_t turn;
    unsigned armed_slot; /* where poll_armed() begins */
    uint32_t spin_most, spin_usual, waits;

    pthread_mutex_t lock; /* protects the rest */
    void *entries;        /* tree for tsearch(), ordered by q */
    unsigned long total;
    int64_t recheck_ns;       /* ns between two rechecks in the whole mux */
    _Atomic int64_t patience; /* recheck_ns * total: ns between two rechecks of one queue */
    _Atomic int64_t slice; /* without futex_waitv(2): ns that a thread sleeps between two reads of
                              its group's wait words */
    unsigned long helpers;
    const uint32_t *mark; /* *mark is 1, and 0 in a forked child */

    struct group hot;
};

/* ---- Time ------------------------------------------------------------------------------------ */

/*
 * CLOCK_MONOTONIC, ns. If clock_gettime(2) was replaced, its clock may stand still or lag. Then the
 * time moves on by what the kernel's sleeps lasted at least, as in lib/wait/waiting.c.
 */
static inline int64_t mux_time(struct shmring_mux *mux)
{
    return shmr_now() + atomic_load_explicit(&mux->skew, memory_order_relaxed);
}

/* The kernel says that `ns` ns have passed since `then`. Several threads may report the same
 * time. */
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

/* Returns true if the bit was clear. */
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

/* N3. Make this thread the one inside. True: it may use the handle. */
static inline bool mux_enter(struct mux_entry *e)
{
    uint32_t idle = IDLE;

    return atomic_compare_exchange_strong_explicit(&e->state, &idle, INSIDE, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* M3. Afterwards another thread may free the entry, unless this is an RCU read-side section. */
static inline void mux_leave(struct mux_entry *e)
{
    uint32_t inside = INSIDE;

    if (atomic_compare_exchange_strong_explicit(&e->state, &inside, IDLE, memory_order_release,
                                                memory_order_relaxed))
        return;
    /*
     * WANTED: store GONE for shmring_mux_remove(), or another thread might enter before it does.
     * shmring_mux_remove() may free the entry before this thread wakes it. That does no harm:
     * waking does not read the word.
     */
    const _Atomic uint32_t *state = &e->state;
    atomic_store_explicit(&e->state, GONE, memory_order_release);
    shmr_futex_wake((const void *)state, SHMR_FUTEX_PRIVATE, 1);
}

/* Has the wait word changed since the entry was armed? A guess while another thread is inside. */
static inline bool mux_has_changed(struct mux_entry *e)
{
    const uint32_t *word = atomic_load_explicit(&e->word, memory_order_acquire);

    return word && __atomic_load_n(word, __ATOMIC_RELAXED) !=
                       atomic_load_explicit(&e->value, memory_order_relaxed);
}

/* ---- Groups (group.c) ------------------------------------------------------------------------ */

/* Put the entry, which no other thread can enter now, into a free slot, and set its dirty bit. The
 * caller then calls mux_notify(). False: the group is full. */
bool mux_place(struct group *g, struct mux_entry *e);

/* Free the slot. */
void mux_unplace(struct group *g, unsigned slot);

unsigned mux_count(struct group *g);

/* Tell the group's sleeper that a bit was set or an entry changed. */
void mux_notify(struct group *g);

/* Arm the entry, which this thread is inside of. True: its event is there already, or e->error says
 * what is wrong. */
bool mux_arm(struct mux_entry *e);

/* Arm the entries that need it. True: the sleep is prepared. False: it has set ready bits. */
struct sleep {
    struct futex_waitv words[FUTEX_WAITV_MAX];
    unsigned count;
    int64_t until;
};
bool mux_settle(struct group *g, struct sleep *s);

/* Sleep as prepared, or for less. Returns 0, -EINTR, or another error: the process cannot sleep at
 * all. */
int mux_sleep(struct group *g, struct sleep *s);

/* Add a group with a helper. Returns 0, -ENOMEM or -EAGAIN. The caller holds mux->lock. */
int mux_add_group(struct shmring_mux *mux);

/* ---- Threads (waiter.c) ---------------------------------------------------------------------- */

/* shmring_mux_create() calls this before the other three functions. Returns 0, -EAGAIN or
 * -ENOMEM. */
int mux_start_registry(void);

/* This thread's record. mux_find_waiter() returns NULL if there is none; mux_make_waiter() makes
 * one, and returns NULL if there is no memory. */
struct waiter *mux_find_waiter(struct shmring_mux *mux);
struct waiter *mux_make_waiter(struct shmring_mux *mux);

/* The mux ends: free its records, or let their threads free them. */
void mux_end_waiters(struct shmring_mux *mux);

/* ---- Waiting (wait.c) ------------------------------------------------------------------------ */

/* Give back all that the thread has borrowed. */
void mux_give_all_back(struct waiter *waiter);

/* Returns 0, -EBADF or -ENOTCONN. */
int mux_check(const struct shmring_mux *mux);

#endif
