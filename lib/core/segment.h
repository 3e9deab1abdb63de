/* SPDX-License-Identifier: MIT */
/*
 * Segments: the shared memory object behind a queue, from its creation to its mapping.
 *
 * Three open file descriptions serve each handle that has a role.
 *     fd        kept open for fstat, for lock tests and to be passed on. Holds no locks.
 *     (mapped)  opened, mapped, locked, and its descriptor closed at once. The mapping keeps the
 *               description, and so the locks of the handle's roles. Children do not inherit the
 *               mapping, but would inherit a descriptor.
 *     kept      opened when attaching, to recover dead participants: when one dies, the process may
 *               not be able to open files any more. Holds the lock of a dead row during its
 *               recovery. Where a mapping does not keep locks, this description is the one that is
 *               mapped, and also holds the locks of the roles (see rows.h). Children must not have
 *               it: see base/kept.h.
 * An observer has fd only, until it recovers.
 */
#ifndef SHMR_SEGMENT_H
#define SHMR_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "core/layout.h"
#include "core/name.h"

struct shmr_map {
    uint8_t *base; /* NULL: not mapped */
    size_t length;
    uint8_t *producer; /* the sections */
    uint8_t *table;
    struct shmr_waitwords *waitwords;
    uint8_t *consumer;
    uint8_t *data; /* spsc: twice in a row */
};

/* ---- Backends: posix and file (backend_file.c), memfd (backend_memfd.c) ---------------------- */

/*
 * Create a file for a new segment, without a name yet. Where the file system has no O_TMPFILE,
 * *in_place is set: the file has its name already, its magic is SHMR_UNFINISHED, and this process
 * holds a lock on its first byte. Returns a descriptor or -errno with the detail set.
 */
int shmr_file_create(const struct shmr_name *name, uint32_t flags, bool *in_place);
int shmr_file_create_in_place(const struct shmr_name *name, uint32_t flags); /* without O_TMPFILE */
int shmr_memfd_create(const struct shmr_name *name, uint32_t flags);

/* Give a segment from shmr_file_create() its name. Returns 0, or -EEXIST or another error with the
 * detail set. */
int shmr_file_publish(int fd, const struct shmr_name *name);

/* Remove a segment that was created in place and that the creator cannot finish. */
void shmr_file_abandon(int fd, const struct shmr_name *name);

/* Seal a memfd: after that no process can make it shorter or longer, or unseal it. */
int shmr_memfd_seal(int fd);

/* Is this a memfd, even if its header does not say so? */
bool shmr_is_memfd(int fd);

/* Is it sealed against shrinking? Returns 0, or -EPERM with the detail set. */
int shmr_memfd_check_seals(int fd);

/* Open by name; flags: O_RDWR or O_RDONLY. Follows no symbolic link, and never blocks on a FIFO or
 * a device. Returns a descriptor or -errno with the detail set. */
int shmr_file_open(const struct shmr_name *name, int flags);

/* Remove the name, if it leads to a segment. */
int shmr_file_unlink(const struct shmr_name *name);

/* ---- Common --------------------------------------------------------------------------------- */

/* Initialise a new segment: its mode, memory, header (also copied to h) and seals, but not its
 * magic. */
int shmr_segment_init(int fd, const struct shmr_name *name, const struct shmr_geometry *g,
                      mode_t mode, struct shmr_header *h);

/* Write the magic: SHMR_UNFINISHED first, SHMR_MAGIC last of all. huge: the file is on
 * hugetlbfs. */
int shmr_segment_mark(int fd, bool huge, uint64_t magic);

/* Read the header of a segment into private memory, and check it. Returns 0, or -EAGAIN
 * (unfinished), -EBADMSG, -EPROTONOSUPPORT, -EFBIG or -EPERM (a memfd that is not sealed), with the
 * detail set. */
int shmr_segment_read(int fd, struct shmr_header *h, struct shmr_geometry *g);

/* Call before this process writes to an existing segment. Fills the holes of a sparse copy, and
 * stops sharing blocks with other files: the file system promises no space for either. */
int shmr_segment_own(int fd, const struct shmr_geometry *g);

/* "/proc/self/fd/FD". Signal-safe. */
enum { SHMR_FD_PATH = 32 };
void shmr_fd_path(char path[SHMR_FD_PATH], int fd);

/* Open another description of the same segment; flags: O_RDWR or O_RDONLY. Signal-safe. */
int shmr_segment_reopen(int fd, int flags);

/* Map the sections, writable where a role in flags writes. Forked children do not inherit the
 * mapping, and core files do not include it without SHMRING_CORE_DUMP. */
int shmr_segment_map(struct shmr_map *map, int fd, const struct shmr_geometry *g, unsigned flags);
void shmr_segment_unmap(struct shmr_map *map);

/* Do what SHMRING_PREFAULT and SHMRING_MLOCK in flags ask for. */
int shmr_segment_touch(const struct shmr_map *map, uint32_t flags);

#endif
