/* SPDX-License-Identifier: MIT */
/*
 * Recovery: when the library searches for dead participants, how many it recovers, and in which
 * order. It makes system calls, so it never runs on a fast path. How one dead participant is
 * recovered is up to the kind: recover and recover_some in kind.h.
 */
#ifndef SHMR_RECOVERY_H
#define SHMR_RECOVERY_H

#include "core/handle.h"

/* All participants of a queue together begin at most one sweep in this time, 50 ms. */
#define SHMR_SWEEP_NS UINT64_C(50000000)

/* A handle that did not finish a dead participant goes on with it after this time, 10 ms. */
#define SHMR_SWEEP_ON_NS UINT64_C(10000000)

/*
 * For the kinds: wake the participants that wait for what was recovered.
 */
void shmr_recovery_wake(shmring_t *q, const struct shmr_recovered *done);

/* For the kinds: the dead owner of a row was recovered, and the row still names it. Counts the
 * death, and adds it to the handle's report and to the tracepoint. */
void shmr_recovery_note(shmring_t *q, uint32_t row, const struct shmr_recovered *done);

/* Add a recovery to the handle's report. */
void shmr_recovery_report(shmring_t *q, uint32_t row, const struct shmring_participant *dead,
                          const struct shmr_recovered *done);

/* For the kinds: this handle takes over the row of a dead owner, and has made good what that left.
 * Counts and traces the death. The row still names the dead owner. */
void shmr_recovery_takeover(shmring_t *q, uint32_t row);

/*
 * For `recover` of kinds where a successor makes good what a dead owner left: do so through a
 * temporary handle, with `resume`, and free the row. That handle maps the segment as the role
 * needs, and the SIGBUS handler knows it. Adds the recovery to the report of q.
 */
int shmr_recovery_by_successor(shmring_t *q, uint32_t row, uint32_t role,
                               int (*resume)(shmring_t *successor));

/* The tracepoint of a recovery. The row must still name the dead owner. */
void shmr_recovery_trace(const shmring_t *q, uint32_t row, const struct shmr_recovered *done);

/* Recover `most` dead participants at most; the next call begins with the next row. Returns how
 * many, or -errno with the detail set. */
int shmr_recover_dead(shmring_t *q, uint32_t most);

/* Upper limit on the dead participants that a call recovers without being asked: opening, and a
 * wait that is about to report a hang-up. */
uint32_t shmr_sweep_rows(const shmring_t *q);

/*
 * Sweep: find dead participants and recover what they held, unless this handle or another
 * participant did so within the last SHMR_SWEEP_NS. One call tests at most 32 locks and recovers at
 * most `units` units of the capacity. If a dead participant is not finished then, a call after
 * SHMR_SWEEP_ON_NS goes on with it. May run in a signal handler. Does nothing for kinds without
 * recover_some (kind.h), where dead participants hold nothing that others need.
 */
void shmr_sweep(shmring_t *q, uint64_t units);

/* The same, whenever the last sweep was. */
void shmr_sweep_now(shmring_t *q, uint64_t units);

/* Units for a call whose caller expects it to return at once, and for a call that has slept. */
#define SHMR_SWEEP_UNITS        (UINT64_C(1) << 14)
#define SHMR_SWEEP_UNITS_ASLEEP (UINT64_C(1) << 20)

#endif
