/* SPDX-License-Identifier: MIT */
/*
 * Segments: the shared memory object behind a queue, from its creation to its mapping.
 *
 * Three open file descriptions serve each handle that has a role.
 *     fd        kept open for looking (fstat, lock tests) and for passing on. Holds no locks.
 *     (mapped)  opened, mapped, locked and closed at once. The mapping keeps the description and so
 *               the locks of the handle's roles, and is not inherited over fork, whereas a
 *               descriptor would be.
 *     kept      opened when attaching, for the recovery of others: a process may not be able to
 *               open anything any more when somebody dies. Holds a dead row's lock meanwhile. Where
 *               a mapping does not keep locks, it is the one that is mapped, and holds those of the
 *               roles too (see participant.h). Not for children: see kept.h.
 * An observer has the first only.
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
 * A new segment, without a name yet. Or, where the file system has no O_TMPFILE, *in_place is set:
 * the file has its name already, its magic is SHMR_UNFINISHED, and its creator holds a lock on its
 * first byte. Returns a descriptor or -errno with the detail set.
 */
int shmr_file_create(const struct shmr_name *name, uint32_t flags, bool *in_place);
int shmr_file_create_in_place(const struct shmr_name *name, uint32_t flags); /* without O_TMPFILE */
int shmr_memfd_create(const struct shmr_name *name, uint32_t flags);

/* Give a segment from shmr_file_create() its name. 0, or -EEXIST and others with the detail. */
int shmr_file_publish(int fd, const struct shmr_name *name);

/* Remove a segment that was created in place and cannot be finished. */
void shmr_file_abandon(int fd, const struct shmr_name *name);

/* Seal a memfd: nobody can make it shorter, longer, or unseal it. */
int shmr_memfd_seal(int fd);

/* Is this a memfd, whoever made it? */
bool shmr_is_memfd(int fd);

/* Is it sealed against shrinking? 0, -EPERM. */
int shmr_memfd_check_seals(int fd);

/* Open by name; flags O_RDWR or O_RDONLY. Refuses what is not a regular file. */
int shmr_file_open(const struct shmr_name *name, int flags);

/* Remove the name, if a segment stands there. */
int shmr_file_unlink(const struct shmr_name *name);

/* ---- Common --------------------------------------------------------------------------------- */

/* Make a new segment: its mode, memory, header (a copy goes to h), seals. The magic is not written.
 */
int shmr_segment_init(int fd, const struct shmr_name *name, const struct shmr_geometry *g,
                      mode_t mode, struct shmr_header *h);

/* Write the magic: last of all, or SHMR_UNFINISHED. huge: the file is on hugetlbfs. */
int shmr_segment_mark(int fd, bool huge, uint64_t magic);

/* Read and check the header of a segment into private memory. 0, -EAGAIN (unfinished), -EBADMSG,
 * -EPROTONOSUPPORT, -EPERM (a memfd that is not sealed). */
int shmr_segment_read(int fd, struct shmr_header *h, struct shmr_geometry *g);

/* Before writing to it: fill the holes of a sparse copy, and part with what shares its blocks. No
 * memory is promised for either. */
int shmr_segment_own(int fd, const struct shmr_geometry *g);

/* "/proc/self/fd/FD". Signal-safe. */
enum { SHMR_FD_PATH = 32 };
void shmr_fd_path(char path[SHMR_FD_PATH], int fd);

/* Another open file description of the same segment; flags O_RDWR or O_RDONLY. Signal-safe. */
int shmr_segment_reopen(int fd, int flags);

/* Map the sections, writable as the roles in flags need, not inherited over fork, and left out of
 * core files without SHMRING_CORE_DUMP. */
int shmr_segment_map(struct shmr_map *map, int fd, const struct shmr_geometry *g, unsigned flags);
void shmr_segment_unmap(struct shmr_map *map);

/* SHMRING_PREFAULT and SHMRING_MLOCK. */
int shmr_segment_touch(const struct shmr_map *map, uint32_t flags);

#endif
