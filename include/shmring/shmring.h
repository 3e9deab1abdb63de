/* SPDX-License-Identifier: MIT */
/*
 * shmring: named message queues in shared memory.
 *
 * Processes that open the same name exchange messages with no system call, no lock and no copy
 * they did not ask for. This header is all there is to the core library; it is C11 and C++11.
 *
 *   producer                                    consumer
 *   shmring_create(&q, "orders", &config);      shmring_open(&q, "orders", SHMRING_CONSUMER);
 *   shmring_send(q, msg, len);                  n = shmring_recv(q, buf, sizeof buf);
 *   shmring_close(&q);                          shmring_close(&q);
 *
 * Names
 *   "orders"        POSIX shared memory (/dev/shm/orders). Letters, digits, '.', '_' and '-', not
 *                   starting with '.' or '-', at most SHMRING_NAME_MAX bytes.
 *   "file:PATH"     a file at PATH: tmpfs, disk, hugetlbfs. It survives what its file system
 *                   survives.
 *   "memfd:LABEL"   no name at all: a sealed memfd that is passed on by shmring_segment_fd().
 *
 * Results
 *   Calls return 0 or a count when they succeed and a negative errno value when they do not.
 *   -EAGAIN from sending and receiving is an ordinary result: full or empty just now. After any
 *   other failure shmring_strerror_detail() says in words what was wrong and what to do about it.
 *
 * Every call on a handle can also return
 *   -EBADF     the handle is NULL (shmring_close() clears it).
 *   -ENOTCONN  the handle was opened by the parent of this forked process: use shmring_dup().
 *   -EBADMSG   the segment holds something no correct participant writes; the detail names it.
 *              The handle is poisoned: every later call on it returns -EBADMSG too. Nothing outside
 *              the handle is touched. With shmring_guard_sigbus() also: its memory is gone.
 *   -ESTALE    nobody can reach the queue by its name any more: it was removed, moved, or replaced
 *              by another. Messages still in it can be received.
 *   -EDEADLK   another thread is in a call on the handle. Only a library that was configured with
 *              --enable-checks notices. It refuses the second call and lets the first go on; from
 *              shmring_close(), which returns nothing, the handle comes back open.
 *
 * Errors of the kernel
 *   Calls that ask the kernel pass on what it refuses, with the step that failed in the detail:
 *   besides the errors listed at each -ENOMEM, -EMFILE, -ENFILE, -EACCES, -EPERM, -EIO, -EOVERFLOW
 *   and, by file systems that have them, -EINTR, -ENOLCK, -EDQUOT, -ENODEV. Such a call has changed
 *   nothing, and may be made again.
 *
 * Threads and signals
 *   A handle is used by one thread at a time; only shmring_dup() and shmring_segment_fd() may be
 *   called while another thread uses it. Different handles, also of the same queue, are
 *   independent. shmring_send(), shmring_recv(), their batches, reserve/commit/cancel and
 *   peek/release neither allocate, lock nor sleep; a signal handler may call them on a handle that
 *   the interrupted code does not use. All other calls are thread-safe and not signal-safe.
 *   No call is a cancellation point. shmring_process(7) has the rest: fork, vfork, dlclose, stacks.
 *
 * What may run at the same time on an spsc queue
 *                    send side   receive side   observer   close of another handle
 *     send side      no (1)      yes            yes        yes
 *     receive side   yes         no (1)         yes        yes
 *     observer       yes         yes            yes        yes
 *   (1) the queue has one producer and one consumer: a second one gets -EBUSY when it opens.
 * On an mpmc queue everything may run at the same time as everything else, on different handles.
 *
 * Caveats
 *   - Delivery is at least once: a message that a consumer had taken and not released when it died
 *     is delivered again, with SHMRING_REDELIVERED set in its info.
 *   - A process killed between its last message and the return of shmring_send() may have sent it.
 *   - Everybody who may write to a segment may also damage its messages. Choose the mode
 *     accordingly; peers that do not trust each other use memfd segments, which cannot be
 *     truncated.
 *   - Of a file that is truncated the next access raises SIGBUS, unless shmring_guard_sigbus() was
 *     called.
 */
#ifndef SHMRING_SHMRING_H
#define SHMRING_SHMRING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHMRING_VERSION_MAJOR 0
#define SHMRING_VERSION_MINOR 9
#define SHMRING_VERSION_PATCH 0

#if defined __GNUC__
#define SHMRING_API __attribute__((visibility("default")))
#else
#define SHMRING_API
#endif

/* An attached participant of a queue, or an observer of it. */
typedef struct shmring shmring_t;

enum {
    SHMRING_NAME_MAX = 200, /* bytes of a POSIX or memfd name, without the prefix */
    SHMRING_PATH_MAX = 250  /* bytes of PATH in "file:PATH" */
};

/* Kinds of queue. */
enum {
    SHMRING_SPSC = 1, /* one producer, one consumer, messages of any length */
    SHMRING_MPMC = 2  /* many of each; lock-free, whoever is killed or stopped wherever */
};

/* Roles, for shmring_open(), shmring_dup() and shmring_config.flags. */
enum {
    SHMRING_PRODUCER = 0x1,
    SHMRING_CONSUMER = 0x2, /* PRODUCER | CONSUMER: one handle that is both */
    SHMRING_OBSERVER = 0x4  /* reads counters; read-only mapping, never disturbs anybody */
};

/* Options, or-ed to the roles. */
enum {
    /* shmring_create() only */
    SHMRING_OPEN_OR_CREATE = 0x10, /* open the name if it exists already with the same parameters */
    SHMRING_HUGE_PAGES = 0x20,     /* 2 MiB pages; every section becomes a multiple of that */
    /* mpmc: a message whose consumer died is dropped, not redelivered */
    SHMRING_AT_MOST_ONCE = 0x100,
    /* shmring_create(), shmring_open() and their kin; they concern this handle's mapping */
    SHMRING_PREFAULT = 0x40, /* touch every page now rather than at the first message */
    SHMRING_MLOCK = 0x80,    /* lock the mapping into memory */
    /* Send and receive without a fence of their own also while others may sleep; those who go to
       sleep interrupt this process instead, by membarrier(2). For many messages and few sleeps.
       Where the kernel does not do that, it has no effect. */
    SHMRING_ASYMMETRIC_FENCE = 0x200,
    /* shmring_open_fd() and its kin: only a sealed memfd, not any file whose descriptor it is. */
    SHMRING_SEALED = 0x400,
    /* Core files of this process hold the queue, as far as /proc/PID/coredump_filter lets them:
       memfd queues, and with its bit 3 named ones. Without this they are left out. */
    SHMRING_CORE_DUMP = 0x800
};

/*
 * What shmring_create() makes. Start from zeroes: struct shmring_config config = {.kind = …};
 */
struct shmring_config {
    uint32_t kind;     /* SHMRING_SPSC or SHMRING_MPMC */
    uint32_t flags;    /* roles and options; no role at all means SHMRING_OBSERVER */
    uint64_t capacity; /* A power of two. spsc: bytes, at least a page (4096); a message of n bytes
                          takes shmring_record_size(n) of them, 8 always stay free.
                          mpmc: messages, 2 to 2^24. */
    uint32_t max_message; /* longest message, bytes, at most 2^30. spsc: at most capacity - 16; 0 is
                             the most there can be. mpmc: not 0; every message takes a block of
                             this size and 24 bytes more, rounded up to 64. */
    uint32_t mode;        /* permission bits, exact whatever the umask; 0: 0600
                             (0666 for memfd, where holding the descriptor is the permission) */
    uint32_t max_participants; /* mpmc: attached at the same time, at most 1024; 0: 64 */
    uint32_t reserved[5];      /* zero */
};

enum { SHMRING_PARTICIPANTS_MAX = 1024 };

/* Bytes of an spsc ring that a message of len bytes takes, with its 4-byte header and padding. */
static inline uint64_t shmring_record_size(uint32_t len)
{
    return (UINT64_C(4) + len + 7) & ~UINT64_C(7);
}

/* About a message, filled in by shmring_peek(). */
struct shmring_info {
    uint32_t deliveries; /* 1 the first time; larger when an earlier consumer had it and did not
                            release it */
    uint32_t flags;      /* SHMRING_REDELIVERED */
    uint64_t position; /* Where it was first published, since the queue's creation: no two messages
                          of a queue have the same, and it stays when one is delivered again. spsc:
                          in bytes; mpmc: in messages. */
};
enum {
    SHMRING_REDELIVERED = 0x1 /* somebody may have seen this message before */
};

/*
 * A queue's description and counters, filled in by shmring_stat(). While nobody is at work they are
 * exact, wherever those who died were killed: sent = received + messages that shmring_dump() shows
 * + dropped.
 */
struct shmring_stat {
    uint32_t kind;
    /* SHMRING_HUGE_PAGES, SHMRING_AT_MOST_ONCE; SHMRING_STALE when its name is gone */
    uint32_t flags;
    uint64_t capacity;
    uint32_t max_message;
    uint32_t mode; /* permission bits now */
    uint32_t uid;  /* owner now */
    uint32_t gid;
    uint64_t segment_bytes; /* whole segment, allocated */
    uint64_t depth;         /* messages waiting now; spsc: and those that the consumer holds */
    uint64_t depth_bytes;   /* bytes of the data section they take */
    uint64_t high_water; /* most of the capacity ever in use, in its unit, sampled now and then */
    uint64_t sent;       /* messages committed since creation */
    uint64_t sent_bytes; /* their payload */
    uint64_t received;   /* messages released since creation */
    uint64_t received_bytes;
    uint64_t full_events;  /* times a send found the queue full after a success */
    uint64_t empty_events; /* times a receive found it empty after a success */
    uint64_t takeovers;    /* dead participants whose role was taken over, or who were recovered */
    uint64_t redelivered;  /* mpmc: messages taken back from the dead, to be published again */
    uint64_t dropped;      /* mpmc with SHMRING_AT_MOST_ONCE: messages given up instead */
    int64_t created_ns;    /* CLOCK_REALTIME */
    uint32_t creator_pid;  /* as the creator saw itself */
    uint32_t creator_uid;
    uint32_t participants; /* attached and alive now */
    uint32_t dead;         /* rows whose participant died and was not replaced yet */
    char creator_comm[16];
    char name[256]; /* as given to shmring_create() */
    uint32_t max_participants;
    uint32_t asleep; /* SHMRING_READABLE, SHMRING_WRITABLE: somebody sleeps until that is so, or
                        gave up doing so and was not missed yet */
    uint64_t producers_ever; /* how often a participant attached as a producer, since creation */
    uint64_t consumers_ever;
    uint64_t reserved[3];
};
enum {
    SHMRING_STALE = 0x1000 /* in shmring_stat.flags */
};

/* One row of the participant table, filled in by shmring_participants(). */
struct shmring_participant {
    uint32_t row;
    uint32_t role;          /* SHMRING_PRODUCER, SHMRING_CONSUMER, or both */
    uint32_t alive;         /* 1: its lock is held, says the kernel; 0: it died */
    uint32_t pid;           /* as it saw itself; compare pid_namespace before using it */
    uint64_t start_time;    /* clock ticks since boot, field 22 of /proc/PID/stat */
    uint64_t pid_namespace; /* inode of its /proc/self/ns/pid */
    uint32_t uid;
    uint32_t generation; /* how often this row was taken */
    int64_t attached_ns; /* CLOCK_REALTIME */
    char comm[16];
    uint64_t sent; /* by all owners of this row, since creation */
    uint64_t received;
    uint64_t held; /* mpmc: blocks it owns now: being filled, reserved, or taken and not released */
    int64_t held_ns; /* for how long it has held any between two calls; 0: it does not */
    uint64_t reserved[4];
};

/* ---- Life ---------------------------------------------------------------------------------- */

/*
 * Create the queue NAME and attach to it in the roles of config->flags.
 *
 * The segment appears under its name complete or not at all, fully allocated (no SIGBUS later) and
 * with exactly the mode asked for. With SHMRING_OPEN_OR_CREATE an existing queue of the same
 * parameters is opened instead, so either side may start first.
 *
 * Returns 0 and sets *q, or with *q set to NULL
 *   -EINVAL      a bad name or parameter; the detail names it
 *   -ENAMETOOLONG  more than SHMRING_NAME_MAX (SHMRING_PATH_MAX) bytes
 *   -EEXIST      the name exists; with SHMRING_OPEN_OR_CREATE: with other parameters
 *   -ENOSPC      the file system, memory or this process's memory cgroup has not enough room; the
 *                detail has both numbers
 *   -EFBIG       larger than RLIMIT_FSIZE or than this process can map
 *   -ENOMEM      no address space, or RLIMIT_MEMLOCK too low for SHMRING_MLOCK
 *   -EOPNOTSUPP  SHMRING_HUGE_PAGES where the backend has none; a file system where a queue cannot
 *                be all that it should: shmring_create(3), "File systems"
 *   -ENOSYS      /proc is not mounted, or the kernel is older than Linux 4.14
 *   -EACCES, -EPERM, -EROFS, -ENOENT and -ENOTDIR (the directory), -EMFILE, -ENFILE  from the
 *                kernel
 *   and, when opening, what shmring_open() returns.
 * May sleep in the kernel. Blocking; a crash on the way leaves no name behind.
 */
SHMRING_API int shmring_create(shmring_t **q, const char *name,
                               const struct shmring_config *config);

/*
 * Attach to the existing queue NAME; flags: one role or SHMRING_PRODUCER | SHMRING_CONSUMER, and
 * SHMRING_PREFAULT, SHMRING_MLOCK, SHMRING_ASYMMETRIC_FENCE, SHMRING_CORE_DUMP, SHMRING_SEALED. A
 * role whose holder died is taken over: everything it had committed is still there, and what it had
 * taken without releasing is delivered again.
 *
 * Returns 0 and sets *q, or with *q set to NULL
 *   -EINVAL           a bad name, no role or an unknown flag
 *   -ENAMETOOLONG     see shmring_create()
 *   -ENOENT           there is no such queue
 *   -EBUSY            the role is held by a live process; the detail says by whom. Or another
 *                     process removes the queue just now (shmring gc), recovers the role, or has a
 *                     lease on the file (fcntl(2), F_SETLEASE): the detail says which; try again
 *   -EBADMSG          not a queue, damaged, or shorter than its header says
 *   -EPROTONOSUPPORT  a queue of another layout, byte order or page size
 *   -EFBIG            a queue larger than this process, of 32 bits, can map
 *   -EAGAIN           its creator is still at work, or died before it had finished (only where
 *                     O_TMPFILE is not supported), or the file is empty; with a detail, other than
 *                     -EAGAIN elsewhere
 *   -EOPNOTSUPP, -ENOSPC  its file was copied to where it cannot be used: as shmring_create(); or
 *                     its file system has no locks that tell who is alive
 *   -EACCES           no permission; observers need to read, others also to write
 *   -ELOOP, -EISDIR   NAME is a symbolic link, a directory
 *   -ENOMEM           no address space, or RLIMIT_MEMLOCK too low for SHMRING_MLOCK
 *   -EUSERS           mpmc: max_participants are attached, or dead and just being recovered
 *   -EPERM            SHMRING_SEALED, and it is not a sealed memfd
 *   -ENOSYS           see shmring_create()
 *   -ENOTDIR, -EMFILE, -ENFILE  from the kernel.
 * Blocking. What dead participants of an mpmc queue held is recovered, see shmring_recover().
 */
SHMRING_API int shmring_open(shmring_t **q, const char *name, unsigned flags);

/*
 * As shmring_open(), but wait for the name to appear: timeout is relative, NULL waits for ever,
 * zero does not wait. Sleeps on inotify; where that is not to be had (fs.inotify.max_user_instances
 * is used up) the name is looked up every 20 ms. Waits for the name only, not for a role.
 *
 * Returns as shmring_open(), and -ETIMEDOUT, -EINTR (a signal handler ran), -EINVAL (a timeout
 * out of range).
 */
SHMRING_API int shmring_open_wait(shmring_t **q, const char *name, unsigned flags,
                                  const struct timespec *timeout);

/*
 * Attach to the queue whose segment fd refers to: a memfd received over a socket or inherited, or
 * any descriptor from shmring_segment_fd(). fd stays the caller's and may be closed at once.
 *
 * Returns as shmring_open(), and -EBADF for a bad descriptor. A memfd that is not sealed against
 * shrinking is refused with -EPERM: whoever holds it could make this process die of SIGBUS. So
 * could whoever sends the descriptor of a file: with SHMRING_SEALED that is refused, too.
 */
SHMRING_API int shmring_open_fd(shmring_t **q, int fd, unsigned flags);

/*
 * Attach once more to the queue of q, in the roles of flags: for another thread, or in a forked
 * child, where the parent's handle cannot be used for anything else but this and shmring_close().
 * q must not be closed meanwhile. Returns as shmring_open().
 */
SHMRING_API int shmring_dup(shmring_t **copy, const shmring_t *q, unsigned flags);

/*
 * Detach and free the handle, and set *q to NULL. What was committed stays in the queue; a
 * reservation is cancelled; messages taken and not released are delivered again to the next
 * consumer. q and *q may be NULL. In a forked child it frees the child's copy of the handle and
 * leaves the parent attached.
 */
SHMRING_API void shmring_close(shmring_t **q);

/*
 * Remove the name. Those attached go on until they close; the memory is freed by the last.
 *
 * Returns 0, or -ENOENT, -ENOTDIR, -EACCES, -EPERM, -EINVAL (a bad or a memfd name), -ENAMETOOLONG,
 * -ELOOP, -EISDIR, -EBADMSG: what stands there is not a shmring segment, and was left alone. To see
 * that takes permission to read it (-EACCES), besides the permission to remove it.
 */
SHMRING_API int shmring_unlink(const char *name);

/*
 * Make usable again what dead participants held. Usually there is no need to call this: it is done
 * when a queue is opened, when a send finds it full and a receive finds it empty, and every few
 * thousand calls; at most every 50 ms, by one participant for all. It stops nobody and takes no
 * timeout for a death: the kernel says who is dead.
 *
 * mpmc: blocks without a message are freed; messages taken and not released are published again at
 * the end of the queue, flagged, with their delivery count (or dropped, with SHMRING_AT_MOST_ONCE).
 * spsc: the roles of the dead become free; what they leave is as shmring_open() says.
 *
 * report (may be NULL) gets all that was recovered through this handle since it was opened or since
 * the last report. Returns how many participants that was, or -EPERM for an observer's handle of an
 * mpmc queue, -EACCES, -EMFILE, -ENFILE. Calls the kernel; the mpmc part is lock-free.
 */
struct shmring_recovered {
    uint32_t row;
    uint32_t pid;
    char comm[16];
    uint64_t freed;       /* blocks */
    uint64_t redelivered; /* messages */
    uint64_t dropped;
};
enum { SHMRING_RECOVERED_MAX = 32 };
struct shmring_recovery {
    uint32_t participants; /* how many; the first SHMRING_RECOVERED_MAX are in who[] */
    uint32_t reserved;
    uint64_t freed;
    uint64_t redelivered;
    uint64_t dropped;
    struct shmring_recovered who[SHMRING_RECOVERED_MAX];
};
SHMRING_API int shmring_recover(shmring_t *q, struct shmring_recovery *report);

/*
 * The descriptor of the segment, to be sent over a UNIX socket or left to a child. It belongs to
 * the handle: do not close it. Returns it, or a negative error that every call can return.
 */
SHMRING_API int shmring_segment_fd(const shmring_t *q);

/*
 * Survive the loss of a segment's memory. A file can be truncated by whoever may write to it, or
 * have holes punched into it that its file system has no memory left for; the next access raises
 * SIGBUS, which ends the process. Once this was called, in every process that wants it, such an
 * access goes on in memory of this process alone. The call on the handle that was interrupted
 * returns -EBADMSG, and so does every later one; so what was read meanwhile is not told as a
 * message. Only a message from shmring_peek() may lose its rest, which then reads as zeroes, before
 * the caller's eyes: shmring_release() says -EBADMSG. Other handles, also of the same queue, are
 * not concerned.
 *
 * It installs a handler for SIGBUS for the whole process; it cannot be undone, and calling it again
 * changes nothing, unless the program has put the default action back. What is not the memory of a
 * handle is passed on to what was installed before: install yours first, or have it call this one.
 * A thread that blocks SIGBUS is not protected.
 *
 * Returns 0. Handles opened before are protected as well. Thread-safe. Not inherited over exec.
 */
SHMRING_API int shmring_guard_sigbus(void);

/* ---- Sending -------------------------------------------------------------------------------- */

/*
 * Send a copy of the len bytes at msg (0 is a length like any other). Never sleeps.
 *
 * Returns 0, or
 *   -EAGAIN       full just now
 *   -EMSGSIZE     longer than max_message
 *   -EPERM        not a producer's handle
 *   -EINPROGRESS  spsc: a reservation is open: commit or cancel it first
 * spsc: wait-free. mpmc: lock-free; a queue that is nearly full may say -EAGAIN once or twice
 * although a block is free, while others hold blocks out of turn. Signal-safe. Calls the kernel
 * only on every 65,536th -EAGAIN in a row, to see whether the name is still there (-ESTALE), mpmc
 * at most every 50 ms to look for dead participants, see shmring_recover(), and to wake somebody
 * who sleeps.
 */
SHMRING_API int shmring_send(shmring_t *q, const void *msg, size_t len);

/*
 * Send n messages, in order; spsc: made visible together. Returns how many were sent (fewer when
 * the queue gets full or a message is too long), or, when the first one cannot be sent, what
 * shmring_send() would return; -EINVAL for n < 1. Progress and signals as shmring_send().
 */
SHMRING_API int shmring_send_batch(shmring_t *q, const struct iovec *msgs, int n);

/*
 * Zero-copy sending: get len contiguous, 8-byte aligned bytes of the ring at *msg. Nobody sees
 * them before shmring_commit(). A handle has one reservation at a time; mpmc: SHMRING_RESERVED_MAX,
 * to be committed in any order. Returns as shmring_send(), and -ENOBUFS: so many are open.
 */
SHMRING_API int shmring_reserve(shmring_t *q, size_t len, void **msg);
enum { SHMRING_RESERVED_MAX = 64 };

/*
 * Publish the reservation msg with its first len bytes (at most what was reserved).
 *
 * Returns 0; -EINVAL: msg is not the open reservation; -EMSGSIZE: len is more than was reserved
 * (the reservation stays open); -EPERM as shmring_send(). Progress, signals and calls to the kernel
 * as shmring_send().
 */
SHMRING_API int shmring_commit(shmring_t *q, void *msg, size_t len);

/* Give the reservation msg back unsent. Returns 0, -EINVAL or -EPERM as shmring_commit(). */
SHMRING_API int shmring_cancel(shmring_t *q, void *msg);

/* ---- Receiving ------------------------------------------------------------------------------ */

/*
 * Receive the next message into buf. Never sleeps.
 *
 * Returns its length, or
 *   -EAGAIN       empty just now
 *   -EMSGSIZE     longer than size; it stays the next message
 *   -EPERM        not a consumer's handle
 *   -EINPROGRESS  spsc: messages from shmring_peek() are not released yet
 * Progress, signals and calls to the kernel as shmring_send().
 */
SHMRING_API ssize_t shmring_recv(shmring_t *q, void *buf, size_t size);

/*
 * Receive up to n messages: iov_len is each buffer's size before and the message's length after.
 * Returns how many were received (fewer when the queue gets empty or a message does not fit), or,
 * when the first one cannot be received, what shmring_recv() would return; -EINVAL for n < 1.
 */
SHMRING_API int shmring_recv_batch(shmring_t *q, struct iovec *msgs, int n);

/*
 * Zero-copy receiving: take the next message and point *msg at it, 8-byte aligned, read-only. It
 * stays the caller's until shmring_release(); if the caller dies before, the next consumer gets it
 * again. info may be NULL. As many messages as the queue has may be held; an spsc queue takes them
 * back in the order they were given.
 *
 * Returns its length, or -EAGAIN, -EPERM as shmring_recv().
 */
SHMRING_API ssize_t shmring_peek(shmring_t *q, const void **msg, struct shmring_info *info);

/*
 * Give back, as done with, the oldest message held; mpmc: any of them. Returns 0; -EINVAL: msg is
 * not it (released already, or out of turn); -EPERM as shmring_recv(). Wait-free. Signal-safe.
 * Calls the kernel as shmring_send().
 */
SHMRING_API int shmring_release(shmring_t *q, const void *msg);

/* ---- Waiting -------------------------------------------------------------------------------- */

/*
 * As shmring_send(), shmring_reserve(), shmring_recv() and shmring_peek(), but instead of returning
 * -EAGAIN they wait: look again for a while, and then sleep. timeout is relative and counts from
 * the first look that failed (CLOCK_MONOTONIC); NULL waits for ever, zero is one attempt.
 *
 * While nobody sleeps, neither these nor the calls on the other side make a system call. A sleeper
 * is woken by the call that sends, or makes room; of several, one for each message. It looks by
 * itself at least every 50 ms (see shmring_set_waiting()): so a peer that was killed or stopped
 * between publishing and waking costs that long at the most, and what dead participants held comes
 * back.
 *
 * They return what the call they wait for returns, except -EAGAIN, and
 *   -ETIMEDOUT  the time is over
 *   -EINTR      a signal handler ran while this thread slept
 *   -EINVAL     a timeout that is negative, or with more than 999,999,999 ns
 *   -ESTALE     the name is gone; noticed within a second or so, or recheck_ms if that is longer
 *   -EPERM, -ENOSYS  every system call that sleeps is refused to this process, by a seccomp filter
 *   -EPIPE      only with SHMRING_WAIT_PEERS or SHMRING_WAIT_HANGUP: nothing can come, the other
 *               side has no live participant
 * Blocking. Not for signal handlers.
 */
SHMRING_API int shmring_send_wait(shmring_t *q, const void *msg, size_t len,
                                  const struct timespec *timeout);
SHMRING_API int shmring_reserve_wait(shmring_t *q, size_t len, void **msg,
                                     const struct timespec *timeout);
SHMRING_API ssize_t shmring_recv_wait(shmring_t *q, void *buf, size_t size,
                                      const struct timespec *timeout);
SHMRING_API ssize_t shmring_peek_wait(shmring_t *q, const void **msg, struct shmring_info *info,
                                      const struct timespec *timeout);

/* What a queue can be waited for to become. */
enum {
    SHMRING_READABLE = 0x1, /* a message is there to be received */
    SHMRING_WRITABLE = 0x2  /* there is room for the message that was last refused with -EAGAIN */
};

/*
 * Wait until one of the events is there: SHMRING_READABLE (for a consumer), SHMRING_WRITABLE (for a
 * producer), or both. Another participant of an mpmc queue may be quicker: the next call can say
 * -EAGAIN all the same. Returns the events that are there, or -EINVAL, -EPERM (not that role), or
 * -ETIMEDOUT, -EINTR, -ESTALE, -EPIPE as above.
 */
SHMRING_API int shmring_wait(shmring_t *q, unsigned events, const struct timespec *timeout);

/* How this handle waits. */
struct shmring_waiting {
    uint32_t spin_ns;    /* look for so long, at most, before sleeping; 0: sleep at once. What waits
                            took of late decides for how long it is really done. */
    uint32_t recheck_ms; /* look by itself so often while asleep; 0: 50. In the first 50 ms in which
                            anybody sleeps at a queue, nobody sleeps for longer than 50. */
    uint32_t flags;      /* SHMRING_WAIT_PEERS, SHMRING_WAIT_HANGUP */
    uint32_t reserved[5];
};
enum {
    /* -EPIPE rather than to wait for a side that has no live participant */
    SHMRING_WAIT_PEERS = 0x1,
    /* The same, but only once the other side has had a participant since the queue was made: so a
       consumer that starts first waits for a producer, and ends when all have left. spsc: since a
       handle of this role was last told -EPIPE, so that a queue can be used again and again. */
    SHMRING_WAIT_HANGUP = 0x2
};

/* Change that; w NULL: as it was at first, 50,000 ns, 50 ms and no flag. Returns 0 or -EINVAL. */
SHMRING_API int shmring_set_waiting(shmring_t *q, const struct shmring_waiting *w);

/*
 * For event loops: a descriptor for poll(2), epoll(7), level- or edge-triggered, select(2), libuv,
 * libevent or libev, to be polled for input whatever the event is (one of them). It belongs to the
 * handle: take it out of the loop before shmring_close(), which closes it. The loop calls
 *
 *     void on_readable(void)
 *     {
 *         do {
 *             while ((n = shmring_recv(q, buf, sizeof buf)) >= 0)
 *                 ...
 *         } while (n == -EAGAIN && (r = shmring_fd_arm(q, SHMRING_READABLE)) > 0);
 *     }
 *
 * shmring_fd() returns the descriptor, each time the same for a handle and event. It is readable at
 * first, so that the loop begins with the handler.
 *
 * shmring_fd_arm() returns 1: the event is there already, go on receiving or sending. 0: armed; the
 * descriptor becomes readable when the event may be there, at the latest when it is time to look
 * for peers that died (see shmring_set_waiting()): then call the handler, which arms it again. A
 * descriptor that is readable stays so until a call to shmring_fd_arm(), so under level triggering
 * a handler may return early, without arming. All who wait by descriptor for the same event of an
 * mpmc queue wake for each message, and one gets it.
 *
 * Both return what shmring_wait() returns, except -ETIMEDOUT and -EINTR, and
 *   -EEXIST   something stands in the notifier's place, and is not to be trusted
 *   -EBUSY    the notifier is just being removed: try again
 *   -EOPNOTSUPP  the file system has no FIFOs, or no links to them: wait by shmring_wait()
 *   -ENOENT, -ENOTDIR, -EACCES, -EROFS, -ENOSPC, -EMFILE, -ENFILE, -ENOMEM  from the kernel
 * The notifier is a FIFO, DIRECTORY/.shmring-bell-*, made by the first who waits in the queue's
 * directory (memfd: /dev/shm) with the queue's mode and group. Where those who send (or make room)
 * cannot open it, the timed look is all there is. When the FIFO alone is removed, the next call to
 * shmring_fd_arm() makes a new one. shmring_unlink() removes it, or, while it is open,
 * and for memfd queues, the last to close. It takes three descriptors an event to wait, one to
 * ring. Not for signal handlers. Do not sleep.
 */
SHMRING_API int shmring_fd(shmring_t *q, unsigned event);
SHMRING_API int shmring_fd_arm(shmring_t *q, unsigned event);

/*
 * For those who sleep by other means, such as io_uring or futex_waitv(2): announce that this handle
 * is about to sleep until the event (one of them), and say on which futex.
 *
 * Returns 1: it is there already, do not sleep. Or 0: sleep while *word is value (a shared 32-bit
 * futex, in a mapping of this handle: it is gone after shmring_close()), for limit_ns at the most,
 * and then, woken or not, arm again before anything else: that passes the wake-up on to another
 * sleeper where need be. Or what shmring_wait() returns, except -ETIMEDOUT and -EINTR. Not for
 * signal handlers. Does not sleep; calls the kernel now and then.
 */
struct shmring_futex {
    const uint32_t *word;
    uint32_t value;
    uint32_t flags;
    int64_t limit_ns;
};
/* In flags: somebody may not know yet that this handle sleeps, and so not ring. Otherwise limit_ns
 * is only the handle's recheck_ms, and who sleeps for longer is later to hear of the dead. */
enum { SHMRING_FUTEX_UNSURE = 1 };
SHMRING_API int shmring_futex_arm(shmring_t *q, unsigned event, struct shmring_futex *futex);

/* ---- Looking -------------------------------------------------------------------------------- */

/*
 * Description and counters. Reads each counter once: they are exact when nobody is at work and a
 * moment old otherwise. Never disturbs the participants. Calls the kernel. Returns 0.
 */
/* A structure and a function of one name, as with stat(). */
#if defined __cplusplus && defined __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
SHMRING_API int shmring_stat(shmring_t *q, struct shmring_stat *st);
#if defined __cplusplus && defined __GNUC__
#pragma GCC diagnostic pop
#endif

/*
 * The participants, at most n of them, by row. Asks the kernel who is alive. Returns how many there
 * are in all (which may be more than n), or -EINVAL for n < 0.
 */
SHMRING_API int shmring_participants(shmring_t *q, struct shmring_participant *rows, int n);

/*
 * The messages in the queue, without taking them: each is copied, and each(arg, &message) called
 * for it. First, of an mpmc queue, those that were taken so long ago that the queue has gone round
 * since; then all others, taken or waiting, in their order. When each() returns anything but 0, no
 * more are shown; let that be positive, to tell it from an error.
 *
 * Any handle will do, and the participants may all be dead. If they are at work meanwhile: what is
 * shown is whole and was in the queue then; a message sent or taken during the call may be missed.
 *
 * Returns 0, what each() returned, -ENOMEM, -EINVAL when each is NULL, or -EBADMSG where something
 * is that no participant writes; what was shown before is good. Allocates max_message bytes.
 */
struct shmring_message {
    uint64_t position; /* as in struct shmring_info */
    const void *data;  /* a copy, until each() returns */
    uint32_t length;
    uint32_t state;      /* SHMRING_WAITING, SHMRING_HELD */
    uint32_t row;        /* SHMRING_HELD: who has taken it and not released it, dead or alive */
    uint32_t deliveries; /* how often it was taken so far: one less than shmring_peek() will say */
    uint64_t reserved[2];
};
enum { SHMRING_WAITING = 1, SHMRING_HELD = 2 };
SHMRING_API int shmring_dump(shmring_t *q, int (*each)(void *arg, const struct shmring_message *m),
                             void *arg);

/*
 * Can the queue still be reached by its name? Returns 0 or -ESTALE. Calls the kernel. A memfd
 * segment has no name to lose. A name that this process cannot look up (another root directory, a
 * directory that it may not search) says nothing, nor does one that leads nowhere where there is no
 * /proc to tell whether the queue was moved.
 */
SHMRING_API int shmring_check(shmring_t *q);

/*
 * What was wrong with this thread's last call that failed, in words: a sentence without a newline,
 * never NULL. Valid until the thread's next failing call, also one in a signal handler. -EAGAIN
 * from sending and receiving leaves it as it was.
 */
SHMRING_API const char *shmring_strerror_detail(void);

/* The library's version, "0.9.0", which may differ from the header's. */
SHMRING_API const char *shmring_version(void);

#ifdef __cplusplus
}
#endif
#endif
