/* SPDX-License-Identifier: MIT */
/* How much may be allocated. The library checks that first, because the kernel does not always
 * refuse too much with an error. */
#ifndef SHMR_ROOM_H
#define SHMR_ROOM_H

#include <stdint.h>

/*
 * Is there room for `more` bytes in the file, which will have `size` bytes? The kernel does not
 * refuse to allocate more memory than is left: that ends in the out-of-memory killer. An allocation
 * beyond RLIMIT_FSIZE raises SIGXFSZ. Returns 0, or -ENOSPC or -EFBIG with both numbers in the
 * detail.
 */
int shmr_room_check(int fd, uint64_t size, uint64_t more);

/* The number of huge pages of 2 MiB that are free and not reserved. */
uint64_t shmr_room_huge_pages(void);

#endif
