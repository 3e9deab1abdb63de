/* SPDX-License-Identifier: MIT */
/* Locking the rows of the roles that a handle is opened with, and saying why that cannot be. */
#ifndef SHMR_ROLES_H
#define SHMR_ROLES_H

#include "core/handle.h"

/*
 * Lock the rows of q->roles through the description fd; mpmc: q->row is then the row. A recoverer
 * or a remover (shmring gc) lets go of a row's lock soon, so the call waits for it, 200 ms at most.
 * 0, -EBUSY (spsc: another participant has the role), -EUSERS (mpmc: all rows are taken), or
 * another error of fcntl(2), with the detail.
 */
int shmr_roles_lock(shmring_t *q, int fd);

#endif
