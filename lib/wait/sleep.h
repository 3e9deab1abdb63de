/* SPDX-License-Identifier: MIT */
/*
 * Waiting: poll for a time that is learned (spin.h), then sleep on the futex of the event's wait
 * word (waitword.h). At least every waiting.recheck ns a sleeper wakes and rechecks: the
 * participant that should have notified it may have died. No function here compares kinds: the
 * functions `ready` and `pass_on` of the kind's table say what is there, and wake other sleepers.
 */
#ifndef SHMR_SLEEP_H
#define SHMR_SLEEP_H

#include "core/handle.h"
#include "wait/wake.h"

#define SHMR_RECHECK_NS INT64_C(50000000)

/* Let an attached handle notify and wait. flags: SHMRING_ASYMMETRIC_FENCE, or 0. */
void shmr_wait_init(shmring_t *q, unsigned flags);

/* May this handle wait for the events? 0, or -errno with the detail. */
int shmr_wait_check(const shmring_t *q, unsigned events);

/*
 * Announce that this handle is about to sleep until the event; how: SHMR_WAITWORD_ASLEEP or
 * SHMR_WAITWORD_POLLED. 1: it is there already. 0: sleep, for *limit ns at the most; value[] has
 * the words of the events' futexes. Or -EPIPE, -ESTALE.
 */
int shmr_wait_arm(shmring_t *q, unsigned event, uint32_t how, uint32_t value[SHMR_EVENTS],
                  int64_t *limit);

/* The time that the handle goes by, in ns. */
int64_t shmr_wait_now(const shmring_t *q);

/* By the kernel's clock, ns have passed since `then`: correct that time. */
void shmr_wait_have_passed(shmring_t *q, int64_t then, int64_t ns);

/* When a timeout is over, by that time; NULL: never. 0, or -EINVAL with the detail. */
int shmr_wait_deadline(const shmring_t *q, const struct timespec *timeout, int64_t *deadline);

/* Attempts at an operation, until it is possible or the time is over: shmring_send_wait() and its
 * sisters. */
struct shmr_attempts {
    const struct timespec *timeout;
    int64_t deadline;
    unsigned event;
    bool waited;
};

/* Call this after an attempt, which returned *r. True: make another one. */
bool shmr_try_again(shmring_t *q, struct shmr_attempts *a, ssize_t *r);

#endif
