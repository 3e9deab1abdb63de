/* SPDX-License-Identifier: MIT */
/* A handle: one participant, or observer, of one queue. */
#ifndef SHMR_HANDLE_H
#define SHMR_HANDLE_H

#include "base/kept.h"
#include "base/process.h"
#include "broadcast/ring.h"
#include "core/layout.h"
#include "core/segment.h"
#include "core/side.h"
#include "kind.h"
#include "mpmc/participant.h"
#include "spsc/ring.h"

/* The events of a queue. A participant that waits for one sleeps at its wait word. */
enum { SHMR_READABLE, SHMR_WRITABLE, SHMR_EVENTS };

/* How a handle waits: see lib/wait/sleep.h. */
struct shmr_waiting {
    uint32_t spin_most;   /* ns */
    uint32_t flags;       /* SHMRING_WAIT_PEERS, SHMRING_WAIT_HANGUP */
    int64_t recheck;      /* ns */
    int64_t patience;     /* ns; 0: for ever */
    uint32_t pauses;      /* this many pauses last for SHMR_BACK_OFF_NS */
    bool unsure;          /* at the last arming: SHMRING_FUTEX_UNSURE */
    bool no_waitv;        /* futex_waitv(2) does not work here */
    bool stands_still;    /* the clock, by shmr_wait_now() */
    int64_t seen;         /* the time when a wait last checked whether a recheck is due, ns */
    int64_t skew;         /* ns that the clock lags behind the kernel's, see wait/waiting.c */
    int64_t rechecked;    /* the last recheck: CLOCK_MONOTONIC with the skew, ns */
    int64_t name_checked; /* the last check of the name: likewise */
    int64_t watched[SHMR_EVENTS]; /* the first announcement: likewise; 0: there was none */
    uint32_t usual[SHMR_EVENTS];  /* ns that recent waits took, as far as spinning found out */
    uint32_t waits[SHMR_EVENTS];
    size_t refused; /* length of the last message for which there was no room */
};

/* A handle's part in an event's notifier: see lib/wait/notifier.h. A descriptor of -1: none yet. */
struct shmr_polled {
    int fifo;             /* the FIFO: opened to wait or to notify */
    int timer;            /* timer of the next recheck */
    int fd;               /* the epoll instance of those two: the user polls it */
    int64_t armed, limit; /* when the timer was set, and for how long, ns */
};

/* The directory of the notifiers, and the root directory, when the handle attached: see
 * lib/wait/notifier.c. An inode of 0: not known. */
struct shmr_place {
    dev_t device, root_device;
    ino_t inode, root_inode;
};

/* State of a sweep. It recovers a dead row in parts, and releases the row's lock between two
 * parts. */
struct shmr_sweep {
    bool active;              /* a dead row was begun and is not finished */
    bool running;             /* a call of this handle sweeps just now */
    uint32_t row, generation; /* if the row's generation differs now, another participant has
                                 finished this recovery, and the row has a new owner */
    uint64_t next;            /* block */
    struct shmr_recovered done;
    uint64_t seen;  /* the coarse time at the last call of shmr_sweep(), ns */
    uint32_t calls; /* in which that time has not changed */
    int error;      /* errno that kept the last sweep from recovering a dead participant; 0: none */
};

struct shmring {
    /*
     * What every send and receive reads. A mark equal to *process lets the call through: one
     * comparison says that the handle has the role, is not poisoned, and was not inherited over
     * fork. A handle without the role, or poisoned, has SHMR_NO_PROCESS there.
     */
    const volatile uint32_t *process;
    uint32_t send_mark;
    uint32_t receive_mark;
    enum shmr_kind_number number; /* which of the union is in use */
    /* What every successful call reads: the wait word that it may have to notify, and the bits of
     * that word (waitword.h) that make it notify. */
    struct shmr_waitword *waitword[SHMR_EVENTS];
    uint32_t notify_if[SHMR_EVENTS];
    /* The state of the kind, for its own folder and for what api/ expands from SHMR_KINDS. */
    union {
        struct shmr_spsc spsc;
        struct shmr_mpmc_participant mpmc;
        struct shmr_broadcast broadcast;
    };

    struct shmr_side *sending, *receiving; /* in the kind's state; valid for attached roles */
    uint32_t mark;                         /* of the process that opened the handle */
    uint32_t roles;     /* SHMRING_PRODUCER, SHMRING_CONSUMER; none: an observer */
    uint32_t attached;  /* the roles whose rows say ATTACHED */
    uint32_t options;   /* of SHMR_CONSUMER_OPTIONS */
    uint32_t row;       /* this handle's in the table, for kinds where SHMR_ANY_ROW is claimed */
    bool read_only;     /* a consumer that may not write to the segment */
    bool quiet;         /* a consumer that no producer waits for: it notifies none */
    bool poisoned;      /* the segment held what no participant writes */
    volatile bool lost; /* the segment's memory is gone: see guard.h */
    struct shmr_guarded *guarded;
    int fd;                /* the description that holds no locks; see segment.h */
    struct shmr_kept kept; /* the description for recovery, which may also hold the roles' locks;
                              see segment.h */
    struct shmr_geometry geometry;
    struct shmr_header header; /* private copy */
    struct shmr_map map;
    struct shmr_name name;   /* text is empty: opened from a descriptor */
    uint32_t next_dead;      /* row with which the next recovery begins */
    uint64_t swept;          /* CLOCK_MONOTONIC, ns: this handle's last sweep */
    struct shmr_sweep sweep; /* a dead row that this handle's last sweep did not finish */
    bool unfinished;         /* what a dead predecessor in this row held is not recovered yet */
    struct shmring_recovery recovered; /* since the last report */
    struct shmr_waiting waiting;
    /* How often participants of the other role had attached: at this handle's last check; and when
     * it, or its predecessor, last got -EPIPE because all of them had left (kind.h: hung_up). */
    uint64_t peers_ever[SHMR_EVENTS];
    uint64_t peers_before[SHMR_EVENTS];
    struct shmr_polled polled[SHMR_EVENTS];
    char *notifier; /* a path from shmr_notifier_path() */
    struct shmr_place notifier_in;
#ifdef SHMRING_CHECKS
    _Atomic(const void *) user; /* the thread that is in a call on this handle */
#endif
};

/* A new handle, of no queue yet. Returns 0 or -errno with the detail set. */
int shmr_handle_new(shmring_t **out);

/* Unmap, close and free all that the handle has. That also drops the locks of its roles. */
void shmr_handle_free(shmring_t *q);

/* Map the segment from the description fd, and let the SIGBUS handler find it. The handle's
 * geometry must be set. */
int shmr_handle_map(shmring_t *q, int fd, unsigned flags);
void shmr_handle_unmap(shmring_t *q);

/* The handle is a participant in that role now: its calls are let through. */
void shmr_handle_attached(shmring_t *q, uint32_t role);

/* May a call use this handle in this process? Returns 0, or -EBADF, -ENOTCONN or -EBADMSG with the
 * detail set. */
int shmr_handle_check(const shmring_t *q);

/* Is the segment's memory still there? Returns 0, or -EBADMSG with the detail set. */
int shmr_handle_check_memory(const shmring_t *q);

/* Does the name still lead to the queue? Returns 0, or -ESTALE with the detail set. */
int shmr_handle_check_name(const shmring_t *q);

/* The segment is corrupt: no more sending or receiving. Returns -EBADMSG with the detail set. */
int shmr_handle_poison(shmring_t *q, const char *what);

/*
 * --enable-checks: find two threads that are in calls on one handle at the same time. SHMR_ALONE(q)
 * keeps other threads out of the handle until the calling function ends; if another thread is in a
 * call already, it makes the function return -EDEADLK. A call within a call of the same thread is
 * allowed. SHMR_IS_IDLE(q) is false, with the detail set, while any thread is in a call. Without
 * the option both compile to no code.
 */
#ifdef SHMRING_CHECKS
int shmr_handle_enter(shmring_t *q, shmring_t **entered); /* *entered stays NULL within a call */
void shmr_handle_leave(shmring_t **entered);
bool shmr_handle_is_idle(const shmring_t *q);
#define SHMR_ALONE(q)                                                                              \
    __attribute__((cleanup(shmr_handle_leave))) shmring_t *entered = NULL;                         \
    if (shmr_handle_enter((q), &entered) < 0)                                                      \
    return -EDEADLK
#define SHMR_IS_IDLE(q) shmr_handle_is_idle(q)
#else
#define SHMR_ALONE(q)   (void)0
#define SHMR_IS_IDLE(q) true
#endif

#endif
