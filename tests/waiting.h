/* SPDX-License-Identifier: MIT */
/* What the suites of waiting share: one queue, and processes that sleep at it. */
#ifndef TEST_WAITING_H
#define TEST_WAITING_H

#include <time.h>

#include "support.h"

#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

static const struct timespec at_once, moment = {.tv_nsec = 2000000}, *const for_ever;

/* Sleep at once, and look again only after an hour: whatever comes was rung for. */
static const struct shmring_waiting sleepy = {.recheck_ms = 3600000};

extern char name[TEST_NAME_SIZE];
extern shmring_t *q;

/* A name; a queue of either kind under it, both of whose ends are q. */
void setup(void);
void setup_spsc(void);
void setup_mpmc(void);
void teardown(void);

/* Another handle of that queue: in the test, and in a child. */
shmring_t *open_role(unsigned flags);
shmring_t *child_open(unsigned flags);

void send_hello(void);
void fill(shmring_t *handle);

/* A child's: wait for a hello, as these settings say. */
int receive_one(void *settings);

#endif
