/* SPDX-License-Identifier: MIT */
/* What the suites of the mux share: many queues of this process, and one mux for them. */
#ifndef TEST_MUXED_H
#define TEST_MUXED_H

#include <pthread.h>
#include <stdatomic.h>

#include <shmring/mux.h>

#include "support.h"

enum { IN_A_GROUP = 127, EVENTS = 16, MOST = 10000 };

static const struct timespec at_once, moment = {.tv_nsec = 2000000}, *const for_ever;

/* The handles that are in the mux, and the handles that make them ready. */
extern shmring_t *mine[MOST], *other[MOST];
extern shmring_mux_t *mux;
extern struct shmring_mux_event events[EVENTS];

/* setup() makes a mux that sleeps at once; teardown() closes the mux and the queues. */
void setup(void);
void teardown(void);

/* Make queue i. Its recheck is after an hour, so a sleeper must have been woken for each event. */
void make_queue(int i);

/* Make queues, and add them with &mine[i] as their data. */
void make_and_add(int from, int to);
int index_of(const struct shmring_mux_event *event);

/* Send queue i a message, which is the number i. */
void send_to(int i);
void receive(shmring_t *q, int expected);

/* Assert that the next event is of queue i alone, and receive its message. */
void expect(int i);

/* A thread that waits for one event. */
struct thread {
    pthread_t thread;
    _Atomic pid_t tid;
    int result;
    struct shmring_mux_event event;
};
void *wait_once(void *argument);

/* Start a thread with this body, and wait until it sleeps. */
void start(struct thread *t, void *(*body)(void *));
int result_of(struct thread *t);

#endif
