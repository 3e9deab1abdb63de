/* SPDX-License-Identifier: MIT */
/*
 * Waiting: poll for a while (spin.h), then sleep on the futex of the event's wait word
 * (waitword.h). At least every waiting.recheck a sleeper wakes and looks by itself: it may have
 * been the dead one's turn to ring. No function here asks for the kind: what is ready, and who else
 * is to be woken, is in the kind's table.
 */
#ifndef SHMR_SLEEP_H
#define SHMR_SLEEP_H

#include "core/handle.h"
#include "wait/wake.h"

#define SHMR_RECHECK_NS INT64_C(50000000)

/* Make an attached handle ring and wait. The roles' fence: SHMRING_ASYMMETRIC_FENCE in flags. */
void shmr_wait_init(shmring_t *q, unsigned flags);

/* May this handle wait for the events? 0, or why not. */
int shmr_wait_check(const shmring_t *q, unsigned events);

/*
 * Announce that this handle is about to sleep until the event; how: SHMR_WAITWORD_ASLEEP or
 * SHMR_WAITWORD_POLLED. 1: it is there already. 0: sleep, for *limit ns at the most; value[] has
 * the words of the events' futexes. Or -EPIPE, -ESTALE.
 */
int shmr_wait_arm(shmring_t *q, unsigned event, uint32_t how, uint32_t value[SHMR_EVENTS],
                  int64_t *limit);

/* The time that the handle goes by, ns; and: the kernel says that ns have passed since then. */
int64_t shmr_wait_now(const shmring_t *q);
void shmr_wait_have_passed(shmring_t *q, int64_t then, int64_t ns);

/* When a timeout is over by that time; NULL: never. 0, or -EINVAL with the detail. */
int shmr_wait_deadline(const shmring_t *q, const struct timespec *timeout, int64_t *deadline);

/* Attempts at an operation, until it is possible or the time is over: shmring_send_wait() and its
 * sisters. */
struct shmr_attempts {
    const struct timespec *timeout;
    int64_t deadline;
    unsigned event;
    bool waited;
};

/* Between two of them: r is what the last one returned. True: make another one. */
bool shmr_try_again(shmring_t *q, struct shmr_attempts *a, ssize_t *r);

#endif
