/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/peers.h"

#include <errno.h>

#include "base/error.h"
#include "core/recovery.h"
#include "core/rows.h"
#include "wait/wake.h"

/* The role of the event's peers. */
static uint32_t peers_role(int event)
{
    return event == SHMR_READABLE ? SHMRING_PRODUCER : SHMRING_CONSUMER;
}

/* Has a peer attached since this handle, or its predecessor, last returned -EPIPE? */
static bool had_peer(shmring_t *q, int event)
{
    const uint32_t role = peers_role(event);
    uint64_t ever = 0;

    for (uint32_t i = 0; i < q->geometry.rows; i++)
        ever += shmr_row_taken_as(shmr_row_at(q->map.table, i), role);
    q->peers_ever[event] = ever;
    /* A handle that has this role, too, is one of those counted. */
    return ever > q->peers_before[event] + ((q->roles & role) != 0);
}

int shmr_peers_hung_up(shmring_t *q, unsigned events)
{
    const struct shmr_kind *type = q->geometry.type;

    for (int e = 0; e < SHMR_EVENTS && type->hung_up; e++)
        if (events & shmr_event_bit(e) && q->peers_ever[e] > 0)
            atomic_store_explicit(type->hung_up(q, e), q->peers_ever[e], memory_order_relaxed);
    return -EPIPE;
}

/* Is one of the event's peers alive? */
static bool has_peer(const shmring_t *q, int event)
{
    const uint32_t role = peers_role(event);

    for (uint32_t i = 0; i < q->geometry.rows; i++) {
        struct shmr_row *row = shmr_row_at(q->map.table, i);
        if (q->geometry.type->is_peer(q, i, role) && shmr_row_is_attached(row) &&
            atomic_load_explicit(&row->role, memory_order_relaxed) & role &&
            shmr_row_is_locked(q->fd, &q->geometry, i) != 0)
            return true;
    }
    return false;
}

int shmr_peers_check(shmring_t *q, unsigned events)
{
    const bool wait_for_first = !(q->waiting.flags & SHMRING_WAIT_PEERS);

    if (!(q->waiting.flags & (SHMRING_WAIT_PEERS | SHMRING_WAIT_HANGUP)))
        return 0;
    /* had_peer() first: a participant that it counts is found by has_peer() as long as it lives. */
    for (int e = 0; e < SHMR_EVENTS; e++)
        if (events & shmr_event_bit(e) && ((wait_for_first && !had_peer(q, e)) || has_peer(q, e)))
            return 0;
    /* Messages that dead consumers held come back: before the wait ends, the caller polls. */
    if (q->geometry.type->recover_some)
        (void)shmr_recover_dead(q, shmr_sweep_rows(q));
    return shmr_fail_fast(
        EPIPE, events & SHMRING_READABLE ? "no live producer is left" : "no live consumer is left",
        0, 0);
}
