/* SPDX-License-Identifier: MIT */
/* --mode idle: what consumers cost that wait and get nothing. */
#ifndef BENCH_IDLE_H
#define BENCH_IDLE_H

#include "options.h"

/* Measure and print the table. Returns the exit status. */
int idle_run(const struct options *o);

#endif
