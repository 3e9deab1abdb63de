/* SPDX-License-Identifier: MIT */
/*
 * --mode stopped, the parent's part. The processes send and receive. At a random moment, so
 * anywhere in its work, one of them is stopped or killed. The messages that the others pass on
 * among themselves are counted before, during and after. A stopped process is continued at the end;
 * a killed one is not replaced.
 */
#ifndef BENCH_STOPPED_H
#define BENCH_STOPPED_H

#include <sys/types.h>

#include "measure.h"

struct stopped {
    struct crew crew;
    enum harm harm;
    int victim;
    uint64_t length; /* length of each of the three phases, ticks */
    enum phase { STARTING, BEFORE, DURING, AFTER, ENDING } phase;
    uint64_t from, until; /* of this phase */
    uint64_t passed;      /* when it began */
};

void stopped_init(struct stopped *t, struct crew crew, const struct plan *plan);

/* Do what is due now; victim is 0 when it has ended. Returns the seconds until the next call, or
 * less than 0 when processes that still run did not end in time. */
double stopped_step(struct stopped *t, pid_t victim, struct shared *s);

#endif
