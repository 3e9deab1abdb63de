/* SPDX-License-Identifier: MIT */
/* What create.c uses of open.c, for SHMRING_OPEN_OR_CREATE. */
#ifndef SHMR_OPEN_H
#define SHMR_OPEN_H

#include "core/attach.h"

#define SHMR_OPEN_OPTIONS                                                                          \
    (SHMRING_PREFAULT | SHMRING_MLOCK | SHMRING_ASYMMETRIC_FENCE | SHMRING_SEALED |                \
     SHMRING_CORE_DUMP | SHMR_CONSUMER_OPTIONS)

/* What SHMRING_OPEN_OR_CREATE would have created. */
struct shmr_wanted {
    const struct shmr_geometry *geometry;
    uint32_t mode;
};

/* Open the queue of that name. wanted: NULL, or the parameters that it must have, else -EEXIST. */
int shmr_open_named(shmring_t **q, const struct shmr_name *name, unsigned flags,
                    const struct shmr_wanted *wanted);

#endif
