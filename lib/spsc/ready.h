/* SPDX-License-Identifier: MIT */
/*
 * SPSC: would a receive find a message now, or a send find room? A waiting participant asks this
 * before it sleeps. The functions claim nothing and move only private cursors. A corrupt queue
 * counts as ready, so that the next send or receive returns -EBADMSG. No system call, bounded.
 */
#ifndef SHMR_SPSC_READY_H
#define SHMR_SPSC_READY_H

#include "spsc/ring.h"

static inline bool shmr_spsc_is_readable(const struct shmr_spsc_consumer *c)
{
    return shmr_spsc_poll(c->data, c->mask, c->position) != 0;
}

/* Room for a message of len bytes, at most max_message? */
static inline bool shmr_spsc_is_writable(struct shmr_spsc_producer *p, size_t len)
{
    return !shmr_spsc_see_head(p, shmr_spsc_exact_head(p)) ||
           shmr_spsc_has_room(p, shmring_record_size((uint32_t)len) + SHMR_SPSC_SPARE);
}

#endif
