/* SPDX-License-Identifier: MIT */
/*
 * Recovery: when dead participants are looked for, how many, and in which order. Asks the kernel;
 * never on a fast path. What is made good for one of them is its kind's: recover and recover_some
 * in kind.h.
 */
#ifndef SHMR_RECOVERY_H
#define SHMR_RECOVERY_H

#include "core/handle.h"

/* All participants of a queue together sweep at most once in this time, 50 ms. */
#define SHMR_SWEEP_NS UINT64_C(50000000)

/* A handle goes on with a dead participant that it did not finish after this time, 10 ms. */
#define SHMR_SWEEP_ON_NS UINT64_C(10000000)

/*
 * For the kinds: this much was recovered. Wake those who wait for it.
 */
void shmr_recovery_wake(shmring_t *q, const struct shmr_recovered *done);

/* For the kinds: the dead owner of a row, which the row still names, was recovered. It is counted,
 * and goes into the handle's report and to the tracepoint. */
void shmr_recovery_note(shmring_t *q, uint32_t row, const struct shmr_recovered *done);

/* The same in the report of another handle, or of none (q: NULL). */
void shmr_recovery_report(shmring_t *q, uint32_t row, const struct shmring_participant *dead,
                          const struct shmr_recovered *done);

/* The tracepoint of a recovery: the row still names its last owner. */
void shmr_recovery_trace(const shmring_t *q, uint32_t row, const struct shmr_recovered *done);

/* Recover the dead participants, `most` at most and others the next time. Returns how many, or
 * -errno with the detail set. */
int shmr_recover_dead(shmring_t *q, uint32_t most);

/* Upper limit on the dead participants that a call recovers which was not asked to: opening, and a
 * wait that would report a hang-up. */
uint32_t shmr_sweep_rows(const shmring_t *q);

/*
 * Sweep: find dead participants, and recover what they held; unless any participant did within the
 * last SHMR_SWEEP_NS, or this handle. One call tests 32 locks at most, and recovers `units` of the
 * capacity; the next one goes on, which may come after SHMR_SWEEP_ON_NS. May run in a signal
 * handler. Nothing is done where the dead hold nothing that others need (kind.h: recover_some).
 */
void shmr_sweep(shmring_t *q, uint64_t units);

/* Units in a call that its caller expects to return at once, and in one that was asleep. */
#define SHMR_SWEEP_UNITS        (UINT64_C(1) << 14)
#define SHMR_SWEEP_UNITS_ASLEEP (UINT64_C(1) << 20)

#endif
