/* SPDX-License-Identifier: MIT */
/*
 * What the library knows of the process it is in, and what it keeps away from its own critical
 * steps: forks, signal handlers and cancellation. It also knows whether a handle was inherited over
 * fork, and how fast the processor is.
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
 * The mark of this process lives in a page that the kernel wipes in a forked child. A handle notes
 * the mark; while *page equals its note, it is in the process that opened it.
 * Returns 0, or -ENOMEM, -ENOSYS (before Linux 4.14) with the detail set.
 */
int shmr_process_mark(const volatile uint32_t **page);

/*
 * The fork lock. While a thread holds it, no fork() copies the descriptors and mappings of this
 * process: a child would share the lock just taken and hide this participant's death. All signals
 * but those of faults are blocked meanwhile, and kept in *signals what was blocked before, so that
 * no handler interrupts the holder and forks: it would wait for the lock for ever.
 *
 * Trying never waits, and may be done in a signal handler.
 */
void shmr_process_hold_fork(sigset_t *signals);
bool shmr_process_try_hold_fork(sigset_t *signals);
void shmr_process_let_fork(const sigset_t *signals);

/*
 * From here to the end of the calling function, this thread is not cancelled (pthread_cancel). A
 * thread that ended in open(2) or close(2) would leave locks, descriptors and memory behind. Both
 * functions only write to the thread's own memory in glibc and in musl, so this may be done in a
 * signal handler.
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
 * The descriptor, moved if it is 0, 1 or 2: a program that closed those and prints all the same
 * would write over the queue. Takes fd, also when it fails, with -1 and errno. Signal-safe.
 */
int shmr_process_keep_fd(int fd);

/* So many pauses, and ticks of shmr_ticks(), take SHMR_BACK_OFF_NS: measured once in this process.
 */
uint32_t shmr_process_pauses(void);
uint32_t shmr_process_ticks(void);

#endif
