/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that a forked child must not keep. A child that had one would share the locks of its
 * description: the parent's death would not drop them. The kernel closes such a descriptor at exec
 * (O_CLOEXEC), and a pthread_atfork() handler closes it in a forked child.
 *
 * A descriptor is open before it is noted here, and a fork may come in between. The fork lock does
 * not prevent that, because open(2) can block for as long as a file system likes, and every fork of
 * the process would block with it. So who opens one asks for the number of forks before, and notes
 * the descriptor only if it has not changed:
 *
 *     do {
 *         forks = shmr_kept_forks(false);
 *         open, map, lock;
 *     } while (!shmr_kept_note(&kept, fd, forks, false) && (undo all of it, the locks explicitly));
 *
 * The lock is held for a few instructions only, and not across a call that may block. Whoever is
 * overtaken by forks again and again may hold it all the time, and says so: `held`.
 */
#ifndef SHMR_KEPT_H
#define SHMR_KEPT_H

#include <stdbool.h>
#include <stdint.h>

struct shmr_kept {
    int fd; /* -1: none */
    struct shmr_kept *next, **link;
};

/* How often this process was forked. Waits for a fork that is happening. */
uint32_t shmr_kept_forks(bool held);

/* Note the descriptor: kept->fd is fd then. False: the number of forks is not `forks` any more. */
bool shmr_kept_note(struct shmr_kept *kept, int fd, uint32_t forks, bool held);

/* Take the descriptor out of the list again, without closing it. Returns it, or -1. */
int shmr_kept_take(struct shmr_kept *kept, bool held);

/* For the handlers of fork, which hold the fork lock. */
void shmr_kept_before_fork(void);
void shmr_kept_in_child(void);

#endif
