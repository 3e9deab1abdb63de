/* SPDX-License-Identifier: MIT */
/*
 * Memory that goes away under a handle. After a process has truncated the segment's file, the next
 * access raises SIGBUS. So does an access to a hole that a process has punched into the file, if
 * the file system has no space left to fill it.
 *
 * shmring_guard_sigbus() installs a handler. The handler finds the handle by the address of the
 * fault, maps private pages of this process in place of the whole segment, marks the handle lost,
 * and lets the instruction go on. From then on nothing that the handle does reaches another
 * process. The interrupted call must not return success. So the handler sets SHMR_WAITWORD_ASLEEP
 * in the new wait words: then every call leaves its fast path, and finds the handle lost.
 *
 * Replacing the mapping also ends the locks that it held (rows.h), and the handler drops those that
 * the handle holds by a descriptor. So the other participants see that this one is gone.
 */
#ifndef SHMR_GUARD_H
#define SHMR_GUARD_H

#include <shmring/shmring.h>

struct shmr_guarded;

/* Let the handler find the handle, whose segment is mapped. Returns 0 or -ENOMEM with the detail
 * set. */
int shmr_guard_add(shmring_t *q);

/* Call before the segment is unmapped. Does nothing if the handle was not added. */
void shmr_guard_remove(shmring_t *q);

#endif
