/* SPDX-License-Identifier: MIT */
/* How a handle waits: its settings, and the time that it goes by. */
#include <config.h>

#include <errno.h>

#include "base/deadline.h"
#include "wait/fence.h"
#include "wait/sleep.h"
#include "wait/spin.h"

/* ---- Time ------------------------------------------------------------------------------------ */

/*
 * The time that this handle goes by. The clock of a process may stand still or lag, where
 * clock_gettime() has been replaced (libfaketime). The kernel measures sleeps by its own clock:
 * when a sleep of N ns is over, N ns have passed, and what the process's clock lacks is added to
 * this time from then on. So every timeout ends.
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

int shmr_wait_deadline(const shmring_t *q, const struct timespec *timeout, int64_t *deadline)
{
    const int r = shmr_deadline(timeout, deadline);

    if (r == 0 && *deadline != SHMR_FOR_EVER && *deadline != SHMR_AT_ONCE)
        *deadline += q->waiting.skew;
    return r;
}

/* ---- Settings -------------------------------------------------------------------------------- */

/* w: NULL for the defaults. */
static void set_waiting(shmring_t *q, const struct shmring_waiting *w)
{
    static const struct shmring_waiting usual = {.spin_ns = SHMR_SPIN_MOST_NS};

    if (!w)
        w = &usual;
    q->waiting = (struct shmr_waiting){
        .spin_most = w->spin_ns,
        .flags = w->flags,
        .patience = w->patience_ms * INT64_C(1000000),
        .recheck = w->recheck_ms ? w->recheck_ms * INT64_C(1000000) : SHMR_RECHECK_NS,
        .pauses = shmr_process_pauses(),
    };
}

int shmring_set_waiting(shmring_t *q, const struct shmring_waiting *w)
{
    int r = shmr_handle_check(q);

    if (r < 0)
        return r;
    SHMR_ALONE(q);
    if (w && w->flags & ~(uint32_t)(SHMRING_WAIT_PEERS | SHMRING_WAIT_HANGUP))
        return shmr_fail(EINVAL, "flags 0x%x: only SHMRING_WAIT_PEERS and SHMRING_WAIT_HANGUP",
                         w->flags);
    for (size_t i = 0; w && i < sizeof w->reserved / sizeof w->reserved[0]; i++)
        if (w->reserved[i])
            return shmr_fail(EINVAL, "reserved fields are not zero");
    set_waiting(q, w);
    return 0;
}

void shmr_wait_init(shmring_t *q, unsigned flags)
{
    const struct shmr_kind *type = q->geometry.type;
    const bool unfenced =
        flags & SHMRING_ASYMMETRIC_FENCE && !q->read_only && shmr_fence_register();

    q->waitword[SHMR_READABLE] = &q->map.waitwords->readable;
    q->waitword[SHMR_WRITABLE] = &q->map.waitwords->writable;
    for (int e = 0; e < SHMR_EVENTS; e++) {
        /* Set before the first message is published: see wait:W2 in waitword.h. */
        if (unfenced)
            atomic_fetch_or_explicit(&q->waitword[e]->word, SHMR_WAITWORD_UNFENCED,
                                     memory_order_seq_cst);
        q->notify_if[e] = unfenced || q->read_only ? SHMR_NOTIFY_UNFENCED : SHMR_NOTIFY_FENCED;
        if (type->hung_up)
            q->peers_before[e] = atomic_load_explicit(type->hung_up(q, e), memory_order_relaxed);
    }
    if (type->publish_is_fence)
        q->notify_if[SHMR_READABLE] = SHMR_NOTIFY_UNFENCED;
    set_waiting(q, NULL);
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
