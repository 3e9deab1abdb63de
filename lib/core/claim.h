/* SPDX-License-Identifier: MIT */
/*
 * Locking the rows of the roles that a handle is opened with, for the claim_row of the kinds
 * (kind.h). A recoverer or a remover (shmring gc) releases a row's lock soon, so shmr_claim() waits
 * for it, but 200 ms at most, because that process may have been stopped.
 */
#ifndef SHMR_CLAIM_H
#define SHMR_CLAIM_H

#include "core/handle.h"

/* In place of a row's number: any row from the kind's first_row on, a free one if there is one,
 * else that of a dead participant. shmr_claim() stores its number in q->row. */
#define SHMR_ANY_ROW UINT32_MAX

/*
 * Lock the row through the description fd. Returns 0; or -EBUSY without a detail, and *holder (enum
 * shmr_holder in core/rows.h) says whose lock is in the way; or another error of fcntl(2) with the
 * detail set.
 */
int shmr_claim(shmring_t *q, int fd, uint32_t row, int *holder);

/*
 * Lock the row that only one participant at a time can have, as the queue's `role`. Returns 0; or
 * -EBUSY and the detail names the participant that has it; or another error with the detail set.
 */
int shmr_claim_role(shmring_t *q, int fd, uint32_t row, const char *role);

/* Returns -EBUSY; the detail says that a remover has the lock. */
int shmr_claim_say_removed(void);

#endif
