/* SPDX-License-Identifier: MIT */
/* What a message costs when nobody else is there: one process that sends and receives in turn. */
#ifndef BENCH_ALONE_H
#define BENCH_ALONE_H

#include "measure.h"

/* Returns 0 with pair_ns and exchange_ns in s, or -1 with the reason in l. */
int alone_run(struct link *l, struct shared *s, const struct plan *plan);

#endif
