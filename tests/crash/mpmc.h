/* SPDX-License-Identifier: MIT */
/*
 * What mpmc.c is made of: what a participant does (mpmc_participants.c), and the operations of the
 * process that dies (mpmc_operations.c). What all of them are to find is in ledger.c.
 */
#ifndef CRASH_MPMC_H
#define CRASH_MPMC_H

#include "../../lib/core/handle.h"
#include "ledger.h"

enum { CAPACITY = 8, LONGEST = LEDGER_LONGEST };
#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* States. */
enum {
    NEW,            /* never used */
    EMPTY,          /* used, and drained */
    ONE,            /* one message waits */
    ALMOST_FULL,    /* one block is free */
    FULL,           /* none is */
    WRAPPED,        /* three wait, the last two of them in the next lap */
    FOREIGN,        /* four wait; the block at the tail's own place is held by a survivor */
    REDELIVERED,    /* three wait, the last two of them were taken by one that died */
    HELD,           /* two wait; the process holds two more, and a reservation */
    DEAD_NEIGHBOUR, /* two wait; somebody died with one more and with a reservation */
    AT_WORK,        /* three wait; the process has received two and sent two before */
    LEFT_BEHIND,    /* three wait; others have gone twice round since the process looked */
    CROWDED,        /* three wait; no row is free: the dead one had all the others */
    AT_MOST_ONCE,   /* as HELD, but what the dead have taken does not come again */
};

/* ---- What a participant does ----------------------------------------------------------------- */

struct held {
    const void *msg;
    struct message message;
};

/* This process's participants. */
struct participants {
    shmring_t *mine;     /* of an operation's process */
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
bool dies(const struct crash_world *w); /* the process of an operation, in the end? */
enum source me(const struct crash_world *w);
void close_all(void);

/* The next one to find nothing looks for the dead; or nobody does, for the next 50 ms. */
void allow_sweep(shmring_t *q);
void prevent_sweep(shmring_t *q);

int send_next(struct crash_world *w, shmring_t *q, enum source source);
void send_some(struct crash_world *w, shmring_t *q, enum source source, int n);
void reserve(struct crash_world *w, shmring_t *q);
void commit_reservation(struct crash_world *w, shmring_t *q);

/* One who lives on takes the next message (NULL: there is none), and gives it back. */
const void *take(struct crash_world *w, shmring_t *q);
void give_back(struct crash_world *w, shmring_t *q, const void *msg);
bool pass_one(struct crash_world *w, shmring_t *q); /* both; false: there is none */
void release_held(struct crash_world *w, shmring_t *q);
void drain(struct crash_world *w, shmring_t *q);

/* ---- The process of an operation ------------------------------------------------------------- */

enum { OPERATIONS = 13 };
extern const struct crash_operation operations[OPERATIONS];
unsigned traits_of(const struct crash_operation *operation); /* see ledger_balance() */
long run_recover(struct crash_world *w);

void attach(struct crash_world *w);
void carry_on(struct crash_world *w);

/* Somebody dies with a message and a reservation; crowded: and has all the rows there are. */
void neighbour_dies(struct crash_world *w);

#endif
