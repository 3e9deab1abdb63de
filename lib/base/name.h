/* SPDX-License-Identifier: MIT */
/* Names of queues: "orders", "file:PATH", "memfd:LABEL". */
#ifndef SHMR_NAME_H
#define SHMR_NAME_H

#include <limits.h>

#include <shmring/shmring.h>

#include "core/layout.h"

/* Where POSIX shared memory lives: shm_open() looks here. */
#define SHMR_POSIX_DIRECTORY "/dev/shm"

struct shmr_name {
    enum shmr_backend backend;
    char text[256];      /* as given: fits shmr_header.name */
    char path[PATH_MAX]; /* absolute; for memfd: its label */
};

/* Returns 0, -EINVAL, -ENAMETOOLONG or what getcwd says, with the detail set. */
int shmr_name_parse(struct shmr_name *name, const char *text);

#endif
