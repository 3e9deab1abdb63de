/* SPDX-License-Identifier: MIT */
/*
 * Locking the rows of the roles that a handle is opened with: what the kinds' claim_row (kind.h) is
 * made of. A recoverer or a remover (shmring gc) lets go of a row's lock soon, so these wait for
 * it, 200 ms at most: it may have been stopped.
 */
#ifndef SHMR_CLAIM_H
#define SHMR_CLAIM_H

#include "core/handle.h"

/* In place of a row: any row, a free one if there is one, else that of a dead participant. It is
 * q->row then. */
#define SHMR_ANY_ROW UINT32_MAX

/*
 * Lock the row through the description fd. 0; -EBUSY, and *holder (enum shmr_holder in core/rows.h)
 * says whose lock is in the way, without a detail; or another error of fcntl(2) with the detail.
 */
int shmr_claim(shmring_t *q, int fd, uint32_t row, int *holder);

/* -EBUSY, with the detail that a remover has the lock. */
int shmr_claim_say_removed(void);

#endif
