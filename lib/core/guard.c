/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/process.h"
#include "base/trace.h"
#include "core/handle.h"
#include "core/rows.h"
#include "wait/waitword.h"

/* ---- The handles of this process ------------------------------------------------------------- */

/*
 * Places are added and never freed, so that the handler may walk them at any time. A place whose
 * turn is even is empty or just being changed, so it is not that of the handle that met the fault:
 * a handle keeps its place as long as a thread uses it. There is no lock here that a fork could
 * leave taken.
 *
 *     guard:G1   the place is filled, or emptied before another handle may fill it
 *     guard:H1   the handler reads its turn
 *     guard:G2   an emptied place is about to be filled
 *     guard:H2   the handler has read it
 *
 * If guard:H1 reads an odd turn, then the handler reads the values that were stored before that
 * turn, or newer ones. If one of them is newer, then the second load of the turn, after guard:H2,
 * reads a turn that differs from the first; so the handler knows that the place has changed. This
 * relies on guard:H2 matching the guard:G2 before the newer store. The turn was even then: the
 * thread that fills the place has read, with acquire order, the NULL that was stored after that
 * even turn.
 */
struct shmr_guarded {
    _Atomic uint32_t turn;
    _Atomic(shmring_t *) handle; /* NULL: free */
    _Atomic uintptr_t base;
    _Atomic size_t length;
};

enum { PLACES = 64 };
struct places {
    struct shmr_guarded place[PLACES];
    _Atomic(struct places *) next;
};
static struct places first;

static struct shmr_guarded *take_place(struct places *some, shmring_t *q)
{
    for (int i = 0; i < PLACES; i++) {
        shmring_t *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&some->place[i].handle, &none, q,
                                                    memory_order_acq_rel, memory_order_relaxed))
            return &some->place[i];
    }
    return NULL;
}

/* Return the next places; make them if there are none. NULL: no memory. */
static struct places *more_places(struct places *some)
{
    struct places *next = atomic_load_explicit(&some->next, memory_order_acquire);

    if (next)
        return next;
    struct places *made = calloc(1, sizeof *made);
    if (!made || atomic_compare_exchange_strong_explicit(
                     &some->next, &next, made, memory_order_acq_rel, memory_order_acquire))
        return made;
    free(made);
    return next;
}

static void change_turn(struct shmr_guarded *place)
{
    uint32_t turn = atomic_load_explicit(&place->turn, memory_order_relaxed);

    atomic_store_explicit(&place->turn, turn + 1, memory_order_release); /* guard:G1 */
}

int shmr_guard_add(shmring_t *q)
{
    struct places *some = &first;

    while (!(q->guarded = take_place(some, q))) {
        some = more_places(some);
        if (!some)
            return shmr_fail(ENOMEM, "no memory to note the handle");
    }
    atomic_thread_fence(memory_order_release); /* guard:G2, as is the exchange in take_place() */
    atomic_store_explicit(&q->guarded->base, (uintptr_t)q->map.base, memory_order_relaxed);
    atomic_store_explicit(&q->guarded->length, q->map.length, memory_order_relaxed);
    change_turn(q->guarded);
    return 0;
}

void shmr_guard_remove(shmring_t *q)
{
    if (!q->guarded)
        return;
    change_turn(q->guarded);
    atomic_store_explicit(&q->guarded->handle, NULL, memory_order_release); /* guard:G1 */
    q->guarded = NULL;
}

/* ---- The handler ----------------------------------------------------------------------------- */

/*
 * Find the handle whose segment is at that address. In a forked child a place may still name a
 * handle of the parent. That mapping does not exist here, and a segment of the child may be mapped
 * at the same address: so compare the mark.
 */
static shmring_t *handle_at(uintptr_t address)
{
    for (struct places *some = &first; some;
         some = atomic_load_explicit(&some->next, memory_order_acquire))
        for (int i = 0; i < PLACES; i++) {
            struct shmr_guarded *place = &some->place[i];
            uint32_t turn = atomic_load_explicit(&place->turn, memory_order_acquire); /* guard:H1 */
            uintptr_t base = atomic_load_explicit(&place->base, memory_order_relaxed);
            size_t length = atomic_load_explicit(&place->length, memory_order_relaxed);
            shmring_t *q = atomic_load_explicit(&place->handle, memory_order_relaxed);
            atomic_thread_fence(memory_order_acquire); /* guard:H2 */
            if (turn % 2 == 1 && address - base < length &&
                atomic_load_explicit(&place->turn, memory_order_relaxed) == turn &&
                *q->process == q->mark)
                return q;
        }
    return NULL;
}

/* Map private pages of this process in place of the segment. */
static bool replace_segment(shmring_t *q)
{
    const struct shmr_map *map = &q->map;

    if (mmap(map->base, map->length, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        return false;
    (void)madvise(map->base, map->length, MADV_DONTFORK);
    atomic_store_explicit(&map->waitwords->readable.word, SHMR_WAITWORD_ASLEEP,
                          memory_order_relaxed);
    atomic_store_explicit(&map->waitwords->writable.word, SHMR_WAITWORD_ASLEEP,
                          memory_order_relaxed);
    if (q->kept.fd >= 0)
        shmr_unlock_all(q->kept.fd);
    q->lost = q->poisoned = true;
    q->send_mark = q->receive_mark = SHMR_NO_PROCESS;
    SHMR_TRACE(corrupt, q, "the segment's memory is gone");
    return true;
}

/* The action for SIGBUS before the handler was installed. */
static struct sigaction before;

/* Die as if the handler were not there: the signal goes to this thread again, with the same
 * siginfo_t. */
static void die(int number, siginfo_t *info)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};

    sigaction(number, &by_default, NULL);
    /* The signal is pending until the handler returns, unless this thread has unblocked SIGBUS. */
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), number, info) < 0)
        raise(number);
}

/* Did an access of this thread cause the signal? Such a signal cannot be ignored. */
static bool is_fault(const siginfo_t *info)
{
    return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    const struct sigaction to = before;

    if ((unsigned)to.sa_flags & SA_RESETHAND)
        before.sa_handler = SIG_DFL, before.sa_flags = 0;
    if (to.sa_flags & SA_SIGINFO)
        to.sa_sigaction(number, info, context);
    else if (to.sa_handler == SIG_DFL || (to.sa_handler == SIG_IGN && is_fault(info)))
        die(number, info);
    else if (to.sa_handler != SIG_IGN)
        to.sa_handler(number);
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    const int error = errno;
    shmring_t *q = info->si_code == BUS_ADRERR ? handle_at((uintptr_t)info->si_addr) : NULL;

    if (!q || !replace_segment(q)) {
        errno = error;
        pass_on(number, info, context);
        return;
    }
    errno = error;
}

static bool is_function(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

int shmring_guard_sigbus(void)
{
    static bool installed;
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction now;
    sigset_t signals;

    /* Hold the fork lock, so that no child finds this half done. */
    shmr_process_hold_fork(&signals);
    sigaction(SIGBUS, NULL, &now);
    /* A function that the program installed later may call this handler. Then this handler must not
     * call that function. */
    if (!installed || !is_function(&now)) {
        before = now;
        /* Give the previous handler the stack and the signal mask that it asked for. */
        if (is_function(&now)) {
            action.sa_mask = now.sa_mask;
            action.sa_flags = SA_SIGINFO | (now.sa_flags & (SA_ONSTACK | SA_NODEFER | SA_RESTART));
        }
        sigaction(SIGBUS, &action, NULL);
        installed = true;
    }
    shmr_process_let_fork(&signals);
    return 0;
}
