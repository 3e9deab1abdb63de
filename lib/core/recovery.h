/* SPDX-License-Identifier: MIT */
/* Finding dead participants and recovering what they held. Asks the kernel; never on a fast path.
 */
#ifndef SHMR_RECOVERY_H
#define SHMR_RECOVERY_H

#include "core/handle.h"

/* How often, at most, all participants of a queue together look for dead ones. */
#define SHMR_SWEEP_NS UINT64_C(50000000)

/* How often, at most, a handle goes on with a dead participant that it did not finish. */
#define SHMR_SWEEP_ON_NS UINT64_C(10000000)

/* Recover what the row's last owner held. The caller holds the row's lock. False: something is
 * left. */
bool shmr_recover_row(shmring_t *q, uint32_t row);

/* The tracepoint of a recovery: the row still names its last owner. */
void shmr_trace_recovery(const shmring_t *q, uint32_t row, const struct shmr_mpmc_recovered *done);

/* Recover the dead participants, `most` at most and others the next time. Returns how many, or
 * -errno with the detail set. */
int shmr_recover_dead(shmring_t *q, uint32_t most);

/* How many of them when a queue is opened, which is not asked for. */
uint32_t shmr_sweep_rows(const shmring_t *q);

/*
 * Look for the dead, if neither anybody did within the last SHMR_SWEEP_NS nor this handle, and
 * recover what they held. A call tests 32 locks at most, and looks at `blocks` blocks; what is left
 * is for the next one, which may come after SHMR_SWEEP_ON_NS. May run in a signal handler.
 */
void shmr_sweep(shmring_t *q, uint64_t blocks);

/* Blocks on the way out of a call that the caller expects to return at once; and of one that was
 * asleep. */
#define SHMR_SWEEP_BLOCKS        (UINT64_C(1) << 14)
#define SHMR_SWEEP_BLOCKS_ASLEEP (UINT64_C(1) << 20)

/* CLOCK_MONOTONIC to within a few milliseconds, in ns. */
uint64_t shmr_coarse_now(void);

#endif
