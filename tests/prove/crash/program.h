/* SPDX-License-Identifier: MIT */
/* What the programs have in common: their arguments, and the summary line at their end. */
#ifndef CRASH_PROGRAM_H
#define CRASH_PROGRAM_H

#include <stdbool.h>

extern struct options {
    bool all, quick;
    const char *operation, *state; /* NULL: all */
} options;

/* Read the arguments; USAGE has the options that this program knows, before [OPERATION [STATE]].
 * Ends the process with code 2 if they are wrong, with 77 where processes may not be stepped. */
void program_begin(int argc, char **argv, const char *usage);

/* Do the arguments ask for this operation, or this state? */
bool chosen(const char *option, const char *name);

/* The summary line of a Criterion suite, for tests/support/summarise. Returns the exit code. */
int program_end(unsigned cases, unsigned failed, unsigned crashed);

#endif
