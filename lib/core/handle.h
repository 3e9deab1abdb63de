/* SPDX-License-Identifier: MIT */
/* A handle: one participant, or observer, of one queue. */
#ifndef SHMR_HANDLE_H
#define SHMR_HANDLE_H

#include "base/kept.h"
#include "base/process.h"
#include "core/layout.h"
#include "core/segment.h"
#include "core/side.h"
#include "kind.h"
#include "mpmc/participant.h"
#include "spsc/ring.h"

/* What a queue can become: whoever waits for one of these sleeps at its wait word. */
enum { SHMR_READABLE, SHMR_WRITABLE, SHMR_EVENTS };

/* How a handle waits: see lib/wait/sleep.h. */
struct shmr_waiting {
    uint32_t spin_most;           /* ns */
    uint32_t flags;               /* SHMRING_WAIT_PEERS, SHMRING_WAIT_HANGUP */
    int64_t recheck;              /* ns */
    uint32_t pauses;              /* that last for SHMR_BACK_OFF_NS */
    bool unsure;                  /* at the last arming: SHMRING_FUTEX_UNSURE */
    bool no_waitv;                /* futex_waitv(2) is not to be had */
    int64_t skew;                 /* ns: what the clock lags behind the kernel's, see wait.c */
    int64_t rechecked;            /* the last recheck: CLOCK_MONOTONIC with the skew, ns */
    int64_t name_checked;         /* the last check of the name: likewise */
    int64_t watched[SHMR_EVENTS]; /* the first announcement: likewise; 0: there was none */
    uint32_t usual[SHMR_EVENTS];  /* ns that waits took of late, as far as spinning found out */
    uint32_t waits[SHMR_EVENTS];
    size_t refused; /* length of the last message for which there was no room */
};

/* A handle's part in an event's notifier: see lib/wait/notifier.h. Descriptors, -1: none yet. */
struct shmr_polled {
    int fifo;             /* the FIFO: opened to wait or to ring */
    int timer;            /* the next look by itself */
    int fd;               /* the epoll instance that has both: what the user polls */
    int64_t armed, limit; /* when the timer was set, and for how long, ns */
};

/* A sweep recovers a dead row piece by piece, and lets go of the row's lock in between. */
struct shmr_sweep {
    bool active;  /* a dead row is not finished */
    bool running; /* by a call of this handle, now */
    uint32_t row,
        generation; /* another generation: another participant finished it, and the row is new */
    uint64_t next;  /* block */
    struct shmr_recovered done;
    int error; /* of the last sweep: why the dead cannot be recovered; 0: they can */
};

struct shmring {
    /*
     * What every send and receive looks at. A mark equal to *process lets the call through: it says
     * in one comparison that the handle has the role, is not poisoned, and was not inherited over
     * fork. Otherwise it is SHMR_NO_PROCESS.
     */
    const volatile uint32_t *process;
    uint32_t send_mark;
    uint32_t receive_mark;
    enum shmr_kind_number number; /* which of the union is in use */
    /* And what every success looks at: does somebody sleep there, or (see waitword.h) may somebody?
     */
    struct shmr_waitword *waitword[SHMR_EVENTS];
    uint32_t notify_if[SHMR_EVENTS];
    /* The state of the kind. Only its own folder, and what api/ expands from SHMR_KINDS, look here.
     */
    union {
        struct shmr_spsc spsc;
        struct shmr_mpmc_participant mpmc;
    };

    struct shmr_side *sending, *receiving; /* in that state, of the roles attached */
    uint32_t mark;                         /* of the process that opened the handle */
    uint32_t roles;     /* SHMRING_PRODUCER, SHMRING_CONSUMER; none: an observer */
    uint32_t attached;  /* those of them whose rows say so */
    uint32_t row;       /* mine in the table, where a handle has one row for all its roles */
    bool poisoned;      /* the segment held something that cannot be */
    volatile bool lost; /* or is not there any more: see guard.h */
    struct shmr_guarded *guarded;
    int fd;                /* the description that holds no locks; see segment.h */
    struct shmr_kept kept; /* the one that recovers, and may hold the roles' locks; see segment.h */
    struct shmr_geometry geometry;
    struct shmr_header header; /* private copy */
    struct shmr_map map;
    struct shmr_name name;             /* text is empty: opened from a descriptor */
    uint32_t next_dead;                /* row to look at first, for the next recovery */
    uint64_t swept;                    /* CLOCK_MONOTONIC, ns: my last sweep */
    struct shmr_sweep sweep;           /* a dead row that my last sweep did not finish */
    bool unfinished;                   /* what a dead predecessor in my row held is not recovered */
    struct shmring_recovery recovered; /* since the last report */
    struct shmr_waiting waiting;
    /* How often participants of the other role had attached: at my last check; and when I, or my
     * predecessor, was told that all of them had left (kind.h: hung_up). */
    uint64_t peers_ever[SHMR_EVENTS];
    uint64_t peers_before[SHMR_EVENTS];
    struct shmr_polled polled[SHMR_EVENTS];
    char *notifier; /* a path from shmr_notifier_path() */
#ifdef SHMRING_CHECKS
    _Atomic(const void *) user; /* the thread that is in a call on this handle */
#endif
};

/* A new handle, of no queue yet. 0 or -errno with the detail. */
int shmr_handle_new(shmring_t **out);

/* Unmap, close and free whatever it has. The roles' locks go with that. */
void shmr_handle_free(shmring_t *q);

/* Map the segment from the description fd, and let the SIGBUS handler know. The handle has its
 * geometry. */
int shmr_handle_map(shmring_t *q, int fd, unsigned flags);
void shmr_handle_unmap(shmring_t *q);

/* The handle is a participant in that role now: its calls are let through. */
void shmr_handle_attached(shmring_t *q, uint32_t role);

/* May any call use this handle here and now? 0, -EBADF, -ENOTCONN or -EBADMSG, with the detail. */
int shmr_handle_check(const shmring_t *q);

/* Is the segment's memory still there? Else -EBADMSG, with the detail. */
int shmr_handle_check_memory(const shmring_t *q);

/* Is the queue still at its name? 0 or -ESTALE, with the detail. */
int shmr_handle_check_name(const shmring_t *q);

/* The segment is corrupt: no more sending or receiving. Returns -EBADMSG with the detail set. */
int shmr_handle_poison(shmring_t *q, const char *what);

/*
 * --enable-checks: what two threads in calls on one handle do wrong is seen in time. SHMR_ALONE(q)
 * keeps other threads off the handle to the end of the calling function, or makes it return
 * -EDEADLK when one is there; a call within a call of the same thread is all right. SHMR_IS_IDLE(q)
 * is false, with the detail, while any thread is in a call. Without the option they are no code.
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
