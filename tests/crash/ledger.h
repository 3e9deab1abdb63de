/* SPDX-License-Identifier: MIT */
/*
 * The messages of an mpmc queue under the stepper: who sent which, who got them and how often, and
 * whether all of that can be. The book is in shared memory; what the order is judged by is each
 * process's own.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "figures.h"

/* Who sent a message. */
enum source {
    BEFORE,   /* while the state was prepared, and received then */
    PREPARED, /* likewise, and still waiting */
    VICTIM,   /* the process that dies */
    PAUSED,   /* the process that stands still meanwhile */
    TESTER,   /* the survivors and successors */
    SOURCES
};

enum { LEDGER_NUMBERS = 48, LEDGER_LONGEST = 40, LEDGER_BATCH = 3 };

struct message {
    enum source source;
    unsigned number; /* counted by each source */
};

/* What the process of an operation leaves behind. */
struct witness {
    unsigned start;    /* number of the first message that its operation sends */
    bool releases_one; /* its operation releases this: */
    struct message releases;
    size_t length[LEDGER_BATCH];
    uint8_t buffer[LEDGER_BATCH][LEDGER_LONGEST];
    struct shmring_info info;
};

struct witness *ledger_witness(struct crash_world *w, int seat);

/* Content and length follow from the message. */
size_t ledger_write(struct message m, void *to);
bool ledger_read(struct message *m, const void *bytes, size_t length);

/* The queue has been prepared: so many messages wait; the first so many of them were taken before,
 * by one that died; and that is what the queue counts. */
void ledger_begin(unsigned waiting, unsigned taken_before, const struct shmring_stat *st);

/* A participant that will die is attached. */
void ledger_doomed(struct crash_world *w);

/* Has its successor, or the one that was to recover it, died as well? */
bool ledger_double_death(const struct crash_world *w);

/* A call that sent it has returned. */
void ledger_sent(struct crash_world *w, struct message m);
/* Somebody who will die has taken it; or has even received it. */
void ledger_lost_to(struct crash_world *w, struct message m);
void ledger_received_by(struct crash_world *w, struct message m);
/* Somebody who lives on has got these bytes; info: what the queue said about them, or NULL. */
void ledger_got(struct crash_world *w, const void *bytes, size_t length,
                const struct shmring_info *info);

/* This process begins anew. */
void ledger_forget(void);

/* What the operation of the dead may do. */
enum { SENDS = 1, RECEIVES = 2, PEEKS = 4, RECOVERS = 8 };

/*
 * Right after a death: do all figures agree, with each other and with what is in the ring? Whether
 * what comes of it bears them out, ledger_balance() says.
 */
void ledger_look(struct crash_world *w);

/* All is over, and the queue was empty at last: may that be what came of it? */
void ledger_balance(struct crash_world *w, const struct shmring_stat *st, unsigned traits);

#endif
