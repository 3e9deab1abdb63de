/* SPDX-License-Identifier: MIT */
/*
 * What the library knows of its process: whether a handle was inherited over fork, and how long a
 * pause takes. Here are also the functions that keep forks, signal handlers and cancellation away
 * from the library's critical steps.
 */
#ifndef SHMR_PROCESS_H
#define SHMR_PROCESS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* The mark of no process. */
#define SHMR_NO_PROCESS UINT32_MAX

/*
 * The mark of this process is in a page that the kernel wipes in a forked child. A handle notes the
 * mark: while *page equals its note, the handle is in the process that opened it. Returns 0, or
 * -ENOMEM, -ENOSYS (before Linux 4.14) with the detail set.
 */
int shmr_process_mark(const volatile uint32_t **page);

/*
 * The fork lock. While a thread holds it, no fork() copies the descriptors and mappings of this
 * process: a child would share a row's lock that was just taken, and hide this participant's death.
 * The holder blocks all signals but those of faults, so that no signal handler interrupts it and
 * forks: that fork would wait for the lock for ever. *signals keeps the previous signal mask.
 *
 * shmr_process_try_hold_fork() never waits; a signal handler may call it.
 */
void shmr_process_hold_fork(sigset_t *signals);
bool shmr_process_try_hold_fork(sigset_t *signals);
void shmr_process_let_fork(const sigset_t *signals);

/*
 * From here to the end of the calling function, pthread_cancel() does not end this thread. A thread
 * that ended in open(2) or close(2) would leave locks, descriptors and memory behind. In glibc and
 * in musl both functions only write to the thread's own memory, so a signal handler may use this.
 */
#define SHMR_NO_CANCEL()                                                                           \
    __attribute__((cleanup(shmr_process_allow_cancel), unused)) const int cancel_before =          \
        shmr_process_forbid_cancel()

static inline int shmr_process_forbid_cancel(void)
{
    int before = PTHREAD_CANCEL_ENABLE;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void shmr_process_allow_cancel(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}

/*
 * Return the descriptor, moved to a higher number if it is 0, 1 or 2: a program that has closed
 * those, and prints all the same, would write over the queue. fd is closed if it is moved, also on
 * failure: then it returns -1 and sets errno. Signal-safe.
 */
int shmr_process_keep_fd(int fd);

/* The number of pauses, and of ticks of shmr_ticks(), that take SHMR_BACK_OFF_NS; measured once in
 * each process. */
uint32_t shmr_process_pauses(void);
uint32_t shmr_process_ticks(void);

#endif
