/* SPDX-License-Identifier: MIT */
/* Which file system a segment is on, and what has to be known of it. */
#ifndef SHMR_FILE_SYSTEM_H
#define SHMR_FILE_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

/* The name of the file system that fd is on, "FUSE" or "ext4", for a sentence. */
const char *shmr_file_system_name(int fd);

/* Does the file system keep its files in memory? Memory that is used up ends in the out-of-memory
 * killer, not in an error. */
bool shmr_file_system_is_memory(int fd);

/*
 * Of a new, empty file: are its blocks written in place? On a file system that copies on write
 * allocated blocks promise nothing: each page that is written takes a new block, and where there is
 * none left the write is a SIGBUS. Returns 0, or -EOPNOTSUPP with the detail set.
 */
int shmr_file_system_check(int fd);

/*
 * The same of a file that exists and that this process is about to write to: blocks that it
 * shares with a snapshot or another file are made its own, or there is room for that. Returns 0, or
 * -EOPNOTSUPP, -ENOSPC and others with the detail set.
 */
int shmr_file_system_unshare(int fd, uint64_t size);

#endif
