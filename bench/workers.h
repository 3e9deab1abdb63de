/* SPDX-License-Identifier: MIT */
/* The processes of a measurement: their start, their end, and their failures. */
#ifndef BENCH_WORKERS_H
#define BENCH_WORKERS_H

#include "results.h"

/* Block the signals that end the program, until workers_run() or workers_interrupted() takes them.
 * Call it once, first. */
void workers_init(void);

/* Memory shared with the workers, or NULL. */
struct shared *workers_map(void);

/* Measure c once: results are left in s, and why there are none in c->fate. Returns 0, or the
 * number of the signal that interrupted it (everything is cleaned up then). */
int workers_run(struct cell *c, struct shared *s, const struct options *o);

/* The number of a signal that has come since and should end the program, or 0. */
int workers_interrupted(void);

/* End as signal number n would have ended the program. */
void workers_die(int n) __attribute__((noreturn));

/* Run a program in a folder. Returns its exit status, or -errno. */
int workers_spawn(const char *const argv[], const char *folder);

#endif
