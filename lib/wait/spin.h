/* SPDX-License-Identifier: MIT */
/* Polling before a sleep, for a time that the handle learns from its last waits. */
#ifndef SHMR_SPIN_H
#define SHMR_SPIN_H

#include "core/handle.h"

#define SHMR_SPIN_MOST_NS UINT32_C(50000) /* the default: about what a sleep costs */

/* Poll for the time learned. Returns the events that are there; or 0, and then *from is the time
 * when the shortest spin was over, if this one went on after that. */
unsigned shmr_spin(shmring_t *q, unsigned events, int64_t deadline, int64_t *from);

/* The wait that shmr_spin() began at `from` is over. */
void shmr_spin_learn(shmring_t *q, unsigned events, int64_t from);

#endif
