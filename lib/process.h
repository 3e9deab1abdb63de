/* SPDX-License-Identifier: MIT */
/*
 * What the library knows about the process it is in: whether a handle was inherited over fork, that
 * no fork happens in the middle of taking a lock, and how fast its processor is.
 */
#ifndef SHMR_PROCESS_H
#define SHMR_PROCESS_H

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
 * Between these two, no other thread's fork() copies the descriptors and mappings of this process:
 * a child would share the lock just taken and hide this participant's death.
 */
void shmr_process_hold_fork(void);
bool shmr_process_try_hold_fork(void); /* never waits */
void shmr_process_let_fork(void);

/* So many pauses, and ticks of shmr_ticks(), take SHMR_BACK_OFF_NS: measured once in this process.
 */
uint32_t shmr_process_pauses(void);
uint32_t shmr_process_ticks(void);

#endif
