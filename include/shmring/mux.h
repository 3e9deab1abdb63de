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
 * A library of its own, libshmring-mux, beside libshmring.
 *
 * Whose is a queue?
 *   A handle is used by one thread at a time, so from shmring_mux_add() to shmring_mux_remove() it
 *   is the mux's, and whoever gets it in an event has borrowed it: no other waiting thread gets it
 *   meanwhile. It is given back by the borrower's next shmring_mux_wait() on that mux, or earlier
 *   by shmring_mux_done(), and when the borrower's thread ends. The mux never closes it.
 *
 * An event says what is there, not what has changed: a queue that still has messages when it is
 * given back is in one of the next events again. So a borrower may take one message, some, or all.
 * A mux is fair: the others are heard while one is always ready (doc/mux.md says after how many
 * waits).
 *
 * Threads, signals, fork
 *   All calls are thread-safe, except that shmring_mux_destroy() comes last. None is signal-safe.
 *   In a forked child they return -ENOTCONN, except shmring_mux_destroy(), which frees the child's
 *   copy. liburcu-bp asks a program to call urcu_bp_before_fork() and its kin around fork() if the
 *   child is to make a mux of its own without exec(); the mux does not do that for the program.
 *   Up to 127 queues are waited for by those who call shmring_mux_wait() alone. With more, the mux
 *   has a thread for each 127 of them. They sleep, with all signals blocked, until one of the
 *   queues calls, then hand it to those who wait.
 *
 * The codes that are told here are the mux's; others come from libshmring, and only these have
 * words in shmring_strerror_detail(). Besides, every call can return
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
    /* look for so long, at most, before sleeping; what waits took of late decides */
    uint32_t spin_ns;
    uint32_t looks_per_s; /* at queues that nobody rang for, in all, while asleep; 0: 20,000 */
    uint32_t reserved[6];
};

/*
 * Make a mux. config NULL: spin_ns is 50,000, looks_per_s 20,000. Returns 0, or -EINVAL (mux NULL,
 * a reserved field not zero), -ENOMEM, -EAGAIN: no thread-specific key (pthread_key_create(3)) is
 * left.
 *
 * Where futex_waitv(2) is not to be had (a kernel before Linux 5.16, or a seccomp filter), a
 * sleeping mux wakes up every millisecond and looks at its queues' futexes: an event comes up to a
 * millisecond later, or N milliseconds with 127 * (N - 1) queues and more.
 */
SHMRING_API int shmring_mux_create(shmring_mux_t **mux, const struct shmring_mux_config *config);

/*
 * Wait for q too: for SHMRING_READABLE (a consumer's handle) or SHMRING_WRITABLE (a producer's:
 * room for the message that was last refused). Threads that wait already wait for it from now on.
 * data comes back in its events. For both directions, use two handles: shmring_dup().
 *
 * While asleep the mux looks at q by itself as often as shmring_set_waiting() says, but at all of
 * its queues together not more often than looks_per_s says: with the defaults, at each of 1,000
 * every 50 ms, at each of 10,000 every 500 ms. It heeds that call's flags. Make it before. A look
 * finds what the dead sent and did not ring for; who lives rings at once.
 *
 * Returns 0, or -EINVAL: event is not one of the two; -EEXIST: q is in this mux; -ENOMEM; -EAGAIN:
 * a thread was needed and is not to be had; or what shmring_wait() returns for such a handle.
 */
SHMRING_API int shmring_mux_add(shmring_mux_t *mux, shmring_t *q, unsigned event, void *data);

/*
 * Wait for q no longer. Returns when no thread is inside q or will be: then it may be closed. If
 * another thread has borrowed it, that is when it is given back, or when that thread ends. The
 * caller itself may have borrowed it: that ends here.
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
 * Give back what this thread has borrowed, and wait until a queue is ready: up to n events. timeout
 * is relative (CLOCK_MONOTONIC); NULL waits for ever, zero looks once. Of several consumers of an
 * mpmc queue another one may be quicker: receiving can say -EAGAIN all the same.
 *
 * Returns how many events; 0 after shmring_mux_wake(); or
 *   -ETIMEDOUT  the time is over
 *   -EINTR      a signal handler ran while this thread slept
 *   -EINVAL     n < 1, events NULL, a timeout that is negative or has more than 999,999,999 ns
 *   -ENOMEM     only at a thread's first wait
 *   -EPERM, -ENOSYS  every system call that sleeps is refused to this process, by a seccomp filter
 * With zero, a message in one of more than 127 queues may be seen a moment after it was sent.
 */
SHMRING_API int shmring_mux_wait(shmring_mux_t *mux, struct shmring_mux_event *events, int n,
                                 const struct timespec *timeout);

/*
 * Give q back before the next shmring_mux_wait(), so that others can get it. Only by the thread
 * that got it in an event. Returns 0, or -ENOENT: this thread has not borrowed it.
 */
SHMRING_API int shmring_mux_done(shmring_mux_t *mux, shmring_t *q);

/*
 * Make a wait return 0, one that is under way or the next one, though nothing is ready: also when a
 * signal ends that wait at the same time. Returns 0.
 */
SHMRING_API int shmring_mux_wake(shmring_mux_t *mux);

/*
 * End the mux and set *mux to NULL. No thread may be in another call on it, and no borrowed queue
 * is given back any more. The queues stay open. mux and *mux may be NULL.
 */
SHMRING_API void shmring_mux_destroy(shmring_mux_t **mux);

#ifdef __cplusplus
}
#endif
#endif
