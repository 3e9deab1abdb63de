/* SPDX-License-Identifier: MIT */
/*
 * Creation on file systems without O_TMPFILE. There are few left to mount, so a seccomp filter
 * makes every file system one of those.
 */
#ifndef TEST_IN_PLACE_H
#define TEST_IN_PLACE_H

#include "../lib/core/segment.h"
#include "support.h"

/* For this process and its children. */
void forget_tmpfile(void);

/* A queue that is to be, in a directory of its own. */
struct site {
    char directory[TEST_NAME_SIZE];
    char name[TEST_NAME_SIZE + 16];
    const char *path;
    struct shmr_name parsed;
};
void make_site(struct site *site);

/* A child that has come half-way in creating the queue, and stays there. */
pid_t start_creation(struct site *site);

#endif
