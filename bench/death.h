/* SPDX-License-Identifier: MIT */
/* --mode broadcast-death: how long the producer waits for a reliable consumer that was killed or
 * stopped. */
#ifndef BENCH_DEATH_H
#define BENCH_DEATH_H

#include "options.h"

/* Measure and print the table. Returns the exit status. */
int death_run(const struct options *o);

#endif
