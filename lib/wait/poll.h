/* SPDX-License-Identifier: MIT */
/* Descriptors to wait by: shmring_fd(), shmring_fd_arm(). */
#ifndef SHMR_FD_H
#define SHMR_FD_H

#include "core/handle.h"

/* A new handle has none. */
void shmr_poll_init(shmring_t *q);

/* Close those that it has; the segment's own descriptor is still open. */
void shmr_poll_close(shmring_t *q);

#endif
