/* SPDX-License-Identifier: MIT */
/* On stderr: a line that is written over on a terminal, a line a round elsewhere. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include "results.h"

struct progress {
    bool quiet;
    bool terminal;
    int steps; /* measurements in all */
    int done;
    double started; /* seconds */
};

void progress_start(struct progress *p, const struct results *r);
void progress_step(struct progress *p, const struct cell *c, int round, int rounds);
void progress_end(struct progress *p);

#endif
