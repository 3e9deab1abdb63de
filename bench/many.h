/* SPDX-License-Identifier: MIT */
/*
 * Many producers and many consumers on one queue. The producers are the first members of the crew;
 * the members are pinned alternately to the two CPUs.
 *
 * All members stop by the clock. A member that is done yields to those that are not. So the
 * measurement also ends where more processes spin than there are CPUs, even under a real-time
 * policy.
 */
#ifndef BENCH_MANY_H
#define BENCH_MANY_H

#include "measure.h"

enum { MANY_SIZE_MIN = 8 }; /* a message begins with its producer and number, in a word */

/* The work of one member. Returns 0, or -1 with the reason in l. */
int many_run(struct link *l, struct shared *s, const struct plan *plan);

/* Leaves in s how many messages came and how many did not. Was every message received exactly once,
 * but for unsure messages of each producer? If not, fate becomes FAILED and says what is wrong. */
void many_verify(struct shared *s, struct crew crew, uint64_t unsure, struct fate *fate);

#endif
