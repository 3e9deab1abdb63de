/* SPDX-License-Identifier: MIT */
/* What the programs have in common: their arguments, and the line that they end with. */
#ifndef CRASH_PROGRAM_H
#define CRASH_PROGRAM_H

#include <stdbool.h>

extern struct options {
    bool all, quick;
    const char *operation, *state; /* NULL: each */
} options;

/* Reads them; USAGE has the options that this program knows, before [OPERATION [STATE]]. Ends the
 * process where it cannot be done: with code 2, or 77 where processes may not be stepped. */
void program_begin(int argc, char **argv, const char *usage);

/* Is this operation, or this state, wanted? */
bool chosen(const char *option, const char *name);

/* The summary line of a Criterion suite, for tests/summarise. Returns the exit code. */
int program_end(unsigned cases, unsigned failed, unsigned crashed);

#endif
