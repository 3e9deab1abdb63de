/* SPDX-License-Identifier: MIT */
/*
 * Attaching a handle: it maps the segment from a description that then holds the locks of its roles
 * (core/segment.h), and becomes a participant. And detaching.
 */
#ifndef SHMR_ATTACH_H
#define SHMR_ATTACH_H

#include "core/handle.h"

#define SHMR_ROLES (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* Options of a consumer that only some kinds know: `options` in kind.h. */
#define SHMR_CONSUMER_OPTIONS (SHMRING_RELIABLE | SHMRING_FROM_OLDEST | SHMRING_FROM_KEY)

/* In the flags of shmr_attach(), beside those of shmring_open(): the handle's descriptor is open
 * for reading only, though its role is SHMRING_CONSUMER. */
#define SHMR_READ_ONLY 0x80000000U

/*
 * Map the segment and take the roles of a handle that has its descriptor, header and geometry.
 * Returns 0 or -errno with the detail set. -ENOENT: it was opened by name, and the name is gone.
 */
int shmr_attach(shmring_t *q, unsigned flags, bool by_name);

/* Give the roles back. What the handle holds is recovered as if it had died. Wakes all sleepers. */
void shmr_attach_leave(shmring_t *q);

/*
 * Open another description of the segment through /proc. Where /proc is not mounted, open it by its
 * name, if the name still leads to the same file. Returns a descriptor, or -errno with the detail
 * set.
 */
int shmr_attach_reopen(int fd, const struct shmr_name *name, int flags);

/* Open the description that recovery needs (`kept` in core/segment.h), which an observer does not
 * have yet. Returns 0 or -errno with the detail set. */
int shmr_attach_keep(shmring_t *q);

#endif
