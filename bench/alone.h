/* SPDX-License-Identifier: MIT */
/* --mode alone: what a message costs in one process that sends and receives in turn, with no other
 * process at the queue. */
#ifndef BENCH_ALONE_H
#define BENCH_ALONE_H

#include "measure.h"

/* Returns 0 with pair_ns and exchange_ns in s, or -1 with the reason in l. */
int alone_run(struct link *l, struct shared *s, const struct plan *plan);

#endif
