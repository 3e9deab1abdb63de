/* SPDX-License-Identifier: MIT */
/* What the suites about waiting share: one queue, and processes that sleep at it. */
#ifndef TEST_WAITING_H
#define TEST_WAITING_H

#include <time.h>

#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static const struct timespec at_once, moment = {.tv_nsec = 2000000}, *const for_ever;

/* Sleep at once, and recheck only after an hour: a sleeper must have been woken for each event. */
static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};

extern char name[TEST_NAME_SIZE];
extern shmring_t *q;

/* setup() makes a name; the others create a queue of a kind under it, whose producer and consumer
 * is q. */
void setup(void);
void setup_spsc(void);
void setup_mpmc(void);
void teardown(void);

/* Another handle of that queue: in the test, and in a child. */
shmring_t *open_role(unsigned flags);
shmring_t *child_open(unsigned flags);

void send_hello(void);
void fill(shmring_t *handle);

/* A child's body: wait for the message "hello", as these settings say. */
int receive_one(void *settings);

#endif
