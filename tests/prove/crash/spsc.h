/* SPDX-License-Identifier: MIT */
/*
 * The parts of spsc.c: what a participant does (spsc_participants.c), and the operations of the
 * process that dies (spsc_operations.c).
 */
#ifndef CRASH_SPSC_H
#define CRASH_SPSC_H

#include "figures.h"
#include "messages.h"

enum { CAPACITY = 4096, SPARE = 8, BATCH = 3, LONGEST = 40, TOO_MANY = 1000 };

/* States. */
enum {
    NEW,            /* never used */
    EMPTY,          /* used, and drained */
    ONE,            /* one message waits */
    ALMOST_FULL,    /* room for one more message */
    FULL,           /* room for no message */
    WRAPS_NEXT,     /* none waits, the next message sent runs over the end of the ring */
    WRAPPED,        /* three wait, the first of them runs over the end of the ring */
    REDELIVERED,    /* three wait, two of them were taken by a consumer that died */
    HELD,           /* three wait, the consumer holds two of them */
    DEAD_NEIGHBOUR, /* three wait; the producer died with a reservation, the consumer holding one */
    AT_WORK,        /* three wait, and the process has moved two before */
};

/* What the process of an operation notes, for the tester to read after its death. */
struct witness {
    uint64_t start; /* message that its operation has to send, or the oldest not released */
    uint64_t taken; /* messages that its caller has got, from that one on */
    size_t length[BATCH];
    uint8_t buffer[BATCH][LONGEST];
};

/* This process's participants. */
struct participants {
    shmring_t *producer;
    shmring_t *consumer;
    shmring_t *observer; /* to be duplicated */
    uint64_t next;       /* message to send */
    struct oracle_reader reader;
    const void *held[4];
    int held_count;
    void *reservation;
};
extern struct participants here;

/* ---- What a participant does ----------------------------------------------------------------- */

void open_producer(struct crash_world *w);
void open_consumer(struct crash_world *w);
void close_all(void);

int send_next(struct crash_world *w);
void send_some(struct crash_world *w, int n);

/* Send until the queue is full, and check that it is full only when there is no room. */
void fill(struct crash_world *w);

/* Take the next message; false: there is none. */
bool hold_next(struct crash_world *w, struct shmring_info *info);
void release_held(struct crash_world *w);

/* Receive until the queue is empty, by peek and release, and by recv. */
void drain(struct crash_world *w);

/* The message number at which the dead process's operation started. */
uint64_t dead_start(const struct crash_world *w);

/* Had the dead consumer received message n, from a call that returned, or whole in its buffer? */
bool dead_had(const struct crash_world *w, uint64_t n);

/* ---- The process of an operation ------------------------------------------------------------- */

enum { OPERATIONS = 15 };
extern const struct crash_operation operations[OPERATIONS];
long run_recv(struct crash_world *w);
long run_recv_batch(struct crash_world *w);

void attach(struct crash_world *w);
void carry_on(struct crash_world *w);

#endif
