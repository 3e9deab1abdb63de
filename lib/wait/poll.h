/* SPDX-License-Identifier: MIT */
/* Descriptors to wait by: shmring_fd(), shmring_fd_arm(). */
#ifndef SHMR_FD_H
#define SHMR_FD_H

#include "core/handle.h"

/* A new handle has none of them. */
void shmr_poll_init(shmring_t *q);

/* Close those of a handle; the descriptor of its segment is still open. */
void shmr_poll_close(shmring_t *q);

#endif
