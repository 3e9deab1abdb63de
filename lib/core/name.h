/* SPDX-License-Identifier: MIT */
/* Names of queues: "orders", "file:PATH", "memfd:LABEL". */
#ifndef SHMR_NAME_H
#define SHMR_NAME_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include <shmring/shmring.h>

#include "core/layout.h"

/* Where shm_open() keeps POSIX shared memory. */
#define SHMR_POSIX_DIRECTORY "/dev/shm"

struct shmr_name {
    enum shmr_backend backend;
    char text[256];      /* as given: fits shmr_header.name */
    char path[PATH_MAX]; /* absolute; for memfd: its label */
    dev_t root_device;   /* the root directory when the name was parsed; inode 0: not known */
    ino_t root_inode;
};

/* Returns 0, or -EINVAL, -ENAMETOOLONG or the error of getcwd(3), with the detail set. */
int shmr_name_parse(struct shmr_name *name, const char *text);

/*
 * Has this process changed its root directory since then, by chroot(2), pivot_root(2) or setns(2)?
 * Then the file at the path says nothing about the queue.
 */
bool shmr_name_has_another_root(const struct shmr_name *name);

#endif
