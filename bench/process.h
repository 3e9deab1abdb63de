/* SPDX-License-Identifier: MIT */
/* What the modes share that start processes of their own, and not by workers.h. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdio.h>

#include "options.h"

/* Say on standard error that a call failed, and the library's reason. Returns -1. */
int complain(const char *call, int error);

/* Pin this process to the first (0) or the second (1) of --cpus, unless --no-pin says otherwise. */
void pin(const struct options *o, int which);

/* Write the JSON file that --json asks for: rounds() writes what stands between the brackets of
 * "rounds". Returns 0, or -1, having said why. */
int write_json(const struct options *o, void (*rounds)(FILE *f, const void *figures),
               const void *figures);

#endif
