/* SPDX-License-Identifier: MIT */
/* Plays one scene after another on the same segment: restore it, start processes, stop them at a
 * point. */
#ifndef PLAY_H
#define PLAY_H

#include "crash.h"

/*
 * A point in an operation: behind a number of its system calls and a number of instructions. To get
 * there without stepping all the way, the process runs past the system calls, then to a landmark,
 * an instruction that it reaches only once before the next system call, and is stepped from there.
 */
struct play_point {
    unsigned system_calls;
    unsigned steps;
    unsigned long landmark; /* address of that instruction, or 0 */
    unsigned rest;          /* steps from there */
    bool matters; /* the last step changed the segment or the seat, or was a system call */
};

struct play_points {
    struct play_point *at;
    size_t count;
};

/* A world with a new queue in the given state. */
void play_open(struct crash_world *w, const struct crash_kind *kind,
               const struct crash_state *state);
void play_close(struct crash_world *w);

/* Restore the segment of the prepared state; no participant may be attached. */
void play_restore(struct crash_world *w);

/* Start a process and stop it before the operation; it uses that seat. 0: no sense in this
 * state. */
pid_t play_start(struct crash_world *w, const struct crash_operation *operation, int seat);

/* Let the process run to the point. False: its operation ended before. */
bool play_advance(struct crash_world *w, pid_t child, int seat, const struct play_point *point);

/*
 * Step through the operation of a process from play_start(), to its end, and note every point; the
 * last one is behind its end. If the operation attaches, at most PLAY_LONGEST instructions between
 * two system calls are stepped. The instructions beyond must not change the segment (checking the
 * CRC of a header: 40,000 instructions).
 */
#define PLAY_LONGEST 5000
void play_find_points(struct crash_world *w, pid_t child, int seat, struct play_points *points);

/* A digest of the segment's content without the participants: equal digests mean equal content. */
uint64_t play_digest(struct crash_world *w);

#endif
