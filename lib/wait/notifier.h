/* SPDX-License-Identifier: MIT */
/*
 * Notifiers: how a participant that waits in poll(2), select(2) or epoll_wait(2) is woken. A
 * notifier is a FIFO with a name. Each event of a queue has one, which is made when a participant
 * first asks for a descriptor (lib/wait/poll.c).
 *
 *     waiting participant                          publishing participant
 *     empty the FIFO                               publish
 *     announce: set POLLED (waitword.h)            if POLLED is set in the wait word: clear it,
 *     is the event there? if not:                      and put a byte into the FIFO
 *     wait in poll(2)
 *
 * All participants that wait for the event poll the same FIFO. At any time it has a byte in it, so
 * that none of them sleeps, or POLLED is set, or a participant is between two of these steps; if it
 * is killed there, the rechecks of the others make up for it. So no participant loses anything when
 * another one empties the FIFO.
 *
 * Where each message is for all consumers (wake_all in kind.h), that would lose wake-ups: a
 * participant that empties the FIFO would take the byte away from those that have not seen it. So
 * no waiting participant reads the FIFO there. Each has it in its own epoll instance,
 * edge-triggered, and takes back its own edge by epoll_wait(2) when it arms. The notifying
 * participant empties the FIFO and then puts a byte into it: a byte in an empty FIFO is an edge for
 * all that have it open.
 *
 * Name
 *     DIRECTORY/.shmring-notifier-CREATED-INODE.r (readable) and .w (writable). CREATED is the time
 *     when the segment was created, and INODE its inode, both in hexadecimal. DIRECTORY is the
 *     segment's own, for a memfd /dev/shm. The FIFO has the segment's owner (if its maker may set
 *     that), group and permission bits, from the moment that it has this name.
 *
 *     A handle finds the directory when it attaches. After chroot(2), pivot_root(2), setns(2) or a
 *     mount its path may lead to another directory, where no peer looks for a notifier. Then no
 *     notifier is made. (The handle does not keep the directory open: a process that goes into
 *     another root does not want a way out of it.)
 *
 * Removal
 *     A process that has a notifier open holds a shared flock(2) on it; a process that removes it
 *     holds an exclusive one meanwhile. So no notifier in use is removed, and a process that opens
 *     one that is just being removed finds that it has no name any more, and tries again. It is
 *     removed by shmring_unlink(), by the last handle to close a queue that has no name (any
 *     more), and by `shmring gc`. A user, or a program that clears /dev/shm, may remove it in
 *     use. Then the next participant that arms makes a new one, and the next that notifies finds
 *     the new one.
 */
#ifndef SHMR_NOTIFIER_H
#define SHMR_NOTIFIER_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmring/shmring.h>

#define SHMR_NOTIFIER_PREFIX ".shmring-notifier-"

/* The path of a segment's notifiers, with a place for the event's letter at its end; malloc()ed.
 * NULL: the segment's directory is not known. */
char *shmr_notifier_path(int segment, int64_t created_ns);

/* Find the path of the notifiers of the handle's segment, and note what its directory is now. */
void shmr_notifier_find(shmring_t *q, int segment);

/* The event's notifier, made if there is none. A descriptor or -errno with the detail set. */
int shmr_notifier_open(shmring_t *q, int event);

/* Was this notifier removed? Participants that look for it now do not find it. Signal-safe. */
bool shmr_notifier_is_removed(int fd);

/* Put a byte into the event's notifier, if it is there. Signal-safe. */
void shmr_notifier_write(shmring_t *q, int event);

/* Remove the notifiers at a path from shmr_notifier_path() that no process has open. */
void shmr_notifier_remove(char *path);

/* The same for one file of a directory. True: it was removed, or would be (dry_run). */
static inline bool shmr_notifier_remove_idle(int directory, const char *file, bool dry_run)
{
    struct stat st;
    bool removed = false;
    int fd = openat(directory, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) &&
        st.st_nlink > 0)
        removed = dry_run || unlinkat(directory, file, 0) == 0;
    close(fd);
    return removed;
}

#endif
