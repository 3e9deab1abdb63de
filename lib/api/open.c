/* SPDX-License-Identifier: MIT */
/* Opening queues by name and by descriptor; closing them; removing their names. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "api/open.h"
#include "base/error.h"
#include "base/trace.h"

/* Limit on the attempts, if another process removes the queue each time after it was opened. */
#define OPEN_TRIES 100

static int check_open_flags(unsigned flags)
{
    const unsigned roles = flags & (SHMR_ROLES | SHMRING_OBSERVER);

    if (flags & ~(unsigned)(SHMR_ROLES | SHMRING_OBSERVER | SHMR_OPEN_OPTIONS))
        return shmr_fail(EINVAL,
                         "flags 0x%x: only roles, SHMRING_PREFAULT, SHMRING_MLOCK, "
                         "SHMRING_ASYMMETRIC_FENCE, SHMRING_CORE_DUMP, SHMRING_SEALED, "
                         "SHMRING_RELIABLE, SHMRING_FROM_OLDEST and SHMRING_FROM_KEY",
                         flags);
    if (roles == 0)
        return shmr_fail(EINVAL,
                         "no role: give SHMRING_PRODUCER, SHMRING_CONSUMER or SHMRING_OBSERVER");
    if (roles & SHMRING_OBSERVER && roles != SHMRING_OBSERVER)
        return shmr_fail(EINVAL, "an observer has no other role");
    return 0;
}

static int check_wanted(const shmring_t *q, const struct shmr_wanted *wanted)
{
    struct stat st;
    int r = shmr_geometry_same(&q->geometry, wanted->geometry);

    if (r == 0 && fstat(q->fd, &st) < 0) /* an unknown mode does not count as the same */
        r = shmr_fail(errno, "descriptor %d: %s", q->fd, strerror(errno));
    if (r == 0 && (st.st_mode & 0777) != wanted->mode)
        r = shmr_fail(EEXIST, "it exists with mode 0%o, not 0%" PRIo32, st.st_mode & 0777,
                      wanted->mode);
    return r;
}

/*
 * Open the segment that fd refers to; fd becomes the handle's. name and wanted may be NULL.
 * by_name: fd was opened by that name just now.
 */
static int open_segment(shmring_t **out, int fd, const struct shmr_name *name, bool by_name,
                        unsigned flags, const struct shmr_wanted *wanted)
{
    shmring_t *q = NULL;
    int r = shmr_handle_new(&q);

    if (r < 0) {
        close(fd);
        return r;
    }
    q->fd = shmr_process_keep_fd(fd);
    if (q->fd < 0)
        r = shmr_fail(errno, "moving the segment's descriptor: %s", strerror(errno));
    if (name)
        q->name = *name;
    if (r == 0 && flags & SHMRING_SEALED)
        r = shmr_memfd_check_seals(q->fd);
    if (r == 0)
        r = shmr_segment_read(q->fd, &q->header, &q->geometry);
    if (r == -EAGAIN && !name) /* -EAGAIN only by name: shmring_open_wait() waits for a name */
        r = -EBADMSG;
    if (r == 0 && wanted)
        r = check_wanted(q, wanted);
    if (r == 0)
        r = shmr_attach(q, flags, by_name);
    if (r == -EBADMSG)
        SHMR_TRACE_NAMED(corrupt, q, q->name.text, shmring_strerror_detail());
    if (r < 0) {
        shmr_handle_free(q);
        return r;
    }
    *out = q;
    return 0;
}

static int open_access(unsigned flags)
{
    return flags & SHMR_ROLES ? O_RDWR : O_RDONLY;
}

/* ---- Without permission to write ------------------------------------------------------------- */

/* Opening for reading and writing was `refused`. May permission to read be enough for a consumer
 * with those flags? Also true for a reliable one, which gets a better error then: see only_read().
 * Except after -EROFS, as that error says enough. */
static bool may_only_read(unsigned flags, int refused)
{
    return (flags & SHMR_ROLES) == SHMRING_CONSUMER &&
           (refused == -EACCES || refused == -EPERM ||
            (refused == -EROFS && !(flags & SHMRING_RELIABLE)));
}

/* Is fd, open for reading, a queue of a kind whose consumers need no more? Closes it if not. */
static bool is_to_read(int fd)
{
    struct shmr_header header;
    struct shmr_geometry g;

    if (fd < 0)
        return false;
    if (shmr_segment_read(fd, &header, &g) == 0 && g.type->may_only_read)
        return true;
    close(fd);
    return false;
}

/* fd is such a queue, and to open it for writing was `refused`. Returns fd, and adds SHMR_READ_ONLY
 * to *flags; or an error. */
static int only_read(int fd, unsigned *flags, int refused)
{
    if (*flags & SHMRING_RELIABLE) {
        close(fd);
        return shmr_fail(-refused, "a reliable consumer needs permission to write to the segment; "
                                   "one that is not reliable needs permission to read only");
    }
    *flags |= SHMR_READ_ONLY;
    return fd;
}

/* Open the segment of that name for the roles in *flags. */
static int open_file(const struct shmr_name *name, unsigned *flags)
{
    const int fd = shmr_file_open(name, open_access(*flags));

    if (fd >= 0 || !may_only_read(*flags, fd))
        return fd;
    const int to_read = shmr_file_open(name, O_RDONLY);
    return is_to_read(to_read) ? only_read(to_read, flags, fd)
                               : shmr_file_open(name, open_access(*flags)); /* for the detail */
}

/* The same for the segment that a descriptor refers to. */
static int reopen_file(int fd, const struct shmr_name *name, unsigned *flags)
{
    const int own = shmr_attach_reopen(fd, name, open_access(*flags));

    if (own >= 0 || !may_only_read(*flags, own))
        return own;
    const int to_read = shmr_attach_reopen(fd, name, O_RDONLY);
    return is_to_read(to_read) ? only_read(to_read, flags, own)
                               : shmr_attach_reopen(fd, name, open_access(*flags));
}

/* ---- Opening --------------------------------------------------------------------------------- */

int shmr_open_named(shmring_t **q, const struct shmr_name *name, unsigned flags,
                    const struct shmr_wanted *wanted)
{
    int r = -ENOENT, fd = 0;

    if (name->backend == SHMR_MEMFD)
        return shmr_fail(EINVAL, "a memfd queue has no name to open: use shmring_open_fd()");
    /* -ENOENT from open_segment(): the queue was removed between opening and attaching. Try again,
     * as there may be a new queue of that name. */
    for (int tries = OPEN_TRIES; r == -ENOENT && fd >= 0 && tries > 0; tries--) {
        unsigned how = flags;
        r = fd = open_file(name, &how);
        if (fd >= 0)
            r = open_segment(q, fd, name, true, how, wanted);
    }
    return r;
}

int shmring_open(shmring_t **q, const char *name, unsigned flags)
{
    struct shmr_name parsed;
    int r;

    SHMR_NO_CANCEL();
    if (!q)
        return shmr_fail(EINVAL, "the place for the handle is NULL");
    *q = NULL;
    r = check_open_flags(flags);
    if (r == 0)
        r = shmr_name_parse(&parsed, name);
    return r < 0 ? r : shmr_open_named(q, &parsed, flags, NULL);
}

/* name: that of the handle whose descriptor fd is, or NULL. */
static int open_fd(shmring_t **q, int fd, const struct shmr_name *name, unsigned flags)
{
    int own, r;

    SHMR_NO_CANCEL();
    if (!q)
        return shmr_fail(EINVAL, "the place for the handle is NULL");
    *q = NULL;
    r = check_open_flags(flags);
    if (r < 0)
        return r;
    /* Open a new description: the received one, with its locks, is shared with the process that
     * sent it. */
    own = reopen_file(fd, name, &flags);
    return own < 0 ? own : open_segment(q, own, name, false, flags, NULL);
}

int shmring_open_fd(shmring_t **q, int fd, unsigned flags)
{
    return open_fd(q, fd, NULL, flags);
}

int shmring_dup(shmring_t **copy, const shmring_t *q, unsigned flags)
{
    if (!copy)
        return shmr_fail(EINVAL, "the place for the handle is NULL");
    *copy = NULL;
    if (!q)
        return shmr_fail(EBADF, "the handle is NULL: closed already?");
    return open_fd(copy, q->fd, &q->name, flags);
}

int shmring_unlink(const char *text)
{
    struct shmr_name name;
    int r = shmr_name_parse(&name, text);

    if (r < 0)
        return r;
    SHMR_NO_CANCEL();
    if (name.backend == SHMR_MEMFD)
        return shmr_fail(
            EINVAL, "a memfd queue has no name to remove: it goes when its last holder closes it");
    return shmr_file_unlink(&name);
}

void shmring_close(shmring_t **handle)
{
    shmring_t *q;

    if (!handle || !*handle)
        return;
    SHMR_NO_CANCEL();
    q = *handle;
    if (*q->process == q->mark) {
        if (!SHMR_IS_IDLE(q))
            return;
        shmr_attach_leave(q);
        SHMR_TRACE(close, q, q->roles, q->row);
    } else {
        q->map.base = NULL; /* the parent's mapping, which does not exist in this process */
    }
    shmr_handle_free(q);
    *handle = NULL;
}
