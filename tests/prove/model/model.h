/* SPDX-License-Identifier: MIT */
/*
 * The base of every model: what the library's algorithm headers need, and threads that can die
 * before any store.
 *
 * A model includes this first and then lib/spsc/ring.h or lib/mpmc/participant.h. make
 * does not compile it; GenMC compiles and explores it. Its main() starts a thread for each
 * participant; assertions say what must hold.
 *
 * A participant's private memory is a variable of its thread's function, and all functions are
 * inlined. So what no other thread reads is in registers, and GenMC has far fewer events to put in
 * order.
 */
#ifndef MODEL_H
#define MODEL_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <genmc.h>
#include <shmring/shmring.h>

/* One of the library's headers uses this type, and GenMC's sys/types.h does not have it. */
typedef unsigned long ino_t;

#undef static_assert
#define static_assert _Static_assert

/*
 * All functions are inlined, so that private variables need no memory. GenMC cannot handle structs
 * that are returned in registers: ms_abi returns them in memory, until the optimiser removes that.
 */
#define noinline always_inline, ms_abi
#define inline inline __attribute__((always_inline, ms_abi))

/* ---- Dying ---------------------------------------------------------------------------------- */

/*
 * A mortal thread reads from its axe before which of its stores it dies: the thread `axes` writes
 * every number there, and the model checker tries each. Stores are what other threads can see:
 * atomic stores, compare-and-swaps and the copying of a payload. A dead participant's lock is free
 * only after its last store; so its successor starts when its thread has been joined.
 */
#ifndef DEATHS
#define DEATHS 0 /* most stores of a thread while it is mortal */
#endif
#ifndef MORTALS
#define MORTALS 1
#endif

static _Atomic int axe[MORTALS];
static _Thread_local int dies_before; /* 0: lives */
static _Thread_local int stores;
static _Thread_local bool mortal;

static __attribute__((unused)) void *axes(void *unused)
{
    (void)unused;
    for (int k = 1; k <= DEATHS; k++)
        for (int i = 0; i < MORTALS; i++)
            atomic_store_explicit(&axe[i], k, memory_order_relaxed);
    return NULL;
}

static inline void mortal_from_here(int which)
{
    mortal = true;
    stores = 0;
    dies_before = atomic_load_explicit(&axe[which], memory_order_relaxed);
}

/* Called at the end of a mortal part by a thread that is alive. Explores each such history only
 * once. */
static inline void survived(void)
{
    assert(stores <= DEATHS);
    __VERIFIER_assume(dies_before == 0);
    mortal = false;
}

static inline void before_store(void)
{
    if (mortal && ++stores == dies_before)
        pthread_exit(NULL);
}

/* Run one participant's thread, and wait for its end. */
static inline void live(void *(*life)(void *))
{
    pthread_t t;

    pthread_create(&t, NULL, life, NULL);
    pthread_join(t, NULL);
}

/* Run two or three participants at the same time, and the axes if a participant is mortal. */
static inline void together(void *(*a)(void *), void *(*b)(void *), void *(*c)(void *))
{
    pthread_t k, t[3];

    if (DEATHS)
        pthread_create(&k, NULL, axes, NULL);
    pthread_create(&t[0], NULL, a, NULL);
    pthread_create(&t[1], NULL, b, NULL);
    if (c)
        pthread_create(&t[2], NULL, c, NULL);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    if (c)
        pthread_join(t[2], NULL);
    if (DEATHS)
        pthread_join(k, NULL);
}

/* ---- Counting ------------------------------------------------------------------------------- */

/* The number of shared accesses of this thread's operation; "wait-free" promises a bound for it. */
static _Thread_local int steps;

#define BOUNDED(limit, call)                                                                       \
    do {                                                                                           \
        steps = 0;                                                                                 \
        call;                                                                                      \
        assert(steps <= (limit));                                                                  \
    } while (0)

static inline void count_step(void)
{
    steps++;
}

/* ---- The atomic operations that the algorithm headers use ----------------------------------- */

#undef atomic_load_explicit
#define atomic_load_explicit(object, order) (count_step(), __c11_atomic_load(object, order))

#undef atomic_store_explicit
#define atomic_store_explicit(object, value, order)                                                \
    (count_step(), before_store(), __c11_atomic_store(object, value, order))

#undef atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_strong_explicit(object, expected, value, success, failure)         \
    (count_step(), before_store(),                                                                 \
     __c11_atomic_compare_exchange_strong(object, expected, value, success, failure))

#undef atomic_signal_fence /* not needed: GenMC keeps a thread's stores in order */
#define atomic_signal_fence(order) (void)(order)

/* ---- The processor: replaces lib/base/cpu.h -------------------------------------------------- */

#define SHMR_CPU_H
#define SHMR_LINE 64

static inline void shmr_pause(unsigned times)
{
    (void)times;
}

static inline uint64_t shmr_ticks(void)
{
    return 0;
}

static inline void shmr_prefetch(const void *line)
{
    (void)line;
}

static inline void shmr_prefetch_to_write(const void *line)
{
    (void)line;
}

/* Every message is one 8-byte word, and not atomic: GenMC reports two threads at the same word as a
 * race. */
static inline void shmr_copy_short(void *to, const void *from, size_t n)
{
    assert(n == 8);
    before_store();
    *(uint64_t *)to = *(const uint64_t *)from;
}

static inline void shmr_copy(void *to, const void *from, size_t n)
{
    shmr_copy_short(to, from, n);
}

#define SHMR_COPY_SHORT 8
#define SHMR_COPY_LONG  16

/* The size of the table of what a participant has reserved: as small as the model allows. */
#ifndef HELD
#define HELD 1
#endif
#define SHMRING_RESERVED_MAX HELD

/* The empty asm statements that steer the compiler. */
#define __asm__(...)

#endif
