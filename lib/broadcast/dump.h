/* SPDX-License-Identifier: MIT */
/* shmring_dump() of this kind: see dump in kind.h. */
#ifndef SHMR_BROADCAST_DUMP_H
#define SHMR_BROADCAST_DUMP_H

#include "kind.h"

int shmr_broadcast_dump(const struct shmr_dump *d);

#endif
