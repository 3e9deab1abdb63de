/* SPDX-License-Identifier: MIT */
/* Real memory or disk blocks for every page of a segment, so that no access raises SIGBUS later. */
#ifndef SHMR_ALLOCATE_H
#define SHMR_ALLOCATE_H

#include "core/layout.h"

/* For a new file that no other process has open. Returns 0, -ENOSPC, -EFBIG, -EOPNOTSUPP or another
 * error, with the detail set. */
int shmr_allocate_new(int fd, const struct shmr_geometry *g);

/* For a file that other processes may be writing to. It may have holes, as a sparse copy has.
 * Returns as above. */
int shmr_allocate_rest(int fd, const struct shmr_geometry *g);

#endif
