/* SPDX-License-Identifier: MIT */
/*
 * --mode broadcast: one producer, and each consumer gets every message. The producer has the first
 * CPU; all consumers share the second one, so they yield or sleep.
 */
#ifndef BENCH_BROADCAST_H
#define BENCH_BROADCAST_H

#include "measure.h"

enum { BROADCAST_SIZE_MIN = 8 }; /* a message begins with its number, in a word */

/* Messages a second, where --rate does not say. */
enum { BROADCAST_LATENCY_RATE = 100000, BROADCAST_SLOW_RATE = 1000000 };

/* Get memory for the times at which messages come, before the processes are forked. Returns 0, or
 * -1 with errno. */
int broadcast_prepare(const struct plan *plan, struct crew crew);

/* The work of one member. Returns 0, or -1 with the reason in l. */
int broadcast_run(struct link *l, struct shared *s, const struct plan *plan);

/* BROADCAST_LATENCY, when the processes have ended: how long messages took to the first consumer
 * and to the last one, in ticks. A consumer that missed a message does not count for it. */
void broadcast_arrivals(struct crew crew, struct histogram *first, struct histogram *last);

#endif
