/* SPDX-License-Identifier: MIT */
/*
 * --mode stopped, as the parent of the processes sees it. They pass messages on; at a random
 * moment, so in the middle of whatever it is doing, one of them is stopped or killed. What counts
 * are the messages that the others pass on among themselves: before, during and after. Who is
 * stopped goes on in the end; nobody replaces who is killed.
 */
#ifndef BENCH_STOPPED_H
#define BENCH_STOPPED_H

#include <sys/types.h>

#include "measure.h"

struct stopped {
    struct crew crew;
    enum harm harm;
    int victim;
    uint64_t length; /* of each of the three times, ticks */
    enum phase { STARTING, BEFORE, DURING, AFTER, ENDING } phase;
    uint64_t from, until; /* of this phase */
    uint64_t passed;      /* when it began */
};

void stopped_init(struct stopped *t, struct crew crew, const struct plan *plan);

/* Do what is due; victim is 0 when it has ended. Returns the seconds until something may be due
 * again, or less than 0 when whoever still runs does not end by itself. */
double stopped_step(struct stopped *t, pid_t victim, struct shared *s);

#endif
