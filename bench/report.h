/* SPDX-License-Identifier: MIT */
/* The results, for people and for programs. Functions that write files return 0 or -1 with
 * errno. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "results.h"

void report_list(void);
void report_table(const struct results *r);
int report_json(const struct results *r, const char *path);
/* The beginning of each JSON file: the program's version, the date, the machine and the options. */
void report_json_begin(FILE *f, const struct options *o, const struct machine *m);
int report_csv(const struct results *r, const char *path);

/* Write data and gnuplot scripts into a folder (made if missing), run gnuplot there and print the
 * names of the pictures. If gnuplot is not installed, the files stay, and a message says so.
 * Returns 1 when gnuplot failed. */
int report_plots(const struct results *r, const char *folder);

/* "8 B", "4 KiB" */
const char *report_size(char *to, size_t room, size_t size);

/* Close f. Returns 0, or -1 when a write to it has failed. */
int report_finish(FILE *f);

#endif
