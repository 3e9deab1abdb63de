/* SPDX-License-Identifier: MIT */
/* Finding dead participants and recovering what they held. Asks the kernel; never on a fast path.
 */
#ifndef SHMR_RECOVERY_H
#define SHMR_RECOVERY_H

#include "handle.h"

/* How often, at most, all participants of a queue together look for dead ones. */
#define SHMR_SWEEP_NS UINT64_C(50000000)

/* Recover what the row's last owner held. The caller holds the row's lock. False: something is
 * left. */
bool shmr_recover_row(shmring_t *q, uint32_t row);

/* The tracepoint of a recovery: the row still names its last owner. */
void shmr_trace_recovery(const shmring_t *q, uint32_t row, const struct shmr_mpmc_recovered *done);

/*
 * Recover the dead participants, so many at most and others the next time. Returns how many, or
 * -errno with the detail set. Not patient: skip what another thread's attaching or forking stands
 * in the way of.
 */
int shmr_recover_dead(shmring_t *q, bool patient, uint32_t most);

/* How many of them when somebody waits for the call, who did not ask for it. */
uint32_t shmr_sweep_rows(const shmring_t *q);

/* The same, if neither anybody did within the last SHMR_SWEEP_NS nor this handle. May run in a
 * signal handler. */
void shmr_sweep(shmring_t *q);

/* CLOCK_MONOTONIC to within a few milliseconds, in ns. */
uint64_t shmr_coarse_now(void);

#endif
