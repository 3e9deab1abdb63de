/* SPDX-License-Identifier: MIT */
/* One scene after another on the same segment: restore it, start processes, stop them at a point.
 */
#ifndef PLAY_H
#define PLAY_H

#include "crash.h"

/*
 * A point in an operation: behind so many of its system calls, and then so many instructions. How
 * to get there without stepping all the way: past the system calls, to an instruction that it meets
 * only once before the next one, and the rest in steps.
 */
struct play_point {
    unsigned system_calls;
    unsigned steps;
    unsigned long landmark; /* that instruction, or 0 */
    unsigned rest;          /* steps from there */
    bool matters;           /* the last step changed what others see, or was a system call */
};

struct play_points {
    struct play_point *at;
    size_t count;
};

/* A world with a new queue in the given state. */
void play_open(struct crash_world *w, const struct crash_kind *kind,
               const struct crash_state *state);
void play_close(struct crash_world *w);

/* Everything as it was when the state had been prepared; nobody may be attached. */
void play_restore(struct crash_world *w);

/* A process that is about to run the operation, with that seat; 0: no sense in this state. */
pid_t play_start(struct crash_world *w, const struct crash_operation *operation, int seat);

/* Let it run to the point. False: it was done before. */
bool play_advance(struct crash_world *w, pid_t child, int seat, const struct play_point *point);

/*
 * Walk through the operation of a process from play_start(), to its end, and note every point; the
 * last one is behind its end.
 * Of one that attaches at most PLAY_LONGEST instructions between two system calls are walked; what
 * lies beyond must leave the segment as it is (checking the CRC of a header: 40,000 instructions).
 */
#define PLAY_LONGEST 5000
void play_find_points(struct crash_world *w, pid_t child, int seat, struct play_points *points);

/* What the segment holds now, but for who is attached: equal digests, equal content. */
uint64_t play_digest(struct crash_world *w);

#endif
