/* SPDX-License-Identifier: MIT */
/* Polling before a sleep: for how long is learned from the waits of late. */
#ifndef SHMR_SPIN_H
#define SHMR_SPIN_H

#include "core/handle.h"

#define SHMR_SPIN_MOST_NS UINT32_C(50000) /* unless told otherwise: about what sleeping costs */

/* Look for a while: what is there, or 0 and since when it was looked for. */
unsigned shmr_spin(shmring_t *q, unsigned events, int64_t deadline, int64_t *from);

/* The wait that shmr_spin() began at `from` is over. */
void shmr_spin_learn(shmring_t *q, unsigned events, int64_t from);

#endif
