/* SPDX-License-Identifier: MIT */
/*
 * Attaching a handle: mapping the segment from a description that then holds the locks of the
 * handle's roles (core/segment.h), and becoming a participant; and the reverse.
 */
#ifndef SHMR_ATTACH_H
#define SHMR_ATTACH_H

#include "core/handle.h"

#define SHMR_ROLES (SHMRING_PRODUCER | SHMRING_CONSUMER)

/*
 * The handle has its descriptor, header and geometry: map it, take the roles. 0 or -errno with the
 * detail. -ENOENT: it was opened by name, and the name is gone.
 */
int shmr_attach(shmring_t *q, unsigned flags, bool by_name);

/* Give the roles back: what the handle holds is recovered as if it had died, and sleepers wake. */
void shmr_attach_leave(shmring_t *q);

/*
 * Another description of the segment: through /proc; where that is not mounted by its name, if it
 * is the same file that stands there. A descriptor or -errno with the detail.
 */
int shmr_attach_reopen(int fd, const struct shmr_name *name, int flags);

/* An observer has no description to recover by (core/segment.h): open it. 0 or -errno with the
 * detail. */
int shmr_attach_keep(shmring_t *q);

#endif
