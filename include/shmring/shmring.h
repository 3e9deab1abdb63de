/* SPDX-License-Identifier: MIT */
/*
 * shmring: named message queues in shared memory.
 *
 * Processes that open the same name exchange messages. On the fast path no call makes a system call
 * or takes a lock, and shmring_reserve() and shmring_peek() avoid the copy too. This header
 * declares the whole core library, for C11 and for C++11.
 *
 *   producer                                    consumer
 *   shmring_create(&q, "orders", &config);      shmring_open(&q, "orders", SHMRING_CONSUMER);
 *   shmring_send(q, msg, len);                  n = shmring_recv(q, buf, sizeof buf);
 *   shmring_close(&q);                          shmring_close(&q);
 *
 * Names
 *   "orders"        POSIX shared memory (/dev/shm/orders). Letters, digits, '.', '_' and '-', not
 *                   starting with '.' or '-', at most SHMRING_NAME_MAX bytes.
 *   "file:PATH"     a file at PATH: tmpfs, disk, hugetlbfs. It survives a reboot if its file
 *                   system does.
 *   "memfd:LABEL"   no name at all: a sealed memfd. Pass on the descriptor from
 *                   shmring_segment_fd().
 *
 * Results
 *   A call that succeeds returns 0 or a count, and one that fails a negative errno value. -EAGAIN
 *   from sending and receiving is an ordinary result: the queue is full, or empty, just now. After
 *   any other failure shmring_strerror_detail() says in words what was wrong and what to do about
 *   it.
 *
 * Every call on a handle can also return
 *   -EBADF     the handle is NULL (shmring_close() clears it).
 *   -ENOTCONN  the handle was opened by the parent of this forked process: use shmring_dup().
 *   -EBADMSG   the segment holds something no correct participant writes; the detail names it. The
 *              handle is poisoned: every later call on it returns -EBADMSG too. The library changes
 *              nothing outside the handle. After shmring_guard_sigbus() it can also mean that the
 *              segment's memory is gone.
 *   -ESTALE    no process can open the queue by its name any more: it was removed, moved, or
 *              replaced by another queue. Messages still in it can be received.
 *   -EDEADLK   another thread is in a call on the handle. Only a library that was configured with
 *              --enable-checks notices. It refuses the second call and lets the first go on. If the
 *              second call is shmring_close(), which returns nothing, the handle stays open and *q
 *              keeps its value.
 *
 * Errors of the kernel
 *   A call that makes a system call returns the kernel's error, and the detail names the step that
 *   failed. Besides the errors listed at each call these are -ENOMEM, -EMFILE, -ENFILE, -EACCES,
 *   -EPERM, -EIO, -EOVERFLOW and, on file systems that have them, -EINTR, -ENOLCK, -EDQUOT,
 *   -ENODEV. Such a call has changed nothing, and may be made again.
 *
 * Threads and signals
 *   One thread at a time may use a handle; only shmring_dup() and shmring_segment_fd() may be
 *   called while another thread uses it. Different handles are independent, even if they are of
 *   the same queue. shmring_send(), shmring_recv(), their batches, reserve/commit/cancel and
 *   peek/release neither allocate, lock nor sleep; a signal handler may call them on a handle that
 *   the interrupted code does not use. All other calls are thread-safe and not signal-safe.
 *   No call is a cancellation point. shmring_process(7) describes fork, vfork, dlclose and stacks.
 *
 * What may run at the same time on an spsc queue
 *                    send side   receive side   observer   close of another handle
 *     send side      no (1)      yes            yes        yes
 *     receive side   yes         no (1)         yes        yes
 *     observer       yes         yes            yes        yes
 *   (1) the queue has one producer and one consumer: a second one gets -EBUSY when it opens.
 * On an mpmc queue any two calls may run at the same time, on different handles. So they may on a
 * broadcast queue, which has one producer: a second one gets -EBUSY when it opens.
 *
 * Caveats
 *   - Delivery is at least once. A message that a consumer had taken, and had not released when it
 *     died, is delivered again, with SHMRING_REDELIVERED set in its info.
 *     A broadcast consumer that dies has no successor: nothing is delivered again.
 *   - A broadcast consumer that is not reliable misses messages if the producer overtakes it. It is
 *     told so, with their number: -EOVERFLOW.
 *   - If a process is killed inside shmring_send(), its message may have been sent or not.
 *   - Every process that may write to a segment may also damage its messages. Choose the mode
 *     accordingly. Peers that do not trust each other use memfd segments, which cannot be
 *     truncated.
 *   - If the segment's file is truncated, the next access raises SIGBUS, unless the process has
 *     called shmring_guard_sigbus().
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
    SHMRING_MPMC = 2, /* many of each; lock-free, wherever a participant is killed or stopped */
    /*
     * One producer; each consumer gets every message, of any length. The producer waits only for
     * consumers that asked for that (SHMRING_RELIABLE) and that live. It overwrites the oldest
     * messages, so any other consumer that falls behind by the whole ring misses some. A consumer
     * needs only permission to read; see shmring_open().
     */
    SHMRING_BROADCAST = 3
};

/* For shmring_open(), shmring_dup() and shmring_config.flags: roles, and options or-ed to them. */
enum {
    /* roles */
    SHMRING_PRODUCER = 0x1,
    SHMRING_CONSUMER = 0x2, /* PRODUCER | CONSUMER: one handle that is both */
    SHMRING_OBSERVER = 0x4, /* reads counters; read-only mapping, never disturbs a participant */
    /* options of shmring_create() only */
    SHMRING_OPEN_OR_CREATE = 0x10, /* open the name if it exists already with the same parameters */
    SHMRING_HUGE_PAGES = 0x20, /* 2 MiB pages: the size of every section is a multiple of that */
    /* mpmc: a message whose consumer died is dropped, not redelivered */
    SHMRING_AT_MOST_ONCE = 0x100,
    /* options of shmring_create(), shmring_open() and their kin; these concern this handle only */
    SHMRING_PREFAULT = 0x40, /* touch every page when opening, not at the first message */
    SHMRING_MLOCK = 0x80,    /* lock the mapping into memory */
    /* This handle sends and receives without a memory fence, also while other participants may
       sleep. Instead a participant that goes to sleep interrupts this process by membarrier(2).
       Useful for many messages and few sleeps. No effect where the kernel has no such
       membarrier(2). */
    SHMRING_ASYMMETRIC_FENCE = 0x200,
    /* shmring_open_fd(), shmring_open() and their kin: open only a sealed memfd; refuse any other
     * file. */
    SHMRING_SEALED = 0x400,
    /* Core files of this process include the queue as far as /proc/PID/coredump_filter says: memfd
       queues, and named queues if its bit 3 is set. Without this option they never include it. */
    SHMRING_CORE_DUMP = 0x800,
    /*
     * Broadcast consumers. RELIABLE: miss no message that is sent from now on: the producer waits
     * for this handle as long as it lives, or as long as the producer's patience lasts (struct
     * shmring_waiting). FROM_OLDEST, FROM_KEY: begin with the oldest message that is still whole,
     * or with the last key message (SHMRING_KEY), if that is still whole; with both, FROM_OLDEST
     * counts if there is no key message. Else a consumer begins with the next message that is sent.
     */
    SHMRING_RELIABLE = 0x2000,
    SHMRING_FROM_OLDEST = 0x4000,
    SHMRING_FROM_KEY = 0x8000
};

/*
 * What shmring_create() makes. Start from zeroes: struct shmring_config config = {.kind = …};
 */
struct shmring_config {
    uint32_t kind;     /* SHMRING_SPSC, SHMRING_MPMC or SHMRING_BROADCAST */
    uint32_t flags;    /* roles and options; no role at all means SHMRING_OBSERVER */
    uint64_t capacity; /* A power of two. spsc, broadcast: bytes, at least a page (4096); a message
                          of n bytes takes shmring_record_size(n) of them. spsc: 8 always stay free;
                          broadcast: up to 1/16 and the next message's bytes are not readable. mpmc:
                          messages, 2 to 2^24. */
    uint32_t max_message; /* longest message, bytes, at most 2^30. spsc: at most capacity - 16;
                             broadcast: at most capacity / 4 - 8; 0 means the most that the capacity
                             allows. mpmc: not 0; every message takes a block of this size and 24
                             bytes more, rounded up to a multiple of 64. */
    uint32_t mode; /* permission bits, not changed by the umask; 0: 0600 (0666 for memfd, where
                      holding the descriptor is the permission) */
    /* mpmc: attached at the same time, at most 1024; 0: 64. broadcast: consumers that have a row,
       at most 1023: the reliable ones, and others while there are free rows. 0: no consumer is
       reliable, and nothing ever makes the producer wait. */
    uint32_t max_participants;
    uint32_t reserved[5]; /* zero */
};

enum { SHMRING_PARTICIPANTS_MAX = 1024 };

/* Bytes of an spsc or broadcast ring that a message of len bytes takes, with its 4-byte header and
 * padding. */
static inline uint64_t shmring_record_size(uint32_t len)
{
    return (UINT64_C(4) + len + 7) & ~UINT64_C(7);
}

/* About a message, filled in by shmring_peek(). */
struct shmring_info {
    uint32_t deliveries; /* 1 the first time; larger if an earlier consumer took the message and did
                            not release it */
    uint32_t flags;      /* SHMRING_REDELIVERED, SHMRING_KEY */
    uint64_t position; /* Where the message was first published, counted from the queue's creation.
                          No two messages of a queue have the same position, and a redelivered
                          message keeps its own. spsc, broadcast: in bytes; mpmc: in messages. */
    uint64_t number;   /* broadcast: how many messages were sent before this one; else 0 */
    uint64_t missed;   /* broadcast: how many this handle has missed so far; else 0 */
};
enum {
    SHMRING_REDELIVERED = 0x1, /* a consumer may have seen this message before */
    /* broadcast: sent as a key message, from which a consumer can begin: a snapshot, a last value.
       See shmring_send_flags() and SHMRING_FROM_KEY. */
    SHMRING_KEY = 0x2
};

/*
 * A queue's description and counters, filled in by shmring_stat(). While no participant is in a
 * call they are exact, wherever participants were killed before: sent = received + messages that
 * shmring_dump() shows + dropped. A broadcast queue counts what each consumer with a row received,
 * so there received may be more than sent.
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
    /* messages waiting now; spsc: and those that the consumer holds; broadcast: those that the
       slowest reliable consumer has not received, 0 if there is none */
    uint64_t depth;
    uint64_t depth_bytes; /* bytes of the data section that they take */
    uint64_t high_water; /* most of the capacity ever in use, in its unit; sampled, so a peak can be
                            missed */
    uint64_t sent;       /* messages committed since creation */
    uint64_t sent_bytes; /* their payload */
    uint64_t received;   /* messages released since creation */
    uint64_t received_bytes;
    uint64_t full_events;  /* times a send found the queue full after a success */
    uint64_t empty_events; /* times a receive found it empty after a success */
    uint64_t takeovers;    /* dead participants that were recovered, or whose role was taken over */
    uint64_t redelivered;  /* mpmc: messages of dead consumers that were published again */
    uint64_t dropped;      /* mpmc with SHMRING_AT_MOST_ONCE: those that were given up instead */
    int64_t created_ns;    /* CLOCK_REALTIME */
    uint32_t creator_pid;  /* in the creator's own pid namespace: see creator_pid_namespace */
    uint32_t creator_uid;
    uint32_t participants; /* attached and alive now */
    uint32_t dead;         /* rows whose participant died and was not recovered or replaced yet */
    char creator_comm[16];
    char name[256]; /* as given to shmring_create() */
    uint32_t max_participants;
    uint32_t asleep; /* SHMRING_READABLE, SHMRING_WRITABLE: a participant sleeps until that event,
                        or has slept and no other has notified since */
    uint64_t producers_ever; /* how often a participant attached as a producer, since creation */
    uint64_t consumers_ever;
    uint64_t creator_pid_namespace; /* inode of the creator's /proc/self/ns/pid */
    uint64_t missed;      /* broadcast: messages missed by consumers with a row, since creation */
    uint64_t missed_here; /* broadcast: those that this handle has missed since it was opened */
    uint64_t reserved[2];
};
enum {
    SHMRING_STALE = 0x1000 /* in shmring_stat.flags */
};

/* One row of the participant table, filled in by shmring_participants(). */
struct shmring_participant {
    uint32_t row;
    uint32_t role;          /* SHMRING_PRODUCER, SHMRING_CONSUMER, or both */
    uint32_t alive;         /* 1: its lock is held, says the kernel; 0: it died */
    uint32_t pid;           /* in its own pid namespace: compare pid_namespace before using it */
    uint64_t start_time;    /* clock ticks since boot, field 22 of /proc/PID/stat */
    uint64_t pid_namespace; /* inode of its /proc/self/ns/pid */
    uint32_t uid;
    uint32_t generation; /* how often this row was taken */
    int64_t attached_ns; /* CLOCK_REALTIME */
    char comm[16];
    uint64_t sent; /* by all owners of this row, since creation */
    uint64_t received;
    uint64_t held;   /* mpmc: its blocks now: being filled, reserved, or taken and not released */
    int64_t held_ns; /* for how long it has held any without a break; 0: it holds none */
    uint64_t lag;    /* broadcast consumer: messages sent and not received (or missed) yet */
    uint64_t missed; /* broadcast consumers: by all owners of this row, since creation */
    uint32_t flags;  /* SHMRING_RELIABLE: the producer waits for it */
    uint32_t reserved32;
    uint64_t reserved[1];
};

/* ---- Life ---------------------------------------------------------------------------------- */

/*
 * Create the queue NAME and attach to it in the roles of config->flags.
 *
 * The segment appears under its name complete or not at all, fully allocated (no SIGBUS later) and
 * with exactly the mode asked for. With SHMRING_OPEN_OR_CREATE the call opens an existing queue of
 * the same parameters instead, so either side may start first.
 *
 * Returns 0 and sets *q, or with *q set to NULL
 *   -EINVAL      a bad name or parameter; the detail names it
 *   -ENAMETOOLONG  more than SHMRING_NAME_MAX (SHMRING_PATH_MAX) bytes
 *   -EEXIST      the name exists; with SHMRING_OPEN_OR_CREATE: with other parameters
 *   -ENOSPC      the file system, memory or this process's memory cgroup has not enough room; the
 *                detail has both numbers
 *   -EFBIG       larger than RLIMIT_FSIZE or than this process can map
 *   -ENOMEM      no address space, or RLIMIT_MEMLOCK too low for SHMRING_MLOCK
 *   -EOPNOTSUPP  SHMRING_HUGE_PAGES where the backend has none; a file system that cannot hold a
 *                queue safely: see shmring_create(3), "File systems"
 *   -ENOSYS      /proc is not mounted, or the kernel is older than Linux 4.14
 *   -EACCES, -EPERM, -EROFS, -ENOENT and -ENOTDIR (the directory), -EMFILE, -ENFILE  from the
 *                kernel
 *   and, when opening, what shmring_open() returns.
 * Blocking: may sleep in the kernel. A crash inside the call leaves no name behind; where O_TMPFILE
 * is not supported it leaves an unfinished file, which the next creator replaces.
 */
SHMRING_API int shmring_create(shmring_t **q, const char *name,
                               const struct shmring_config *config);

/*
 * Attach to the existing queue NAME; flags: one role or SHMRING_PRODUCER | SHMRING_CONSUMER, and
 * SHMRING_PREFAULT, SHMRING_MLOCK, SHMRING_ASYMMETRIC_FENCE, SHMRING_CORE_DUMP, SHMRING_SEALED. A
 * role whose holder died is taken over: every message that the dead holder had committed is still
 * there, and every message that it had taken and not released is delivered again.
 *
 * Broadcast consumers: SHMRING_RELIABLE, SHMRING_FROM_OLDEST or SHMRING_FROM_KEY, too. A consumer
 * that is not reliable needs no row. If all rows are taken, or if this process may only read the
 * queue, then it attaches without one: shmring_participants() does not show it, and shmring gc does
 * not see it. If this process may only read, no participant can wake it either: when it waits, it
 * looks for messages every recheck_ms (struct shmring_waiting).
 *
 * Returns 0 and sets *q, or with *q set to NULL
 *   -EINVAL           a bad name, no role, an unknown flag, or one that is not for this kind of
 *                     queue or for this role
 *   -ENAMETOOLONG     see shmring_create()
 *   -ENOENT           there is no such queue
 *   -EBUSY            a live process holds the role; the detail names it. Or another process
 *                     removes the queue just now (shmring gc), recovers the role, or has a lease on
 *                     the file (fcntl(2), F_SETLEASE): the detail says which; try again
 *   -EBADMSG          not a queue, damaged, or shorter than its header says
 *   -EPROTONOSUPPORT  a queue of another layout, byte order or page size
 *   -EFBIG            the queue is larger than this 32-bit process can map
 *   -EAGAIN           its creator is still at work, or died before it had finished (only where
 *                     O_TMPFILE is not supported), or the file is empty. This -EAGAIN sets the
 *                     detail.
 *   -EOPNOTSUPP, -ENOSPC  its file was copied to a file system where a queue cannot be used, for
 *                         the reasons listed at shmring_create(); or that file system has no locks
 *                         that show which participants are alive
 *   -EACCES           no permission: an observer must be allowed to read, a producer or consumer
 *                     also to write; a broadcast consumer only if it is reliable
 *   -ELOOP, -EISDIR   NAME is a symbolic link, a directory
 *   -ENOMEM           no address space, or RLIMIT_MEMLOCK too low for SHMRING_MLOCK
 *   -EUSERS           mpmc, and reliable broadcast consumers: every one of the max_participants
 *                     rows belongs to a live participant, or to a dead one that is just being
 *                     recovered
 *   -EPERM            SHMRING_SEALED, and it is not a sealed memfd
 *   -ENOSYS           see shmring_create()
 *   -ENOTDIR, -EMFILE, -ENFILE  from the kernel.
 * Blocking. Opening an mpmc queue recovers what dead participants held: see shmring_recover().
 */
SHMRING_API int shmring_open(shmring_t **q, const char *name, unsigned flags);

/*
 * As shmring_open(), but wait for the name to appear. timeout is relative; NULL waits for ever,
 * zero does not wait. Sleeps on inotify. Where inotify fails (fs.inotify.max_user_instances is used
 * up), the call tries the name every 20 ms. Waits for the name only, not for a role.
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
 * shrinking is refused with -EPERM: any process that has it open could shrink it, and this process
 * would die of SIGBUS. The sender of a file's descriptor could do the same: SHMRING_SEALED refuses
 * files, too.
 */
SHMRING_API int shmring_open_fd(shmring_t **q, int fd, unsigned flags);

/*
 * Attach once more to the queue of q, in the roles of flags: for another thread, or in a forked
 * child, where only this call and shmring_close() accept the parent's handle. No other thread may
 * close q during the call. Returns as shmring_open().
 */
SHMRING_API int shmring_dup(shmring_t **copy, const shmring_t *q, unsigned flags);

/*
 * Detach and free the handle, and set *q to NULL. Committed messages stay in the queue; an open
 * reservation is cancelled; messages taken and not released are delivered again to the next
 * consumer. q and *q may be NULL. In a forked child the call frees the child's copy of the handle
 * and leaves the parent attached.
 */
SHMRING_API void shmring_close(shmring_t **q);

/*
 * Remove the name. Attached participants go on until they close, and the kernel frees the memory
 * when the last one has closed.
 *
 * Returns 0, or -ENOENT, -ENOTDIR, -EACCES, -EPERM, -EINVAL (a bad or a memfd name), -ENAMETOOLONG,
 * -ELOOP, -EISDIR, -EBADMSG: the file is not a shmring segment, and was left alone. To see that,
 * the caller needs permission to read the file (-EACCES), besides the permission to remove it.
 */
SHMRING_API int shmring_unlink(const char *name);

/*
 * Make usable again what dead participants held. Usually no program needs to call this: the library
 * does it when a queue is opened, when a send finds it full, when a receive finds it empty, and
 * with each 4,096th message sent or received (mpmc); at most every 50 ms, by one participant for
 * all. It stops no participant and takes no timeout for a death: the kernel says which ones are
 * dead.
 *
 * mpmc: blocks without a message are freed; messages taken and not released are published again at
 * the end of the queue, flagged, with their delivery count (or dropped, with SHMRING_AT_MOST_ONCE).
 * spsc: the roles of dead participants become free; the next shmring_open() takes them over.
 * broadcast: likewise, and so do the rows of dead consumers. A producer that needs room tests by
 * itself, at most every 50 ms, whether a reliable consumer that holds it up is dead.
 *
 * report (may be NULL) receives all that this handle has recovered since it was opened or since its
 * last report. Returns the number of recovered participants in that report, or -EPERM for an
 * observer's handle of an mpmc queue, -EACCES, -EMFILE, -ENFILE. Calls the kernel; the mpmc part is
 * lock-free.
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
 * The descriptor of the segment, to be sent over a UNIX socket or inherited by a child. It belongs
 * to the handle: do not close it. Returns the descriptor, or one of the errors that every call can
 * return.
 */
SHMRING_API int shmring_segment_fd(const shmring_t *q);

/*
 * Survive the loss of a segment's memory. A process that may write to a file may truncate it, or
 * punch holes into it that its file system has no space left to fill. The next access raises
 * SIGBUS, which ends the process that reads or writes there. After this call such an access
 * continues in private memory of this process; every process that wants that makes the call. The
 * call on the handle that was interrupted returns -EBADMSG, and so does every later one, so no
 * bytes of that private memory are returned as a message. Only the rest of a message from
 * shmring_peek() may turn into zeroes while the caller reads it: then shmring_release() returns
 * -EBADMSG. Other handles are not affected, even of the same queue.
 *
 * The call installs a handler for SIGBUS for the whole process. It cannot be undone, and a second
 * call changes nothing, unless the program has put the default action back. For a fault outside the
 * memory of all handles, the handler calls the handler that was installed before: install yours
 * first, or have it call this one. A thread that blocks SIGBUS is not protected.
 *
 * Returns 0. Handles opened before the call are protected as well. Thread-safe. Not inherited over
 * exec.
 */
SHMRING_API int shmring_guard_sigbus(void);

/* ---- Sending -------------------------------------------------------------------------------- */

/*
 * Send a copy of the len bytes at msg (0 is a length like any other). Never sleeps.
 *
 * Returns 0, or
 *   -EAGAIN       full just now; broadcast: a reliable consumer has not received the oldest
 *                 messages yet
 *   -EMSGSIZE     longer than max_message
 *   -EPERM        not a producer's handle
 *   -EINPROGRESS  spsc, broadcast: a reservation is open: commit or cancel it first
 * spsc, broadcast: wait-free. mpmc: lock-free; on a nearly full queue the call may return -EAGAIN
 * once or twice although a block is free, while other participants hold blocks out of order.
 * Signal-safe. It makes system calls for three reasons only: on every 65,536th -EAGAIN in a row to
 * see whether the name is still there (-ESTALE); mpmc, and broadcast when it is full, at most every
 * 50 ms, to find dead participants, see shmring_recover(); and to wake participants that sleep.
 */
SHMRING_API int shmring_send(shmring_t *q, const void *msg, size_t len);

/*
 * Send n messages, in order; spsc: they become visible together; broadcast: together as far as they
 * take a quarter of the ring. Returns how many were sent (fewer than n when the queue gets full or
 * a message is too long), or, when the first one cannot be sent, what shmring_send() would return;
 * -EINVAL for n < 1. Progress and signals as shmring_send().
 */
SHMRING_API int shmring_send_batch(shmring_t *q, const struct iovec *msgs, int n);

/*
 * As shmring_send(), with flags: 0, or for a broadcast queue SHMRING_KEY. A consumer that opens the
 * queue with SHMRING_FROM_KEY begins with the last key message. A producer whose consumers need one
 * sends a new one before the ring has gone round, such as at each half of the capacity. Returns as
 * shmring_send(), and -EINVAL for other flags, or another kind of queue.
 */
SHMRING_API int shmring_send_flags(shmring_t *q, const void *msg, size_t len, unsigned flags);

/*
 * Zero-copy sending: set *msg to len contiguous, 8-byte aligned bytes of the queue. No consumer
 * sees them before shmring_commit(). A handle has one reservation at a time; mpmc: up to
 * SHMRING_RESERVED_MAX, to be committed in any order. Returns as shmring_send(), and -ENOBUFS:
 * mpmc: SHMRING_RESERVED_MAX reservations are open.
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

/* As shmring_commit(), with the flags of shmring_send_flags(). */
SHMRING_API int shmring_commit_flags(shmring_t *q, void *msg, size_t len, unsigned flags);

/* Give the reservation msg back unsent. Returns 0, -EINVAL or -EPERM as shmring_commit(). */
SHMRING_API int shmring_cancel(shmring_t *q, void *msg);

/* ---- Receiving ------------------------------------------------------------------------------ */

/*
 * Receive the next message into buf. Never sleeps.
 *
 * Returns its length, or
 *   -EAGAIN       empty just now
 *   -EMSGSIZE     the message is longer than size; it stays the next message
 *   -EPERM        not a consumer's handle
 *   -EINPROGRESS  spsc, broadcast: messages from shmring_peek() are not released yet
 *   -EOVERFLOW    broadcast: the producer has overtaken this consumer. The detail and
 *                 shmring_stat.missed_here say how many messages it has missed. It goes on with one
 *                 of the oldest messages that are whole: the next call returns that one.
 * If the call fails, buf may hold parts of a message. Progress, signals and calls to the kernel as
 * shmring_send().
 */
SHMRING_API ssize_t shmring_recv(shmring_t *q, void *buf, size_t size);

/*
 * Receive up to n messages: iov_len is each buffer's size before and the message's length after.
 * Returns how many were received (fewer than n when the queue gets empty or a message does not
 * fit), or, when the first one cannot be received, what shmring_recv() would return; -EINVAL
 * for n < 1.
 */
SHMRING_API int shmring_recv_batch(shmring_t *q, struct iovec *msgs, int n);

/*
 * Zero-copy receiving: take the next message and point *msg at it, 8-byte aligned, read-only. It
 * stays the caller's until shmring_release(); if the caller dies before, the next consumer gets it
 * again. info may be NULL. A consumer may hold as many messages as the queue has; an spsc consumer
 * releases them in the order in which it took them.
 *
 * broadcast: the message stays the caller's only if the handle was reliable when it was sent, and
 * the producer has patience. Else the producer may overwrite it at any time, and shmring_release()
 * says whether it has: trust nothing of the message before, not even that it is text. A consumer
 * holds at most SHMRING_PEEKED_MAX messages and releases them in the order in which it took them.
 *
 * Returns its length, or -EAGAIN, -EPERM, -EOVERFLOW as shmring_recv(); -ENOBUFS: broadcast:
 * SHMRING_PEEKED_MAX messages are held.
 */
SHMRING_API ssize_t shmring_peek(shmring_t *q, const void **msg, struct shmring_info *info);
enum { SHMRING_PEEKED_MAX = 64 };

/*
 * Release a message from shmring_peek() as done with (spsc, broadcast: the oldest one held; mpmc:
 * any of them). Returns 0; -EINVAL: msg is not such a message (released already, or out of order);
 * -EPERM as shmring_recv(); -EOVERFLOW: broadcast: the producer had begun to overwrite the message
 * before this call. It is released, and counts as missed: what was read of it means nothing.
 * Wait-free. Signal-safe. Calls the kernel as shmring_send().
 */
SHMRING_API int shmring_release(shmring_t *q, const void *msg);

/*
 * broadcast: go to the newest: the next message that this handle receives is one that is sent after
 * this call. Returns how many messages it passes over. Those do not count as missed, nor do those
 * that it had missed without having been told yet. Or -EPERM, -EINPROGRESS as shmring_recv();
 * -EOPNOTSUPP: a queue of another kind; -EAGAIN: the producer went round the ring several times
 * during the call. Wait-free. Signal-safe. Calls the kernel as shmring_send().
 */
SHMRING_API int64_t shmring_skip(shmring_t *q);

/* ---- Waiting -------------------------------------------------------------------------------- */

/*
 * As shmring_send(), shmring_reserve(), shmring_recv() and shmring_peek(), but instead of returning
 * -EAGAIN these calls wait: they poll for at most spin_ns, and then sleep. timeout is relative and
 * counts from the first attempt that failed (CLOCK_MONOTONIC); NULL waits for ever, zero is one
 * attempt.
 *
 * While no participant sleeps, neither these calls nor those on the other side make a system call.
 * The call that sends, or makes room, wakes a sleeper; of several sleepers, one for each message;
 * of a broadcast queue, all of them. A sleeper also rechecks at least every 50 ms (see
 * shmring_set_waiting()). So a peer that was killed or stopped between publishing and waking delays
 * it by that time at most, and what dead participants held becomes usable again.
 *
 * They return what the call without _wait returns, but never -EAGAIN, and
 *   -ETIMEDOUT  the timeout has passed
 *   -EINTR      a signal handler ran while this thread slept
 *   -EINVAL     a timeout that is negative, or with more than 999,999,999 ns
 *   -ESTALE     the name is gone; noticed within about a second, or recheck_ms if that is longer
 *   -EPERM, -ENOSYS  a seccomp filter refuses this process every system call that sleeps
 *   -EPIPE      only with SHMRING_WAIT_PEERS or SHMRING_WAIT_HANGUP: the other side has no live
 *               participant, so nothing can come
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

/* Events that a call can wait for. */
enum {
    SHMRING_READABLE = 0x1, /* the queue has a message to receive */
    SHMRING_WRITABLE = 0x2  /* there is room for the message that was last refused with -EAGAIN */
};

/*
 * Wait until one of the events is there: SHMRING_READABLE (for a consumer), SHMRING_WRITABLE (for a
 * producer), or both. Another participant of an mpmc queue may be quicker, so the next call can
 * still return -EAGAIN. Returns the events that are there, or -EINVAL, -EPERM (the handle has not
 * that role), or -ETIMEDOUT, -EINTR, -ESTALE, -EPIPE as above.
 */
SHMRING_API int shmring_wait(shmring_t *q, unsigned events, const struct timespec *timeout);

/* How this handle waits. */
struct shmring_waiting {
    uint32_t spin_ns; /* poll for this long, at most, before sleeping; 0: sleep at once. Within that
                         limit the library learns from recent waits how long polling is worth it. */
    uint32_t recheck_ms; /* a sleeper rechecks this often; 0: 50. Until 50 ms have passed since a
                            participant first waited on the queue, no sleep is longer than 50. */
    uint32_t flags;      /* SHMRING_WAIT_PEERS, SHMRING_WAIT_HANGUP */
    /* broadcast producer: for how long reliable consumers may hold up one message. After that those
       that hold it up are not reliable any more: the producer goes on, and they miss messages. 0:
       for ever. It counts from the first call that returned -EAGAIN or waited, and one
       more call may return -EAGAIN after it. */
    uint32_t patience_ms;
    uint32_t reserved[4];
};
enum {
    /* return -EPIPE instead of waiting for a side that has no live participant */
    SHMRING_WAIT_PEERS = 0x1,
    /* The same, but only after the other side has had a participant since the queue was made: so a
       consumer that starts first waits for a producer, and gets -EPIPE when all producers have
       left. spsc: since a handle of this role last got -EPIPE, so that a queue can be used again
       and again. */
    SHMRING_WAIT_HANGUP = 0x2
};

/* Set how this handle waits. w NULL: the defaults, 50,000 ns, 50 ms, no flag and endless patience.
 * Returns 0 or -EINVAL. */
SHMRING_API int shmring_set_waiting(shmring_t *q, const struct shmring_waiting *w);

/*
 * For event loops: a descriptor for poll(2), epoll(7), level- or edge-triggered, select(2), libuv,
 * libevent or libev. event is SHMRING_READABLE or SHMRING_WRITABLE; the loop polls the descriptor
 * for input in both cases. It belongs to the handle: take it out of the loop before
 * shmring_close(), which closes it. The loop calls
 *
 *     void on_readable(void)
 *     {
 *         do {
 *             while ((n = shmring_recv(q, buf, sizeof buf)) >= 0)
 *                 ...
 *         } while (n == -EAGAIN && (r = shmring_fd_arm(q, SHMRING_READABLE)) > 0);
 *     }
 *
 * shmring_fd() returns the descriptor; for a handle and event it is always the same. It is readable
 * at first, so that the loop begins with the handler.
 *
 * shmring_fd_arm() returns 1: the event is there already, go on receiving or sending. 0: armed; the
 * descriptor becomes readable when the event may be there, at the latest after recheck_ms (see
 * shmring_set_waiting()), when it is time to check for dead peers. Then call the handler, which
 * arms it again. A readable descriptor stays readable until a call to shmring_fd_arm(), so under
 * level triggering a handler may return early, without arming. Each message wakes all handles that
 * wait by descriptor for the same event of an mpmc queue, and one of them gets it. The descriptor
 * of a broadcast consumer that may only read the queue becomes readable every recheck_ms.
 *
 * Both return what shmring_wait() returns, except -ETIMEDOUT and -EINTR, and
 *   -EEXIST   the notifier's path is taken by a file that the library does not trust
 *   -EBUSY    another process removes the notifier just now: try again
 *   -EOPNOTSUPP  the file system has no FIFOs, or no links to FIFOs: wait by shmring_wait()
 *   -ENOENT, -ENOTDIR, -EACCES, -EROFS, -ENOSPC, -EMFILE, -ENFILE, -ENOMEM  from the kernel
 * The notifier is a FIFO, DIRECTORY/.shmring-notifier-*. The first handle that waits makes it, in
 * the queue's directory (memfd: /dev/shm), with the queue's mode and group. If the peer that sends
 * (or makes room) cannot open it, only the recheck makes the descriptor readable. If the FIFO alone
 * is removed, the next call to shmring_fd_arm() makes a new one. shmring_unlink() removes the FIFO;
 * while a handle has it open, and for memfd queues, the last handle that closes removes it. Waiting
 * takes three descriptors for each event, notifying takes one. These calls do not sleep. Not for
 * signal handlers.
 */
SHMRING_API int shmring_fd(shmring_t *q, unsigned event);
SHMRING_API int shmring_fd_arm(shmring_t *q, unsigned event);

/*
 * For programs that sleep by other means, such as io_uring or futex_waitv(2): announce that this
 * handle is about to sleep until the event (SHMRING_READABLE or SHMRING_WRITABLE), and return the
 * futex to sleep on.
 *
 * Returns 1: the event is there already, do not sleep. Or 0: sleep while *word is value, for
 * limit_ns at most. *word is a shared 32-bit futex in a mapping of this handle, which
 * shmring_close() unmaps. After the sleep, woken or not, arm again before anything else: that
 * passes the wake-up on to another sleeper if there is more for it. Or what shmring_wait() returns,
 * except -ETIMEDOUT and -EINTR. Not for signal handlers. Does not sleep; may make system calls.
 */
struct shmring_futex {
    const uint32_t *word;
    uint32_t value;
    uint32_t flags;
    int64_t limit_ns;
};
/* In flags: a peer may not see yet that this handle sleeps, and then does not notify it: do not
 * sleep for longer than limit_ns. Without the flag, limit_ns is only the handle's recheck_ms: a
 * longer sleep finds dead participants later. */
enum { SHMRING_FUTEX_UNSURE = 1 };
SHMRING_API int shmring_futex_arm(shmring_t *q, unsigned event, struct shmring_futex *futex);

/* ---- Looking -------------------------------------------------------------------------------- */

/*
 * Description and counters. Reads each counter once: they are exact while no participant is in a
 * call, and otherwise may change while they are read. Never disturbs the participants. Makes system
 * calls. Returns 0.
 */
/* The structure and the function have one name, as with stat(). */
#if defined __cplusplus && defined __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
SHMRING_API int shmring_stat(shmring_t *q, struct shmring_stat *st);
#if defined __cplusplus && defined __GNUC__
#pragma GCC diagnostic pop
#endif

/*
 * The participants, at most n of them, by row. Asks the kernel which of them are alive. Returns how
 * many there are in all (which may be more than n), or -EINVAL for n < 0.
 */
SHMRING_API int shmring_participants(shmring_t *q, struct shmring_participant *rows, int n);

/*
 * Show the messages in the queue without taking them: copy each message and call each(arg,
 * &message) for it. For an mpmc queue, messages that were taken so long ago that the ring has gone
 * round since come first; then all others, taken or waiting, in their order. If each() returns
 * anything but 0, the call ends and returns that value; let it be positive, to tell it from an
 * error.
 *
 * Any handle will do, and the participants may all be dead. If participants send or receive during
 * the call, each message shown is whole and was in the queue at that time; a message that is sent
 * or taken during the call may be missed.
 *
 * Returns 0, what each() returned, -ENOMEM, -EINVAL when each is NULL, or -EBADMSG when the segment
 * holds something no correct participant writes; the messages shown before are good. Allocates
 * max_message bytes.
 */
struct shmring_message {
    uint64_t position; /* as in struct shmring_info */
    const void *data;  /* a copy, until each() returns */
    uint32_t length;
    uint32_t state; /* SHMRING_WAITING, SHMRING_HELD */
    uint32_t row;   /* SHMRING_HELD: row of the consumer, dead or alive, that has taken it and not
                       released it */
    uint32_t deliveries; /* how often it was taken so far: one less than the next shmring_peek()
                            will say */
    uint64_t reserved[2];
};
enum { SHMRING_WAITING = 1, SHMRING_HELD = 2 };
SHMRING_API int shmring_dump(shmring_t *q, int (*each)(void *arg, const struct shmring_message *m),
                             void *arg);

/*
 * Can the queue still be opened by its name? Returns 0 or -ESTALE. Makes system calls. Always 0 for
 * a memfd segment, which has no name to lose. Also 0 if this process cannot look the name up (it
 * has another root directory, or may not search a directory), and if the name leads nowhere but
 * there is no /proc to tell whether the queue was moved.
 */
SHMRING_API int shmring_check(shmring_t *q);

/*
 * A sentence, without a newline, that says what was wrong with this thread's last failed call;
 * never NULL. Valid until the thread's next failing call, including one in a signal handler.
 * -EAGAIN from sending and receiving leaves it as it was.
 */
SHMRING_API const char *shmring_strerror_detail(void);

/* The library's version, "0.9.0", which may differ from the header's. */
SHMRING_API const char *shmring_version(void);

#ifdef __cplusplus
}
#endif
#endif
