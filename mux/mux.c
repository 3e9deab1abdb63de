/* SPDX-License-Identifier: MIT */
/* Making and ending a mux, adding and removing queues. */
#include <config.h>

#include "internal.h"

#include <search.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "rcu.h"

enum { SPIN_MOST_NS = 50000, RECHECKS_PER_S = 20000 };

/* ---- Making and ending ----------------------------------------------------------------------- */

static int check_config(const struct shmring_mux_config *config)
{
    for (size_t i = 0; i < sizeof config->reserved / sizeof config->reserved[0]; i++)
        if (config->reserved[i])
            return -EINVAL;
    return 0;
}

/* Map a word that is 1 in this process, and 0 in a forked child. */
static uint32_t *make_mark(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t *mark = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mark == MAP_FAILED)
        return NULL;
    if (madvise(mark, size, MADV_WIPEONFORK) < 0) {
        munmap(mark, size);
        return NULL;
    }
    *mark = 1;
    return mark;
}

int shmring_mux_create(shmring_mux_t **mux, const struct shmring_mux_config *config)
{
    static const struct shmring_mux_config usual = {.spin_ns = SPIN_MOST_NS};

    if (!mux)
        return -EINVAL;
    *mux = NULL;
    if (!config)
        config = &usual;
    if (check_config(config) < 0)
        return -EINVAL;
    int r = mux_start_registry();
    if (r < 0)
        return r;
    struct shmring_mux *made = calloc(1, sizeof *made);
    if (!made || !(made->mark = make_mark())) {
        free(made);
        return -ENOMEM;
    }
    made->hot.mux = made;
    made->spin_most = config->spin_ns;
    made->recheck_ns = SHMR_SECOND / (config->looks_per_s ? config->looks_per_s : RECHECKS_PER_S);
    pthread_mutex_init(&made->lock, NULL);
    *mux = made;
    return 0;
}

static void end_helpers(struct shmring_mux *mux)
{
    struct group *g, *first = atomic_load_explicit(&mux->hot.next, memory_order_acquire);
    bool forked = mux_check(mux) < 0; /* then the helper threads are not in this process */

    atomic_store_explicit(&mux->ending, 1, memory_order_release);
    for (g = forked ? NULL : first; g; g = g->next)
        mux_notify(g);
    for (g = first; g; g = first) {
        if (!forked)
            pthread_join(g->helper, NULL);
        first = g->next;
        free(g);
    }
}

void shmring_mux_destroy(shmring_mux_t **mux)
{
    struct shmring_mux *old = mux ? *mux : NULL;

    if (!old)
        return;
    MUX_NO_CANCEL();
    *mux = NULL;
    end_helpers(old);
    tdestroy(old->entries, free);
    mux_end_waiters(old);
    pthread_mutex_destroy(&old->lock);
    munmap((void *)(uintptr_t)old->mark, (size_t)sysconf(_SC_PAGESIZE));
    free(old);
}

/* ---- Adding and removing --------------------------------------------------------------------- */

static int by_queue(const void *a, const void *b)
{
    uintptr_t p = (uintptr_t)((const struct mux_entry *)a)->q;
    uintptr_t q = (uintptr_t)((const struct mux_entry *)b)->q;

    return (p > q) - (p < q);
}

/* Can this handle be waited for? -EPIPE and -ESTALE come as events later, so they are no reason to
 * refuse it. */
static int check_queue(shmring_t *q, unsigned event)
{
    static const struct timespec at_once;
    int r = shmring_wait(q, event, &at_once);

    return r == -ETIMEDOUT || r == -EPIPE || r == -ESTALE || r > 0 ? 0 : r;
}

/* Make sure that a slot is free for one more queue. As soon as there are helpers, the hot group
 * counts for HOT_MOST queues only. */
static int make_room(struct shmring_mux *mux)
{
    if (mux->total < SLOTS || mux->total < mux->helpers * SLOTS + HOT_MOST)
        return 0;
    return mux_add_group(mux);
}

/* Count `more` more queues; may be negative. The caller holds mux->lock. */
static void count(struct shmring_mux *mux, int more)
{
    mux->total += (unsigned long)more;
    atomic_store_explicit(&mux->patience, (int64_t)mux->total * mux->recheck_ns,
                          memory_order_relaxed);
    /* All groups together wake 1,000 times a second, however many groups there are. */
    atomic_store_explicit(&mux->slice, SHMR_FUTEX_SLICE_NS * (int64_t)(1 + mux->helpers),
                          memory_order_relaxed);
}

/* Add the entry, which this thread is inside of, to the mux. The caller holds mux->lock. */
static int enlist(struct shmring_mux *mux, struct mux_entry *e)
{
    struct mux_entry **there = tsearch(e, &mux->entries, by_queue);
    int r;

    if (!there)
        return -ENOMEM;
    if (*there != e)
        return -EEXIST;
    r = check_queue(e->q, e->event);
    if (r == 0)
        r = make_room(mux);
    if (r < 0)
        tdelete(e, &mux->entries, by_queue);
    else
        count(mux, 1);
    return r;
}

int shmring_mux_add(shmring_mux_t *mux, shmring_t *q, unsigned event, void *data)
{
    int r = mux_check(mux);

    if (r < 0)
        return r;
    if (event != SHMRING_READABLE && event != SHMRING_WRITABLE)
        return -EINVAL;
    struct mux_entry *e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    e->q = q;
    e->event = event;
    e->data = data;
    atomic_init(&e->state, INSIDE);

    pthread_mutex_lock(&mux->lock);
    r = enlist(mux, e);
    if (r == 0) {
        struct group *g = mux->helpers ? mux->hot.next : &mux->hot;
        while (!mux_place(g, e))
            g = g->next ? g->next : &mux->hot;
        mux_leave(e);
        mux_notify(g);
    }
    pthread_mutex_unlock(&mux->lock);
    if (r < 0)
        free(e);
    return r;
}

/* Take the entry out of this thread's loans. False: this thread has not borrowed it. */
static bool take_loan(struct waiter *self, struct mux_entry *e)
{
    for (struct mux_entry **loan = self ? &self->loans : NULL; loan && *loan; loan = &(*loan)->next)
        if (*loan == e) {
            *loan = e->next;
            return true;
        }
    return false;
}

/* Wait until no thread is inside the entry, and make sure that none can enter any more. */
static void drive_out(struct mux_entry *e)
{
    uint32_t state = IDLE;

    while (!atomic_compare_exchange_strong_explicit(&e->state, &state, GONE, memory_order_acquire,
                                                    memory_order_acquire)) {
        if (state == GONE)
            return;
        if (state == WANTED ||
            atomic_compare_exchange_strong_explicit(&e->state, &state, WANTED, memory_order_relaxed,
                                                    memory_order_relaxed))
            shmr_futex_wait((const void *)&e->state, SHMR_FUTEX_PRIVATE, WANTED, SHMR_FOR_EVER);
        state = IDLE;
    }
}

int shmring_mux_remove(shmring_mux_t *mux, shmring_t *q)
{
    struct mux_entry key = {.q = q}, *const * found, *e;
    int r = mux_check(mux);

    if (r < 0)
        return r;
    MUX_NO_CANCEL();
    pthread_mutex_lock(&mux->lock);
    found = tfind(&key, &mux->entries, by_queue);
    e = found ? *found : NULL;
    if (e)
        tdelete(e, &mux->entries, by_queue);
    pthread_mutex_unlock(&mux->lock);
    if (!e)
        return -ENOENT;

    if (!take_loan(mux_find_waiter(mux), e))
        drive_out(e);
    struct group *g = e->group;
    mux_unplace(g, e->slot);
    mux_notify(g); /* so that the group's sleeper no longer sleeps on this queue's word */
    mux_rcu_wait(mux);
    free(e);
    pthread_mutex_lock(&mux->lock);
    count(mux, -1);
    pthread_mutex_unlock(&mux->lock);
    return 0;
}
