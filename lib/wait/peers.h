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
 * The handle's caller will be told of a hang-up. Returns -EPIPE. Where one participant waits for
 * each event, no other one is to be told: the segment notes how many peers had attached, and a
 * successor waits for the next one. Where several wait, the others may not have been told yet.
 */
int shmr_peers_hung_up(shmring_t *q, unsigned events);

#endif
