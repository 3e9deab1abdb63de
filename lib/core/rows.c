/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "base/identity.h"
#include "core/file_system.h"

enum { OWNERS_BYTES = 1, RECOVERERS_BYTES = 2 };

static struct flock row_bytes(const struct shmr_geometry *g, uint32_t row, short type, off_t bytes)
{
    return (struct flock){.l_type = type,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)(g->table + row * sizeof(struct shmr_row)),
                          .l_len = bytes};
}

static int set_lock(int fd, const struct shmr_geometry *g, uint32_t row, short type, off_t bytes)
{
    struct flock lock = row_bytes(g, row, type, bytes);

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return -EBUSY;
    return shmr_fail_call(errno, "locking the participant's row", 0, 0);
}

int shmr_row_lock(int fd, const struct shmr_geometry *g, uint32_t row)
{
    return set_lock(fd, g, row, F_WRLCK, OWNERS_BYTES);
}

int shmr_row_lock_dead(int fd, const struct shmr_geometry *g, uint32_t row)
{
    return set_lock(fd, g, row, F_WRLCK, RECOVERERS_BYTES);
}

void shmr_row_unlock(int fd, const struct shmr_geometry *g, uint32_t row)
{
    struct flock lock = row_bytes(g, row, F_UNLCK, RECOVERERS_BYTES);

    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

void shmr_unlock_all(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

int shmr_row_holder(int fd, const struct shmr_geometry *g, uint32_t row)
{
    struct flock lock = row_bytes(g, row, F_WRLCK, OWNERS_BYTES);

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return shmr_fail_call(errno, "testing the lock of a participant's row", 0, 0);
    if (lock.l_type == F_UNLCK)
        return SHMR_NO_HOLDER;
    if (lock.l_type == F_RDLCK)
        return SHMR_REMOVER;
    return lock.l_len == OWNERS_BYTES ? SHMR_OWNER : SHMR_RECOVERER;
}

int shmr_row_is_locked(int fd, const struct shmr_geometry *g, uint32_t row)
{
    const int holder = shmr_row_holder(fd, g, row);

    return holder < 0 ? holder : holder == SHMR_OWNER;
}

/* ---- Does a lock hold? ----------------------------------------------------------------------- */

/*
 * The offset of a byte that no other call locks: far behind the largest segment. Two threads of one
 * process may ask in the same nanosecond, so their calls are counted; two processes with one pid,
 * in two pid namespaces, differ in the nanosecond.
 */
static off_t lonely_byte(void)
{
    static _Atomic uint32_t calls;
    const uint64_t call = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % 1024;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (off_t)(UINT64_C(1) << 61 | (uint64_t)getpid() << 38 | call << 28 |
                   (uint64_t)now.tv_nsec % (UINT64_C(1) << 28));
}

static int lock_byte(int fd, off_t at, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return shmr_fail(EBUSY, "another process has locked the whole file: try again");
    if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
        return shmr_fail(
            EOPNOTSUPP,
            "%s has no locks of open file descriptions (%s), which show that a process is alive: "
            "use a queue in /dev/shm or on another file system",
            shmr_file_system_name(fd), strerror(errno));
    return shmr_fail(errno, "locking a byte of the segment: %s", strerror(errno));
}

static int byte_is_locked(int fd, off_t at)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return shmr_fail(errno, "testing the lock of a byte of the segment: %s", strerror(errno));
    return lock.l_type != F_UNLCK;
}

/* Does a mapping keep the lock of its description? 1: the lock stayed while the mapping was there,
 * and ended with it. 0: the lock ended when the descriptor was closed. -EAGAIN: the lock outlived
 * the mapping, so a forked process has the descriptor, and the test proves nothing. */
static int mapping_holds(int watch, const struct shmr_geometry *g, int (*reopen)(const void *),
                         const void *arg)
{
    const off_t byte = lonely_byte();
    void *page = MAP_FAILED;
    int with = 0, after = 0, fd = reopen(arg), r = fd < 0 ? fd : lock_byte(fd, byte, F_WRLCK);

    if (r == 0) {
        page = mmap(NULL, g->page_size, PROT_READ, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED)
            r = shmr_fail(shmr_not_again(errno, ENOMEM), "mapping the header: %s", strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    if (page != MAP_FAILED) {
        r = with = byte_is_locked(watch, byte);
        munmap(page, g->page_size);
    }
    if (r > 0)
        r = after = byte_is_locked(watch, byte);
    return r < 0 ? r : after ? -EAGAIN : with;
}

/* Does another description see the lock of a descriptor that stays open? 1, 0 or -errno. */
static int descriptor_holds(int watch, int held)
{
    const off_t byte = lonely_byte();
    int r = lock_byte(held, byte, F_WRLCK);

    if (r < 0)
        return r;
    r = byte_is_locked(watch, byte);
    (void)lock_byte(held, byte, F_UNLCK);
    return r;
}

/* Limit on tests of a mapping: other threads may fork processes all the time, and each has the
 * descriptor until it calls exec. */
#define HOLD_TRIES 10

int shmr_locks_hold(int watch, int held, const struct shmr_geometry *g, int (*reopen)(const void *),
                    const void *arg)
{
    int r = descriptor_holds(watch, held);

    if (r < 0)
        return r;
    if (r == 0)
        return shmr_fail(EOPNOTSUPP,
                         "on %s a process does not see the locks of another one, which show that a "
                         "process is alive: use a queue in /dev/shm or on another file system",
                         shmr_file_system_name(held));
    r = -EAGAIN;
    for (int tries = HOLD_TRIES; r == -EAGAIN && tries > 0; tries--)
        r = mapping_holds(watch, g, reopen, arg);
    return r == -EAGAIN ? 0 : r;
}

/* ---- What a row says ------------------------------------------------------------------------- */

bool shmr_row_is_attached(struct shmr_row *row)
{
    /* row:A1, pairs with row:R1 in shmr_row_attach and shmr_row_detach. */
    return atomic_load_explicit(&row->state, memory_order_acquire) == SHMR_ROW_ATTACHED;
}

/* row:R2, pairs with row:A2. If a reader reads this count, then it reads the state ATTACHED, or a
 * later state. */
static void count_one_more(_Atomic uint64_t *count)
{
    uint64_t n = atomic_load_explicit(count, memory_order_relaxed);

    atomic_store_explicit(count, n + 1, memory_order_release); /* the row is locked: one writer */
}

void shmr_row_attach(struct shmr_row *row, uint32_t role)
{
    struct shmr_identity me;
    uint64_t comm[2];
    uint32_t generation = atomic_load_explicit(&row->generation, memory_order_relaxed);

    shmr_identity_self(&me);
    memcpy(comm, me.comm, sizeof comm);
    atomic_store_explicit(&row->generation, generation + 1, memory_order_relaxed);
    atomic_store_explicit(&row->pid, me.pid, memory_order_relaxed);
    atomic_store_explicit(&row->role, role, memory_order_relaxed);
    atomic_store_explicit(&row->start_time, me.start_time, memory_order_relaxed);
    atomic_store_explicit(&row->pid_ns, me.pid_ns, memory_order_relaxed);
    atomic_store_explicit(&row->attached_ns, (uint64_t)me.now_ns, memory_order_relaxed);
    atomic_store_explicit(&row->uid, me.uid, memory_order_relaxed);
    atomic_store_explicit(&row->comm[0], comm[0], memory_order_relaxed);
    atomic_store_explicit(&row->comm[1], comm[1], memory_order_relaxed);
    /* row:R1: if a reader (row:A1) reads ATTACHED, then it reads the whole identity. */
    atomic_store_explicit(&row->state, SHMR_ROW_ATTACHED, memory_order_release);
    if (role & SHMRING_PRODUCER)
        count_one_more(&row->producers);
    if (role & SHMRING_CONSUMER)
        count_one_more(&row->consumers);
}

uint64_t shmr_row_taken_as(const struct shmr_row *row, uint32_t role)
{
    /* row:A2, pairs with row:R2 in count_one_more(). */
    return atomic_load_explicit(role == SHMRING_PRODUCER ? &row->producers : &row->consumers,
                                memory_order_acquire);
}

/* The number of deaths and the generation of the last dead owner are one word. So if the recoverer
 * dies here, and the next one notes the same death again, it counts once. */
void shmr_row_note_death(struct shmr_row *row)
{
    const uint64_t deaths = atomic_load_explicit(&row->deaths, memory_order_relaxed);
    const uint32_t generation = atomic_load_explicit(&row->generation, memory_order_relaxed);

    if (deaths >> 32 != generation)
        atomic_store_explicit(&row->deaths, (uint64_t)generation << 32 | (uint32_t)(deaths + 1),
                              memory_order_relaxed);
}

uint32_t shmr_row_deaths(struct shmr_row *row)
{
    const bool attached = shmr_row_is_attached(row);
    const uint64_t deaths = atomic_load_explicit(&row->deaths, memory_order_relaxed);
    const uint32_t generation = atomic_load_explicit(&row->generation, memory_order_relaxed);

    return (uint32_t)deaths - (attached && deaths >> 32 == generation && deaths != 0);
}

void shmr_row_detach(struct shmr_row *row)
{
    /* row:R1: if a successor (row:A1) reads FREE, then its stores come after this owner's. */
    atomic_store_explicit(&row->state, SHMR_ROW_FREE, memory_order_release);
}

void shmr_row_read(struct shmring_participant *out, struct shmr_row *row)
{
    uint64_t comm[2];

    memset(out, 0, sizeof *out);
    (void)atomic_load_explicit(&row->state, memory_order_acquire); /* row:A1 */
    out->generation = atomic_load_explicit(&row->generation, memory_order_relaxed);
    out->pid = atomic_load_explicit(&row->pid, memory_order_relaxed);
    out->role = atomic_load_explicit(&row->role, memory_order_relaxed);
    out->start_time = atomic_load_explicit(&row->start_time, memory_order_relaxed);
    out->pid_namespace = atomic_load_explicit(&row->pid_ns, memory_order_relaxed);
    out->attached_ns = (int64_t)atomic_load_explicit(&row->attached_ns, memory_order_relaxed);
    out->uid = atomic_load_explicit(&row->uid, memory_order_relaxed);
    comm[0] = atomic_load_explicit(&row->comm[0], memory_order_relaxed);
    comm[1] = atomic_load_explicit(&row->comm[1], memory_order_relaxed);
    memcpy(out->comm, comm, sizeof out->comm);
    out->comm[sizeof out->comm - 1] = 0;
}
