/* SPDX-License-Identifier: MIT */
/* shmring_dump() of this kind: see dump in kind.h. */
#ifndef SHMR_MPMC_DUMP_H
#define SHMR_MPMC_DUMP_H

#include "kind.h"

int shmr_mpmc_dump(const struct shmr_dump *d);

#endif
