/* SPDX-License-Identifier: MIT */
/* shmring_dump() of this kind: see dump in kind.h. */
#ifndef SHMR_SPSC_DUMP_H
#define SHMR_SPSC_DUMP_H

#include "kind.h"

int shmr_spsc_dump(const struct shmr_dump *d);

#endif
