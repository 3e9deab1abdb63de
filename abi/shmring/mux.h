/* SPDX-License-Identifier: MIT */
/*
 * shmring/mux.h: wait for many queues at once.
 *
 *   shmring_mux_create(&mux, NULL);
 *   shmring_mux_add(mux, orders, SHMRING_READABLE, &desk);
 *   shmring_mux_add(mux, quotes, SHMRING_READABLE, &desk);
 *   while ((n = shmring_mux_wait(mux, events, 16, NULL)) >= 0)
 *       for (int i = 0; i < n; i++)
 *           while (shmring_recv(events[i].q, buf, sizeof buf) >= 0)
 *               ...
 *
 * It is a library of its own: link with libshmring-mux and libshmring.
 *
 * Which thread may use a queue?
 *   One thread at a time may use a handle. So from shmring_mux_add() to shmring_mux_remove() it
 *   belongs to the mux, and the thread that gets it in an event has borrowed it: no other waiting
 *   thread gets it meanwhile. The borrower gives it back by its next shmring_mux_wait() on that
 *   mux, or earlier by shmring_mux_done(), or when its thread ends. The mux never closes a queue.
 *
 * An event says what is there, not what has changed: a queue that still has messages when it is
 * given back comes in one of the next events again. So a borrower may take one message, some, or
 * all. A mux is fair: if one queue is always ready, the other queues still come in events
 * (doc/mux.md says after how many waits).
 *
 * Threads, signals, fork
 *   All calls are thread-safe, except that no other call may run or follow when
 *   shmring_mux_destroy() is called. None is signal-safe. In a forked child they return -ENOTCONN,
 *   except shmring_mux_destroy(), which frees the child's copy. liburcu-bp asks a program to call
 *   urcu_bp_before_fork() and its kin around fork() if the child is to make a mux of its own
 *   without exec(); the mux does not do that for the program.
 *   Up to 127 queues need no thread but those in shmring_mux_wait(). With more queues, the mux
 *   starts a helper thread for each 127 of them. A helper sleeps, with all signals blocked, until
 *   one of its queues is ready, and then hands it to a thread in shmring_mux_wait().
 *
 * The error codes listed here are the mux's own. Others come from libshmring, and only for those
 * does shmring_strerror_detail() have a sentence. Besides, every call can return
 *   -EBADF     mux is NULL
 *   -ENOTCONN  mux was made by the parent of this forked process
 */
#ifndef SHMRING_MUX_H
#define SHMRING_MUX_H

#include <shmring/shmring.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shmring_mux shmring_mux_t;

struct shmring_mux_config {
    /* poll for this long, at most, before sleeping; the mux learns from recent waits how long */
    uint32_t spin_ns;
    uint32_t looks_per_s; /* rechecks a second of all queues together, while asleep; 0: 20,000 */
    uint32_t reserved[6];
};

/*
 * Make a mux. config NULL: spin_ns is 50,000, looks_per_s 20,000. Returns 0, or -EINVAL (mux NULL,
 * a reserved field not zero), -ENOMEM, -EAGAIN: no thread-specific key (pthread_key_create(3)) is
 * left.
 *
 * Where futex_waitv(2) does not work (a kernel before Linux 5.16, or a seccomp filter), a sleeping
 * mux wakes up every millisecond and reads its queues' futexes: an event comes up to one
 * millisecond later, or N milliseconds later with 127 * (N - 1) queues and more.
 */
SHMRING_API int shmring_mux_create(shmring_mux_t **mux, const struct shmring_mux_config *config);

/*
 * Wait for q too: for SHMRING_READABLE (a consumer's handle) or SHMRING_WRITABLE (a producer's
 * handle: room for the message that was last refused). Threads that are already waiting wait for q
 * too from now on. data comes back in its events. For both directions, use two handles:
 * shmring_dup().
 *
 * While asleep the mux rechecks q as often as shmring_set_waiting() says, but all of its queues
 * together not more often than looks_per_s: with the defaults, each of 1,000 queues every 50 ms,
 * each of 10,000 every 500 ms. The flags of shmring_set_waiting() apply too: call it before this. A
 * recheck finds the message of a producer that died before it notified; a live producer notifies at
 * once.
 *
 * Returns 0, or -EINVAL: event is not one of the two; -EEXIST: q is in this mux; -ENOMEM; -EAGAIN:
 * the mux could not start a helper thread that it needs; or what shmring_wait() returns for such a
 * handle.
 */
SHMRING_API int shmring_mux_add(shmring_mux_t *mux, shmring_t *q, unsigned event, void *data);

/*
 * Stop waiting for q. Returns when no other thread uses q through the mux or will: then the caller
 * may close it. If another thread has borrowed q, the call returns when that thread gives it back
 * or ends. If the caller itself has borrowed q, the loan ends here.
 *
 * Returns 0, or -ENOENT: q is not in this mux. May sleep for some milliseconds. Not to be called
 * inside an RCU read-side section of liburcu-bp.
 */
SHMRING_API int shmring_mux_remove(shmring_mux_t *mux, shmring_t *q);

struct shmring_mux_event {
    shmring_t *q;
    void *data;
    uint32_t event; /* SHMRING_READABLE or SHMRING_WRITABLE */
    int32_t error;  /* 0; or why waiting for q failed, such as -EPIPE, -ESTALE, -EBADMSG */
};

/*
 * Give back what this thread has borrowed, and wait until a queue is ready. Fills in up to n
 * events. timeout is relative (CLOCK_MONOTONIC); NULL waits for ever, zero polls once. Another
 * consumer of an mpmc queue may be quicker, so receiving can still return -EAGAIN.
 *
 * Returns the number of events; 0 after shmring_mux_wake(); or
 *   -ETIMEDOUT  the timeout has passed
 *   -EINTR      a signal handler ran while this thread slept
 *   -EINVAL     n < 1, events NULL, a timeout that is negative or has more than 999,999,999 ns
 *   -ENOMEM     only at a thread's first wait
 *   -EPERM, -ENOSYS  a seccomp filter refuses this process every system call that sleeps
 * With a zero timeout and more than 127 queues, a message that was just sent may be found only by a
 * later call, after a helper thread has seen it.
 */
SHMRING_API int shmring_mux_wait(shmring_mux_t *mux, struct shmring_mux_event *events, int n,
                                 const struct timespec *timeout);

/*
 * Give q back before the next shmring_mux_wait(), so that other threads can get it. Only the thread
 * that got it in an event may do that. Returns 0, or -ENOENT: this thread has not borrowed it.
 */
SHMRING_API int shmring_mux_done(shmring_mux_t *mux, shmring_t *q);

/*
 * Make one shmring_mux_wait() return 0 though no queue is ready: one that sleeps now, or else the
 * next one. A signal that ends that wait at the same time does not change this. Returns 0.
 */
SHMRING_API int shmring_mux_wake(shmring_mux_t *mux);

/*
 * End the mux and set *mux to NULL. No thread may be in another call on it. Threads that have
 * borrowed queues need not, and cannot, give them back any more. The queues stay open. mux and *mux
 * may be NULL.
 */
SHMRING_API void shmring_mux_destroy(shmring_mux_t **mux);

#ifdef __cplusplus
}
#endif
#endif
