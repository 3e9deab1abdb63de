/* SPDX-License-Identifier: MIT */
/*
 * The parts of mpmc.c: what a participant does (mpmc_participants.c), and the operations of the
 * process that dies (mpmc_operations.c). ledger.c checks the messages.
 */
#ifndef CRASH_MPMC_H
#define CRASH_MPMC_H

#include "ledger.h"
#include "lib/core/handle.h"

enum { CAPACITY = 8, LONGEST = LEDGER_LONGEST };
#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* States. */
enum {
    NEW,            /* never used */
    EMPTY,          /* used, and drained */
    ONE,            /* one message waits */
    ALMOST_FULL,    /* one block is free */
    FULL,           /* no block is free */
    WRAPPED,        /* three wait, the last two of them in the next lap */
    FOREIGN,        /* four wait; the block at the tail's own place is held by a survivor */
    REDELIVERED,    /* three wait, two of which were taken by a participant that died */
    HELD,           /* two wait; the process holds two more, and a reservation */
    DEAD_NEIGHBOUR, /* two wait; a participant died with one more and a reservation */
    AT_WORK,        /* three wait; the process has received two and sent two before */
    LEFT_BEHIND,    /* three wait; others went round twice since the process polled */
    CROWDED,        /* three wait; no row is free: the dead one had all the others */
    AT_MOST_ONCE,   /* as HELD, but what dead participants have taken is dropped */
};

/* ---- What a participant does ----------------------------------------------------------------- */

struct held {
    const void *msg;
    struct message message;
};

/* This process's participants. */
struct participants {
    shmring_t *mine;     /* the handle of an operation's process */
    shmring_t *observer; /* to be duplicated */
    shmring_t *producer, *consumer, *holder, *successor;
    struct held held[4];
    int held_count;
    void *reservation;
    struct iovec outgoing[LEDGER_BATCH];
    unsigned next[SOURCES]; /* number of the next message to send */
};
extern struct participants here;

shmring_t *join(struct crash_world *w);
shmring_t *join_and_die(struct crash_world *w);
bool dies(const struct crash_world *w); /* is this the process that is killed in the end? */
enum source me(const struct crash_world *w);
void close_all(void);

/* After allow_sweep(), the next call on q that finds nothing sweeps. After prevent_sweep(), none
 * does for 50 ms. */
void allow_sweep(shmring_t *q);
void prevent_sweep(shmring_t *q);

int send_next(struct crash_world *w, shmring_t *q, enum source source);
void send_some(struct crash_world *w, shmring_t *q, enum source source, int n);
void reserve(struct crash_world *w, shmring_t *q);
void commit_reservation(struct crash_world *w, shmring_t *q);

/* A survivor takes the next message (NULL: there is none), and releases it. */
const void *take(struct crash_world *w, shmring_t *q);
void give_back(struct crash_world *w, shmring_t *q, const void *msg);
bool pass_one(struct crash_world *w, shmring_t *q); /* take(), give_back(); false: no message */
void release_held(struct crash_world *w, shmring_t *q);
void drain(struct crash_world *w, shmring_t *q);

/* ---- The process of an operation ------------------------------------------------------------- */

enum { OPERATIONS = 13 };
extern const struct crash_operation operations[OPERATIONS];
unsigned traits_of(const struct crash_operation *operation); /* see ledger_balance() */
long run_recover(struct crash_world *w);

void attach(struct crash_world *w);
void carry_on(struct crash_world *w);

/* A participant dies with a message and a reservation; CROWDED: and has all free rows. */
void neighbour_dies(struct crash_world *w);

#endif
