/* SPDX-License-Identifier: MIT */
/*
 * The records of waiting threads, and how their loans are given back when a thread ends.
 *
 * Each thread has a record in each mux that it has waited on. A thread-specific key points to the
 * list of a thread's records. The key's destructor runs when the thread ends, and gives back what
 * the thread has borrowed. Otherwise no thread would get these queues again, and
 * shmring_mux_remove() would wait for ever.
 *
 * A thread may end while another thread destroys the mux, so both take the registry's lock. A
 * thread that forks holds it over fork(), so that the child finds it free.
 */
#include <config.h>

#include "internal.h"

#include <stdlib.h>

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* the first record of this thread */
static int started = -EAGAIN;

static void lock(void)
{
    pthread_mutex_lock(&registry);
}

static void unlock(void)
{
    pthread_mutex_unlock(&registry);
}

static void end_thread(void *first)
{
    lock();
    for (struct waiter *w = first, *next; w; w = next) {
        struct shmring_mux *mux = atomic_load_explicit(&w->mux, memory_order_relaxed);
        next = w->sibling;
        if (!mux) {
            free(w);
            continue;
        }
        if (mux_check(mux) == 0) /* in a forked child no other thread waits for the loans */
            mux_give_all_back(w);
        w->sibling = NULL;
        w->vacant = true;
    }
    unlock();
}

static void start(void)
{
    const int error = pthread_key_create(&key, end_thread);

    started = error ? -error : -pthread_atfork(lock, unlock, unlock);
}

int mux_start_registry(void)
{
    pthread_once(&once, start);
    return started;
}

struct waiter *mux_find_waiter(struct shmring_mux *mux)
{
    struct waiter *w = pthread_getspecific(key);

    while (w && atomic_load_explicit(&w->mux, memory_order_relaxed) != mux)
        w = w->sibling;
    return w;
}

/* Free those of this thread's records whose mux was destroyed; return the rest. The caller holds
 * the registry's lock. */
static struct waiter *forget_destroyed(struct waiter *first)
{
    for (struct waiter **at = &first, *w; (w = *at) != NULL;)
        if (atomic_load_explicit(&w->mux, memory_order_relaxed)) {
            at = &w->sibling;
        } else {
            *at = w->sibling;
            free(w);
        }
    return first;
}

/* Return a vacant record of the mux, or a new one. The caller holds the registry's lock. */
static struct waiter *get_record(struct shmring_mux *mux)
{
    struct waiter *w = mux->waiters;

    while (w && !w->vacant)
        w = w->next;
    if (w || !(w = calloc(1, sizeof *w)))
        return w;
    w->vacant = true;
    w->next = mux->waiters;
    atomic_init(&w->mux, mux);
    return mux->waiters = w;
}

struct waiter *mux_make_waiter(struct shmring_mux *mux)
{
    struct waiter *w, *first;

    lock();
    first = forget_destroyed(pthread_getspecific(key));
    (void)pthread_setspecific(key, first); /* the old first record may be freed; this cannot fail,
                                              as the key has a value already */
    w = get_record(mux);
    if (w && pthread_setspecific(key, w) == 0) {
        w->vacant = false;
        w->sibling = first;
    } else {
        w = NULL;
    }
    unlock();
    return w;
}

void mux_end_waiters(struct shmring_mux *mux)
{
    const bool forked = mux_check(mux) < 0;

    lock();
    /* In a forked child this is the only thread. Its own record is freed when it ends; free all
     * others now. */
    struct waiter *mine = mux_find_waiter(mux);
    for (struct waiter *w = mux->waiters, *next; w; w = next) {
        next = w->next;
        if (w->vacant || (forked && w != mine))
            free(w);
        else
            atomic_store_explicit(&w->mux, NULL, memory_order_relaxed);
    }
    mux->waiters = NULL;
    unlock();
}
