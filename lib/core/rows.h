/* SPDX-License-Identifier: MIT */
/*
 * Rows and their locks. A participant owns a row of the table while it holds an
 * open-file-description lock on the row's first byte. The kernel drops the lock when the
 * description ends: at close, at exec, and at the process's death, after its last store. So an
 * ATTACHED row whose lock is free means a death. No timeout is needed, and no pid, which another
 * process could reuse or fake.
 *
 * The three kinds of lock on a row, which F_OFD_GETLK tells apart by type and length
 *     its owner       for writing, 1 byte      for as long as it is attached
 *     a recoverer     for writing, 2 bytes     while it recovers what a dead owner left
 *     a remover       for reading, all rows    while it makes sure that no participant is attached,
 *                                              and until the queue's name is gone
 *
 * A mapping of the segment keeps the description open; forked children do not inherit that mapping.
 * Some file systems map another file than the one that was opened (overlayfs, FUSE with
 * passthrough). There the description, and its locks, would end with the last descriptor. So each
 * time that a handle is about to take a row, it tests whether a mapping keeps the locks
 * (shmr_locks_hold()). If not, it keeps the descriptor open (base/kept.h).
 */
#ifndef SHMR_PARTICIPANT_H
#define SHMR_PARTICIPANT_H

#include <stdbool.h>

#include <fcntl.h>

#include "core/layout.h"

static inline struct shmr_row *shmr_row_at(uint8_t *table, uint32_t row)
{
    return (struct shmr_row *)(void *)(table + row * sizeof(struct shmr_row));
}

/* Lock the row through fd, as its owner. Returns 0, -EBUSY, or another error with the detail set.
 * Signal-safe, as are the next five functions. */
int shmr_row_lock(int fd, const struct shmr_geometry *g, uint32_t row);

/* Lock the row of a dead owner, to recover what it left. As shmr_row_lock(). */
int shmr_row_lock_dead(int fd, const struct shmr_geometry *g, uint32_t row);

/* Drop the lock of a row, or all locks of the description. */
void shmr_row_unlock(int fd, const struct shmr_geometry *g, uint32_t row);
void shmr_unlock_all(int fd);

/* Which kind of holder has the row's lock? fd: a description other than the one that locked.
 * Returns that, or -errno with the detail set. */
enum shmr_holder { SHMR_NO_HOLDER, SHMR_OWNER, SHMR_RECOVERER, SHMR_REMOVER };
int shmr_row_holder(int fd, const struct shmr_geometry *g, uint32_t row);

/* Has the row's owner locked it, and so is alive? Returns 1, 0 or -errno. */
int shmr_row_is_locked(int fd, const struct shmr_geometry *g, uint32_t row);

/* Lock all rows as a remover; the header says where they are. False: a participant has a row. */
static inline bool shmr_rows_lock_all(int fd, const struct shmr_header *h)
{
    struct flock lock = {.l_type = F_RDLCK,
                         .l_whence = SEEK_SET,
                         .l_start = 2 * (off_t)h->page_size, /* see lay_out() in header.c */
                         .l_len = (off_t)(h->rows * sizeof(struct shmr_row))};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/*
 * On this segment, does a mapping keep the locks of the description that it was made from? The test
 * locks a byte through descriptions from reopen(), and through `held`, which stays open, and tests
 * the lock through `watch`. Returns 1: a mapping keeps them. 0: only a descriptor does.
 * -EOPNOTSUPP: on this file system other processes do not see locks. All errors set the detail.
 */
int shmr_locks_hold(int watch, int held, const struct shmr_geometry *g, int (*reopen)(const void *),
                    const void *arg);

/* Does the row say ATTACHED? If the caller has the row's lock, and did not attach it, its owner
 * died. */
bool shmr_row_is_attached(struct shmr_row *row);

/* Count the death of a row's owner, once. The caller has locked the row to recover it. */
void shmr_row_note_death(struct shmr_row *row);

/* How many of the row's owners died and were recovered or replaced; without a dead owner that the
 * row still names. */
uint32_t shmr_row_deaths(struct shmr_row *row);

/* Write the caller's identity and ATTACHED into the row, which the caller has locked; or FREE. */
void shmr_row_attach(struct shmr_row *row, uint32_t role);
void shmr_row_detach(struct shmr_row *row);

/* How often the row was taken as SHMRING_PRODUCER or SHMRING_CONSUMER since the queue's creation.
 */
uint64_t shmr_row_taken_as(const struct shmr_row *row, uint32_t role);

struct shmring_participant;

/* Copy the identity that a row says. */
void shmr_row_read(struct shmring_participant *out, struct shmr_row *row);

#endif
