/* SPDX-License-Identifier: MIT */
/*
 * The messages of an mpmc queue under the stepper: which process sent them, which received them and
 * how often, and whether that is allowed. The book is in shared memory; each process checks the
 * order in memory of its own.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "figures.h"

/* The sender of a message. */
enum source {
    BEFORE,   /* sent and received while the state was prepared */
    PREPARED, /* sent while the state was prepared, and still waiting */
    VICTIM,   /* the process that dies */
    PAUSED,   /* the process that is stopped while the victim dies */
    TESTER,   /* the survivors and successors */
    SOURCES
};

enum { LEDGER_NUMBERS = 48, LEDGER_MESSAGE = 36, LEDGER_LONGEST = 40, LEDGER_BATCH = 3 };

struct message {
    enum source source;
    unsigned number; /* counted by each source */
};

/* What the process of an operation notes, for the tester to read after its death. */
struct witness {
    unsigned start;    /* number of the first message that its operation sends */
    bool releases_one; /* its operation releases the message `releases` */
    struct message releases;
    size_t length[LEDGER_BATCH];
    uint8_t buffer[LEDGER_BATCH][LEDGER_LONGEST];
    struct shmring_info info;
};

struct witness *ledger_witness(struct crash_world *w, int seat);

/* Write the message's content to memory; content and length follow from source and number. Returns
 * the length. */
size_t ledger_write(struct message m, void *to);
bool ledger_read(struct message *m, const void *bytes, size_t length);

/* The state is prepared: the number of messages that wait; how many of these, the first ones, were
 * taken before by a process that died; and the queue's counters. */
void ledger_begin(unsigned waiting, unsigned taken_before, const struct shmring_stat *st);

/* A participant that will die is attached. */
void ledger_doomed(struct crash_world *w);

/* Has the successor, or the participant that recovers the dead one, died as well? */
bool ledger_double_death(const struct crash_world *w);

/* A call that sent it has returned. */
void ledger_sent(struct crash_world *w, struct message m);
/* A process that will die has taken the message; or a call of it has returned the message. */
void ledger_lost_to(struct crash_world *w, struct message m);
void ledger_received_by(struct crash_world *w, struct message m);
/* A process that lives on has received these bytes; info: what the queue said about them, or
 * NULL. */
void ledger_got(struct crash_world *w, const void *bytes, size_t length,
                const struct shmring_info *info);

/* Forget the order of messages that this process has received. */
void ledger_forget(void);

/* What the interrupted operation may do. */
enum { SENDS = 1, RECEIVES = 2, PEEKS = 4, RECOVERS = 8 };

/*
 * Right after a death: take the figures and check that they agree, with each other and with the
 * ring. ledger_balance() checks them against the messages that come later.
 */
void ledger_check(struct crash_world *w);

/* At the end, when the queue is empty: check all messages and counters against the book. */
void ledger_balance(struct crash_world *w, const struct shmring_stat *st, unsigned traits);

#endif
