/* SPDX-License-Identifier: MIT */
/* How much may be allocated: asked beforehand, where the kernel would not refuse too much. */
#ifndef SHMR_ROOM_H
#define SHMR_ROOM_H

#include <stdint.h>

/*
 * Is there room for `more` bytes in the file, which will have `size`? An allocation in memory that
 * is larger than what is left is not refused by the kernel, it ends in the out-of-memory killer;
 * one beyond RLIMIT_FSIZE raises SIGXFSZ. 0, -ENOSPC or -EFBIG with both numbers in the detail.
 */
int shmr_room_check(int fd, uint64_t size, uint64_t more);

/* Huge pages of 2 MiB that are free and not promised to anybody. */
uint64_t shmr_room_huge_pages(void);

#endif
