/* SPDX-License-Identifier: MIT */
/* What recovery needs of attaching. */
#ifndef SHMR_ATTACH_H
#define SHMR_ATTACH_H

#include "core/handle.h"

/* An observer has no description to recover by (segment.h): open it. 0 or -errno with the detail.
 */
int shmr_attach_keep(shmring_t *q);

/*
 * spsc: make good what the dead owner of a row left, and free the row, which the caller has locked
 * through q->kept. 0 or -errno with the detail.
 */
int shmr_attach_repair(const shmring_t *q, uint32_t row);

#endif
