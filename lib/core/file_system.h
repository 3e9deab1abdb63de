/* SPDX-License-Identifier: MIT */
/* Which file system a segment is on, and whether a queue can be kept there. */
#ifndef SHMR_FILE_SYSTEM_H
#define SHMR_FILE_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

/* The name of the file system that fd is on, such as "FUSE" or "ext4", for messages. */
const char *shmr_file_system_name(int fd);

/* Does the file system keep its files in memory? Then allocating too much ends in the out-of-memory
 * killer, not in an error. */
bool shmr_file_system_is_memory(int fd);

/*
 * Check that the blocks of a new, empty file are written in place. On a file system that copies on
 * write allocated blocks are no promise: each page that is written takes a new block, and if no
 * block is left the write raises SIGBUS. Returns 0, or -EOPNOTSUPP with the detail set.
 */
int shmr_file_system_check(int fd);

/*
 * The same for an existing file that this process is about to write to. Blocks that it shares with
 * a snapshot or another file are made its own, or else there must be room to copy them. Returns 0,
 * or -EOPNOTSUPP, -ENOSPC and others with the detail set.
 */
int shmr_file_system_unshare(int fd, uint64_t size);

#endif
