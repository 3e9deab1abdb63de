/* SPDX-License-Identifier: MIT */
/* What the makers of pictures share. */
#ifndef BENCH_PLOTS_H
#define BENCH_PLOTS_H

#include "report.h"

enum { NAME_ROOM = 64, TRANSPORTS_MAX = 64 };

/* The pictures whose data and scripts are written. */
struct names {
    char name[TRANSPORTS_MAX * SIZES_MAX][NAME_ROOM];
    int n;
};

/* Open folder/name.suffix for writing. Returns NULL with errno. */
FILE *plots_open(const char *folder, const char *name, const char *suffix);

/* The beginning of a script, which makes the picture as SVG; and its end, which makes it once more
 * as PNG. */
void plots_begin(FILE *f, const char *name);
void plots_end(FILE *f, const char *name);

/* One picture for each queue and size of --mode mpmc. Returns 0, or -1 with errno. */
int plots_many(const struct results *r, const char *folder, struct names *names);

#endif
