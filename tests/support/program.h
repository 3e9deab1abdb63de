/* SPDX-License-Identifier: MIT */
/* Programs of the build tree, run by tests. A program or a wait that takes longer than two minutes
 * has failed. */
#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PROGRAM_DEADLINE_S = 120 };

struct program {
    pid_t pid;
    int out, err; /* memfds: the output can be read while the program runs */
};

/* What a finished program did. */
struct outcome {
    int status; /* exit code, or 128 + signal */
    char *out;  /* ends with a NUL; never NULL */
    size_t out_length;
    char *err;
};

/* Returns a descriptor from which these bytes can be read. */
int input_of(const void *bytes, size_t n);

/*
 * Start argv, whose program is a path in the build tree unless it starts with a slash. It reads
 * from input (-1: nothing) and is killed when this process dies. output: a descriptor to write to;
 * -1: a memfd.
 */
struct program program_start(int input, int output, const char *const argv[]);

/* Wait until the program has written text to its standard output. */
void program_await_output(const struct program *program, const char *text);

/* What the program wrote to its standard output so far; the caller frees it. */
char *program_output(const struct program *program);

/* Is the program still running? Does not wait. */
bool program_runs(const struct program *program);

/* Wait for its end. */
struct outcome program_finish(struct program *program);

void outcome_free(struct outcome *outcome);

/* The same time limit for other events that tests wait for: while (!there)
 * pause_until(&deadline). */
struct deadline {
    long long ns; /* 0: not set yet */
};
void pause_until(struct deadline *deadline, const char *what);

#endif
