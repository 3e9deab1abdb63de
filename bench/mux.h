/* SPDX-License-Identifier: MIT */
/* --mode mux: what it costs to wait for many queues of which one is busy. */
#ifndef BENCH_MUX_H
#define BENCH_MUX_H

#include "options.h"

/* Measure and print the table. Returns the exit status. */
int mux_run(const struct options *o);

#endif
