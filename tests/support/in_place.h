/* SPDX-License-Identifier: MIT */
/*
 * Creation on file systems without O_TMPFILE. Few such file systems can still be mounted, so a
 * seccomp filter refuses O_TMPFILE on every file system.
 */
#ifndef TEST_IN_PLACE_H
#define TEST_IN_PLACE_H

#include "lib/core/segment.h"
#include "support.h"

/* Refuse O_TMPFILE to this process and its children. */
void forget_tmpfile(void);

/* A queue that is to be created, in a directory of its own. */
struct site {
    char directory[TEST_NAME_SIZE];
    char name[TEST_NAME_SIZE + 16];
    const char *path;
    struct shmr_name parsed;
};
void make_site(struct site *site);

/* Start a child that stops in the middle of creating the queue. */
pid_t start_creation(struct site *site);

#endif
