/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that a forked child must not keep. A child that had one would share the locks of its
 * description: the parent's death would not drop them. The kernel closes such a descriptor at exec
 * (O_CLOEXEC), and a pthread_atfork() handler closes it in a forked child.
 *
 * A descriptor is open before it is noted here, and a fork may come in between. The fork lock is
 * not held over open(2) to prevent that: open(2) can block as long as the file system likes, and
 * every fork of the process would block with it. So the caller reads the number of forks before it
 * opens the descriptor, and notes the descriptor only if the number has not changed:
 *
 *     do {
 *         forks = shmr_kept_forks(false);
 *         open, map, lock;
 *     } while (!shmr_kept_note(&kept, fd, forks, false) && (undo all of it, the locks explicitly));
 *
 * These functions hold the lock for a few instructions only, and not across a call that may block.
 * A caller that fails again and again because of forks may hold the lock over all of its steps; it
 * then passes held = true.
 */
#ifndef SHMR_KEPT_H
#define SHMR_KEPT_H

#include <stdbool.h>
#include <stdint.h>

struct shmr_kept {
    int fd; /* -1: none */
    struct shmr_kept *next, **link;
};

/* How often this process has forked. Waits until a fork in progress is done. */
uint32_t shmr_kept_forks(bool held);

/* Note the descriptor: kept->fd becomes fd. False, and nothing noted: the number of forks is not
 * `forks` any more. */
bool shmr_kept_note(struct shmr_kept *kept, int fd, uint32_t forks, bool held);

/* Take the descriptor out of the list again, without closing it. Returns it, or -1. */
int shmr_kept_take(struct shmr_kept *kept, bool held);

/* For the pthread_atfork() handlers, which hold the fork lock. */
void shmr_kept_before_fork(void);
void shmr_kept_in_child(void);

#endif
