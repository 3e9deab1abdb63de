/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: would a receive find a message now, or a send find room? A waiting participant asks
 * this before it sleeps. The functions claim nothing. A lap and a corrupt queue count as ready, so
 * that the next call reports them. No system call, bounded.
 */
#ifndef SHMR_BROADCAST_READY_H
#define SHMR_BROADCAST_READY_H

#include "broadcast/ring.h"

static inline bool shmr_broadcast_is_readable(struct shmr_broadcast_consumer *c)
{
    return shmr_broadcast_poll(&c->ring, c->position) != 0 ||
           shmr_broadcast_check_whole(c, c->position - SHMR_BROADCAST_SPARE) < 0;
}

/* Room for a message of len bytes, at most max_message? */
static inline bool shmr_broadcast_is_writable(struct shmr_broadcast_producer *p, size_t len)
{
    const uint64_t end = p->position + shmring_record_size((uint32_t)len);

    if (p->rows == SHMR_BROADCAST_FIRST_CONSUMER ||
        (int64_t)(p->horizon - SHMR_BROADCAST_SPARE - end) >= 0 ||
        shmr_broadcast_may_move(p, shmr_broadcast_wants(p, end)))
        return true;
    if (!shmr_broadcast_holder_has_moved(p))
        return false;
    shmr_broadcast_scan(p);
    return shmr_broadcast_may_move(p, shmr_broadcast_wants(p, end));
}

#endif
