/* SPDX-License-Identifier: MIT */
/* Creating, opening and closing queues. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "base/trace.h"
#include "core/attach.h"
#include "core/guard.h"
#include "core/handle.h"
#include "core/recovery.h"
#include "core/roles.h"
#include "core/rows.h"
#include "spsc/batch.h"
#include "wait/notifier.h"
#include "wait/poll.h"
#include "wait/sleep.h"

#define ROLES (SHMRING_PRODUCER | SHMRING_CONSUMER)
#define OPEN_OPTIONS                                                                               \
    (SHMRING_PREFAULT | SHMRING_MLOCK | SHMRING_ASYMMETRIC_FENCE | SHMRING_SEALED |                \
     SHMRING_CORE_DUMP)

/* With OPEN_OR_CREATE the name may come and go between the two; not for ever. Nor does one that is
 * removed each time after it was opened. */
#define OPEN_OR_CREATE_TRIES 100
#define OPEN_TRIES           100

static int check_open_flags(unsigned flags)
{
    const unsigned roles = flags & (ROLES | SHMRING_OBSERVER);

    if (flags & ~(unsigned)(ROLES | SHMRING_OBSERVER | OPEN_OPTIONS))
        return shmr_fail(EINVAL,
                         "flags 0x%x: only roles, SHMRING_PREFAULT, SHMRING_MLOCK, "
                         "SHMRING_ASYMMETRIC_FENCE, SHMRING_CORE_DUMP and SHMRING_SEALED",
                         flags);
    if (roles == 0)
        return shmr_fail(EINVAL,
                         "no role: give SHMRING_PRODUCER, SHMRING_CONSUMER or SHMRING_OBSERVER");
    if (roles & SHMRING_OBSERVER && roles != SHMRING_OBSERVER)
        return shmr_fail(EINVAL, "an observer has no other role");
    return 0;
}

static void unmap(shmring_t *q)
{
    shmr_guard_remove(q);
    shmr_segment_unmap(&q->map);
}

/* Take the descriptor out of the list of those that children must not keep, and close it. */
static void close_kept(struct shmr_kept *kept)
{
    const int fd = shmr_kept_take(kept, false);

    if (fd >= 0)
        close(fd);
}

static void free_handle(shmring_t *q)
{
    unmap(q);
    close_kept(&q->kept);
    shmr_fd_close(q);
    if (q->fd >= 0)
        close(q->fd);
    if (q->producer.stage)
        munmap(q->producer.stage, SHMR_SPSC_STAGE);
    free(q);
}

static int new_handle(shmring_t **out)
{
    shmring_t *q = NULL;
    int error = posix_memalign((void **)&q, SHMR_FALSE_SHARING, sizeof *q);

    if (error)
        return shmr_fail(error, "%zu bytes for the handle: %s", sizeof *q, strerror(error));
    memset(q, 0, sizeof *q);
    q->fd = q->kept.fd = -1;
    shmr_fd_init(q);
    q->send_mark = q->receive_mark = SHMR_NO_PROCESS;
    int r = shmr_process_mark(&q->process);
    if (r < 0) {
        free(q);
        return r;
    }
    q->mark = *q->process;
    *out = q;
    return 0;
}

/* ---- Mapping, with the locks ------------------------------------------------------------------
 */

static int map(shmring_t *q, int fd, unsigned flags)
{
    int r = shmr_segment_map(&q->map, fd, &q->geometry, flags);

    return r == 0 ? shmr_guard_add(q) : r;
}

/*
 * Another description of the segment: through /proc; where that is not mounted by its name, if it
 * is the same file that stands there.
 */
static int reopen(int fd, const struct shmr_name *name, int flags)
{
    struct stat mine, there;
    int r = shmr_segment_reopen(fd, flags);

    if (r != -ENOSYS || !name || name->backend == SHMR_MEMFD || !name->text[0])
        return r;
    int named = shmr_file_open(name, flags);
    if (named >= 0 && fstat(named, &there) == 0 && fstat(fd, &mine) == 0 &&
        there.st_ino == mine.st_ino && there.st_dev == mine.st_dev)
        return named;
    if (named >= 0)
        close(named);
    return shmr_segment_reopen(fd, flags); /* which says what is wrong */
}

static int reopen_own(const void *handle)
{
    const shmring_t *q = handle;
    int fd = reopen(q->fd, &q->name, O_RDWR);

    if (fd < 0)
        return fd;
    fd = shmr_process_keep_fd(fd);
    return fd < 0 ? shmr_fail(errno, "a descriptor of the segment: %s", strerror(errno)) : fd;
}

/* Attempts that a fork of this process comes in between of, before forks have to wait. */
#define FORK_TRIES 20

/*
 * Close the descriptor of a description that holds locks, and that the mapping keeps. No child may
 * inherit it, and close(2) may block: so first the number is made to stand for another description.
 */
static void close_mapped(const shmring_t *q, struct shmr_kept *mapped, bool held)
{
    if (dup3(q->fd, mapped->fd, O_CLOEXEC) >= 0) {
        close(shmr_kept_take(mapped, held));
        return;
    }
    sigset_t signals;
    if (!held)
        shmr_process_hold_fork(&signals);
    close(shmr_kept_take(mapped, true));
    if (!held)
        shmr_process_let_fork(&signals);
}

/* -EAGAIN: this process was forked meanwhile, and the child may have what was to be kept from it.
 */
static int try_map_and_lock(shmring_t *q, unsigned flags, bool held)
{
    const uint32_t forks = shmr_kept_forks(held);
    struct shmr_kept mapped = {.fd = -1};
    int kept, fd, r;

    kept = fd = r = reopen_own(q);
    if (r >= 0)
        r = shmr_locks_hold(q->fd, kept, &q->geometry, reopen_own, q);
    if (r > 0)
        fd = r = reopen_own(q);
    if (r >= 0)
        r = map(q, fd, flags);
    if (r == 0)
        r = shmr_roles_lock(q, fd);
    if (r == 0 && (!shmr_kept_note(&q->kept, kept, forks, held) ||
                   (fd != kept && !shmr_kept_note(&mapped, fd, forks, held))))
        r = -EAGAIN;
    if (r == 0) {
        if (fd != kept)
            close_mapped(q, &mapped, held);
        return 0;
    }
    /* So that no failed attempt looks like a live holder. */
    if (fd >= 0)
        shmr_unlock_all(fd);
    unmap(q);
    (void)shmr_kept_take(&q->kept, held);
    if (fd >= 0 && fd != kept)
        close(fd);
    if (kept >= 0)
        close(kept);
    return r;
}

/* Map the segment from a description that then holds the locks: see segment.h. */
static int map_and_lock(shmring_t *q, unsigned flags)
{
    sigset_t signals;
    int r = -EAGAIN;

    if (q->roles == 0)
        return map(q, q->fd, flags);
    for (int tries = FORK_TRIES; r == -EAGAIN && tries > 0; tries--)
        r = try_map_and_lock(q, flags, false);
    if (r == -EAGAIN) {
        shmr_process_hold_fork(&signals);
        r = try_map_and_lock(q, flags, true);
        shmr_process_let_fork(&signals);
    }
    return r;
}

int shmr_attach_keep(shmring_t *q)
{
    sigset_t signals;

    for (int tries = FORK_TRIES; q->kept.fd < 0; tries--) {
        const bool held = tries <= 0;
        if (held)
            shmr_process_hold_fork(&signals);
        const uint32_t forks = shmr_kept_forks(held);
        const int fd = reopen_own(q);
        const bool noted = fd >= 0 && shmr_kept_note(&q->kept, fd, forks, held);
        if (held)
            shmr_process_let_fork(&signals);
        if (fd < 0)
            return fd;
        if (!noted)
            close(fd);
    }
    return 0;
}

/* ---- Roles ----------------------------------------------------------------------------------- */

/* spsc: the role's last owner died, and what it left is made good. */
static void note_takeover(shmring_t *q, uint32_t row)
{
    const struct shmr_mpmc_recovered uncounted = {0};

    shmr_row_note_death(shmr_row_at(q->map.table, row));
    shmr_trace_recovery(q, row, &uncounted);
}

static int resume_producer(shmring_t *q)
{
    struct shmr_spsc_producer_page *page = (void *)q->map.producer;
    int r;

    q->producer = (struct shmr_spsc_producer){
        .data = q->map.data,
        .mask = q->geometry.capacity - 1,
        .max_message = q->geometry.max_message,
        .pauses = shmr_process_pauses(),
        .ticks = shmr_process_ticks(),
        .stage = q->producer.stage,
        .page = page,
        .consumer = (void *)q->map.consumer,
    };
    r = shmr_spsc_resume_producer(&q->producer);
    if (r < 0)
        return shmr_fail(-r, "corrupt: %s", q->producer.damage);
    if (shmr_row_is_attached(shmr_row_at(q->map.table, SHMR_ROW_PRODUCER)))
        note_takeover(q, SHMR_ROW_PRODUCER);
    return 0;
}

static int become_producer(shmring_t *q)
{
    /* Not malloc: that of AddressSanitizer would hang when asked for so much in a child that was
     * forked beside another thread in it. */
    void *stage =
        mmap(NULL, SHMR_SPSC_STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (stage == MAP_FAILED)
        return shmr_fail(ENOMEM, "%d bytes to put batches together in", SHMR_SPSC_STAGE);
    q->producer.stage = stage;
    int r = resume_producer(q);
    if (r < 0)
        return r;
    shmr_row_attach(shmr_row_at(q->map.table, SHMR_ROW_PRODUCER), SHMRING_PRODUCER);
    q->attached |= SHMRING_PRODUCER;
    q->send_mark = q->mark;
    return 0;
}

static int resume_consumer(shmring_t *q)
{
    struct shmr_spsc_consumer_page *page = (void *)q->map.consumer;
    const bool died = shmr_row_is_attached(shmr_row_at(q->map.table, SHMR_ROW_CONSUMER));
    int r;

    q->consumer = (struct shmr_spsc_consumer){
        .data = q->map.data,
        .mask = q->geometry.capacity - 1,
        .max_message = q->geometry.max_message,
        .pauses = shmr_process_pauses(),
        .page = page,
    };
    r = shmr_spsc_resume_consumer(&q->consumer, (void *)q->map.producer, died);
    if (r < 0)
        return shmr_fail(-r, "corrupt: %s", q->consumer.damage);
    if (died)
        note_takeover(q, SHMR_ROW_CONSUMER);
    return 0;
}

static int become_consumer(shmring_t *q)
{
    int r = resume_consumer(q);

    if (r < 0)
        return r;
    shmr_row_attach(shmr_row_at(q->map.table, SHMR_ROW_CONSUMER), SHMRING_CONSUMER);
    q->attached |= SHMRING_CONSUMER;
    q->receive_mark = q->mark;
    return 0;
}

/* Take the row's id. What its last owner held when it died is recovered first: it has the same tag.
 */
static int become_participant(shmring_t *q)
{
    struct shmr_row *row = shmr_row_at(q->map.table, q->row);

    shmr_mpmc_participant_init(&q->mpmc, &q->geometry, &q->map, q->row);
    q->mpmc.now = shmr_coarse_now();
    q->mpmc.queue.pauses = shmr_process_pauses();
    if (shmr_row_is_attached(row))
        q->unfinished = !shmr_recover_row(q, q->row);
    shmr_row_attach(row, q->roles);
    q->attached = q->roles;
    if (q->roles & SHMRING_PRODUCER)
        q->send_mark = q->mark;
    if (q->roles & SHMRING_CONSUMER)
        q->receive_mark = q->mark;
    /* Whoever else died; not being able to is no reason not to open. */
    (void)shmr_recover_dead(q, shmr_sweep_rows(q));
    return 0;
}

static int become(shmring_t *q)
{
    int r = 0;

    if (q->roles && q->kind == SHMRING_MPMC)
        return become_participant(q);
    if (q->roles & SHMRING_PRODUCER)
        r = become_producer(q);
    if (r == 0 && q->roles & SHMRING_CONSUMER)
        r = become_consumer(q);
    return r;
}

static void leave_row(shmring_t *q)
{
    /* Reservations are cancelled, messages held go back into the queue: as if it had died. */
    if (shmr_mpmc_holds_any(&q->mpmc) || q->unfinished)
        q->unfinished = !shmr_recover_row(q, q->row);
    if (!q->unfinished) /* else it does look dead, and somebody will finish that */
        shmr_row_detach(shmr_row_at(q->map.table, q->row));
}

static void detach(shmring_t *q)
{
    if (!q->attached || q->lost)
        return;
    if (q->kind == SHMRING_MPMC)
        leave_row(q);
    else if (q->attached & SHMRING_PRODUCER)
        shmr_row_detach(shmr_row_at(q->map.table, SHMR_ROW_PRODUCER));
    if (q->kind == SHMRING_SPSC && q->attached & SHMRING_CONSUMER)
        shmr_row_detach(shmr_row_at(q->map.table, SHMR_ROW_CONSUMER));
    /* Those who sleep see at once whether anybody is left. */
    for (int e = 0; e < SHMR_EVENTS; e++)
        (void)shmr_ring(q, e, INT_MAX);
}

int shmr_attach_repair(const shmring_t *q, uint32_t row)
{
    const bool producer = row == SHMR_ROW_PRODUCER;
    shmring_t *successor;
    int r = new_handle(&successor);

    if (r < 0)
        return r;
    successor->header = q->header;
    successor->geometry = q->geometry;
    successor->kind = q->kind;
    successor->roles = producer ? SHMRING_PRODUCER : SHMRING_CONSUMER;
    sigset_t signals;
    shmr_process_hold_fork(&signals); /* a child would have the mapping, until it is marked */
    r = map(successor, q->kept.fd, successor->roles);
    shmr_process_let_fork(&signals);
    if (r == 0)
        r = producer ? resume_producer(successor) : resume_consumer(successor);
    if (r == 0) {
        shmr_wait_init(successor, 0);
        successor->doorbell = shmr_doorbell_path(q->fd, q->header.created_ns);
        successor->attached = successor->roles;
        detach(successor);
    }
    if (successor->lost)
        r = shmr_handle_check_memory(successor);
    free_handle(successor);
    return r;
}

/*
 * Whoever removes a queue that nobody is attached to holds all rows' locks until its name is gone.
 * So once a row is locked, the name stays, or it is gone already.
 */
static bool has_lost_its_name(const shmring_t *q)
{
    struct stat mine, there;

    return (fstat(q->fd, &mine) == 0 && mine.st_nlink == 0) ||
           (lstat(q->name.path, &there) < 0 && errno == ENOENT);
}

/*
 * The handle has its descriptor, header and geometry: map it, take the roles. -ENOENT: it was
 * opened by name, and the name is gone.
 */
static int attach(shmring_t *q, unsigned flags, bool by_name)
{
    int r = 0;

    q->kind = q->geometry.kind;
    q->roles = flags & ROLES;
    if (q->roles)
        r = shmr_segment_own(q->fd, &q->geometry);
    if (r == 0)
        r = map_and_lock(q, flags);
    if (r == 0 && by_name && q->roles && has_lost_its_name(q))
        r = shmr_fail(ENOENT, "%s was removed just now", q->name.path);
    if (r == 0)
        r = shmr_segment_touch(&q->map, flags);
    if (r == 0 && q->roles) {
        shmr_wait_init(q, flags);
        q->doorbell = shmr_doorbell_path(q->fd, q->header.created_ns);
    }
    if (r == 0)
        r = become(q);
    if (r == 0)
        r = shmr_handle_check_memory(q);
    if (r < 0 && q->map.base)
        detach(q);
    if (r == 0)
        SHMR_TRACE(attach, q, q->roles, q->row);
    return r;
}

/* What SHMRING_OPEN_OR_CREATE would have created. */
struct wanted {
    const struct shmr_geometry *geometry;
    uint32_t mode;
};

static int check_wanted(const shmring_t *q, const struct wanted *wanted)
{
    struct stat st;
    int r = shmr_geometry_same(&q->geometry, wanted->geometry);

    if (r == 0 && fstat(q->fd, &st) < 0) /* unknown is not the same */
        r = shmr_fail(errno, "descriptor %d: %s", q->fd, strerror(errno));
    if (r == 0 && (st.st_mode & 0777) != wanted->mode)
        r = shmr_fail(EEXIST, "it exists with mode 0%o, not 0%" PRIo32, st.st_mode & 0777,
                      wanted->mode);
    return r;
}

/*
 * Open the segment that fd refers to; fd becomes the handle's. name and wanted may be NULL.
 * by_name: the name led to it just now.
 */
static int open_segment(shmring_t **out, int fd, const struct shmr_name *name, bool by_name,
                        unsigned flags, const struct wanted *wanted)
{
    shmring_t *q = NULL;
    int r = new_handle(&q);

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
    if (r == -EAGAIN && !name) /* who waits for a creator waits for a name */
        r = -EBADMSG;
    if (r == 0 && wanted)
        r = check_wanted(q, wanted);
    if (r == 0)
        r = attach(q, flags, by_name);
    if (r == -EBADMSG)
        SHMR_TRACE_NAMED(corrupt, q, q->name.text, shmring_strerror_detail());
    if (r < 0) {
        free_handle(q);
        return r;
    }
    *out = q;
    return 0;
}

static int open_access(unsigned flags)
{
    return flags & ROLES ? O_RDWR : O_RDONLY;
}

static int open_named(shmring_t **q, const struct shmr_name *name, unsigned flags,
                      const struct wanted *wanted)
{
    int r = -ENOENT, fd = 0;

    if (name->backend == SHMR_MEMFD)
        return shmr_fail(EINVAL, "a memfd queue has no name to open: use shmring_open_fd()");
    /* What was removed between opening and attaching was not there: perhaps there is a new one. */
    for (int tries = OPEN_TRIES; r == -ENOENT && fd >= 0 && tries > 0; tries--) {
        r = fd = shmr_file_open(name, open_access(flags));
        if (fd >= 0)
            r = open_segment(q, fd, name, true, flags, wanted);
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
    return r < 0 ? r : open_named(q, &parsed, flags, NULL);
}

/* name: of the handle whose descriptor it is, or NULL. */
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
    /* A description of its own: the one received is shared with whoever sent it, locks and all. */
    own = reopen(fd, name, open_access(flags));
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

/* The mode asked for, or the usual one. */
static mode_t mode_of(const struct shmr_name *name, const struct shmring_config *config)
{
    return config->mode ? config->mode : name->backend == SHMR_MEMFD ? 0666 : 0600;
}

/* Create, attach, and only then show it: nobody can be quicker to take the creator's roles. */
static int create_new(shmring_t **out, const struct shmr_name *name, const struct shmr_geometry *g,
                      const struct shmring_config *config)
{
    bool in_place = false;
    shmring_t *q;
    int r = new_handle(&q);

    if (r < 0)
        return r;
    q->name = *name;
    q->geometry = *g;
    r = name->backend == SHMR_MEMFD ? shmr_memfd_create(name, g->flags)
                                    : shmr_file_create(name, g->flags, &in_place);
    if (r >= 0 && (q->fd = shmr_process_keep_fd(r)) < 0)
        r = shmr_fail(errno, "moving the segment's descriptor: %s", strerror(errno));
    if (r >= 0)
        r = shmr_segment_init(q->fd, name, g, mode_of(name, config), &q->header);
    if (r == 0)
        r = attach(q, config->flags, false);
    if (r == 0)
        r = shmr_segment_mark(q->fd, g->flags & SHMRING_HUGE_PAGES, SHMR_MAGIC);
    if (r == 0 && !in_place && name->backend != SHMR_MEMFD)
        r = shmr_file_publish(q->fd, name);
    if (r < 0) {
        if (in_place)
            shmr_file_abandon(q->fd, name);
        free_handle(q);
        return r;
    }
    *out = q;
    return 0;
}

/* Open what exists already, if it is what would have been created. */
static int open_same(shmring_t **out, const struct shmr_name *name, const struct shmr_geometry *g,
                     const struct shmring_config *config)
{
    const struct wanted wanted = {g, mode_of(name, config)};
    const unsigned roles = config->flags & (ROLES | SHMRING_OBSERVER);

    return open_named(out, name,
                      (roles ? roles : SHMRING_OBSERVER) | (config->flags & OPEN_OPTIONS), &wanted);
}

int shmring_create(shmring_t **q, const char *text, const struct shmring_config *config)
{
    struct shmr_name name;
    struct shmr_geometry g;
    int r;

    SHMR_NO_CANCEL();
    if (!q)
        return shmr_fail(EINVAL, "the place for the handle is NULL");
    *q = NULL;
    if (!config)
        return shmr_fail(EINVAL, "the configuration is NULL");
    r = shmr_name_parse(&name, text);
    if (r == 0)
        r = shmr_geometry(&g, config);
    if (r == 0 && config->flags & SHMRING_OBSERVER && config->flags & ROLES)
        r = shmr_fail(EINVAL, "an observer has no other role");
    if (r < 0)
        return r;
    if (!(config->flags & SHMRING_OPEN_OR_CREATE) || name.backend == SHMR_MEMFD)
        return create_new(q, &name, &g, config);
    for (int tries = OPEN_OR_CREATE_TRIES;; tries--) {
        r = open_same(q, &name, &g, config);
        /* -EAGAIN: unfinished; it is created anew if its creator died. */
        if ((r != -ENOENT && r != -EAGAIN) || tries == 0)
            return r;
        r = create_new(q, &name, &g, config);
        if (r != -EEXIST)
            return r;
    }
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
        detach(q);
        SHMR_TRACE(close, q, q->roles, q->row);
    } else {
        q->map.base = NULL; /* the parent's: never mapped here */
    }
    free_handle(q);
    *handle = NULL;
}
