/* SPDX-License-Identifier: MIT */
/* Real memory or disk blocks for every page of a segment, so that no access raises SIGBUS later. */
#ifndef SHMR_ALLOCATE_H
#define SHMR_ALLOCATE_H

#include "core/layout.h"

/* A new file that nobody else has open. 0, -ENOSPC, -EFBIG, -EOPNOTSUPP and others, with the
 * detail. */
int shmr_allocate_new(int fd, const struct shmr_geometry *g);

/* A file that others may be writing to. It may have holes: a sparse copy has. As above. */
int shmr_allocate_rest(int fd, const struct shmr_geometry *g);

#endif
