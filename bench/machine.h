/* SPDX-License-Identifier: MIT */
/* What the figures were measured on, for the records. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdbool.h>

struct machine {
    char cpu[128];
    long cpus; /* on line */
    char kernel[256];
    char compiler[128];
    bool optimised;
    char library[32];
    char date[32]; /* UTC */
    const char *clock;
    double clock_ns; /* cost of one reading */
};

void machine_describe(struct machine *m);

#endif
