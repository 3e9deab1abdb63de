/* SPDX-License-Identifier: MIT */
/*
 * Memory that goes away under a handle: a file that somebody truncates raises SIGBUS at the next
 * access, and so does one with a hole punched into it when there is no memory left to fill it.
 *
 * shmring_guard_sigbus() installs a handler. It finds the handle by the address of the fault, maps
 * pages of this process alone in place of the whole segment, marks the handle lost, and lets the
 * instruction go on. From then on nothing that the handle does reaches anybody. So that the call
 * that was interrupted does not pass for a success, the new wait words say that somebody sleeps:
 * then every call leaves its fast path, and finds the mark there.
 *
 * Replacing the mapping also ends the locks that it held (participant.h), and those that the handle
 * holds by a descriptor are dropped: the others see that this participant is gone.
 */
#ifndef SHMR_GUARD_H
#define SHMR_GUARD_H

#include <shmring/shmring.h>

struct shmr_guarded;

/* Let the handler find the handle, whose segment is mapped. 0 or -ENOMEM with the detail set. */
int shmr_guard_add(shmring_t *q);

/* Before the segment is unmapped. Nothing to do if it was not added. */
void shmr_guard_remove(shmring_t *q);

#endif
