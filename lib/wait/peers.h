/* SPDX-License-Identifier: MIT */
/*
 * Those whom a waiting participant waits for: SHMRING_WAIT_PEERS and SHMRING_WAIT_HANGUP of
 * shmring_set_waiting(). Asks the kernel.
 */
#ifndef SHMR_PEERS_H
#define SHMR_PEERS_H

#include "core/handle.h"

/* May the handle go on waiting for the events? 0, or -EPIPE with the detail: no live participant is
 * left that could bring one about, and the handle does not wait for the first one. */
int shmr_peers_check(shmring_t *q, unsigned events);

/*
 * The caller is told so: -EPIPE. Where one participant waits for each event it is the only one to
 * be told, so the segment notes which peers it knew. Its successor waits for the next one. Where
 * several wait, others may have to be told yet.
 */
int shmr_peers_hung_up(shmring_t *q, unsigned events);

#endif
