/* SPDX-License-Identifier: MIT */
/*
 * The peers of a waiting participant: SHMRING_WAIT_PEERS and SHMRING_WAIT_HANGUP of
 * shmring_set_waiting(). Makes system calls.
 */
#ifndef SHMR_PEERS_H
#define SHMR_PEERS_H

#include "core/handle.h"

/* May the handle go on waiting for the events? 0, or -EPIPE with the detail: an event has no live
 * peer, and the handle does not wait for the first one. */
int shmr_peers_check(shmring_t *q, unsigned events);

/*
 * The call returns -EPIPE because all peers have left: note that, and return -EPIPE. Where one
 * participant waits for each event, the segment notes how many peers had attached until then, so
 * that a successor waits for the next peer. Where several wait, the segment notes nothing, because
 * the other waiters may still have to return -EPIPE.
 */
int shmr_peers_hung_up(shmring_t *q, unsigned events);

#endif
