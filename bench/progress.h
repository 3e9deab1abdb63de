/* SPDX-License-Identifier: MIT */
/* Progress on stderr: on a terminal one line that is written over, elsewhere one line a round. */
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
