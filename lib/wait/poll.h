/* SPDX-License-Identifier: MIT */
/* Descriptors to wait by: shmring_fd(), shmring_fd_arm(). */
#ifndef SHMR_FD_H
#define SHMR_FD_H

#include "core/handle.h"

/* A new handle has no such descriptors. */
void shmr_poll_init(shmring_t *q);

/* Close the handle's descriptors to wait by, while that of its segment is still open. */
void shmr_poll_close(shmring_t *q);

#endif
