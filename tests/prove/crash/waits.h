/* SPDX-License-Identifier: MIT */
/*
 * The parts of waits.c: the operations of the process that dies (waits_operations.c), and the
 * survivors that sleep (sleepers.c).
 */
#ifndef CRASH_WAITS_H
#define CRASH_WAITS_H

#include "lib/core/handle.h"
#include "play.h"

enum { BATCH = 3, AN_HOUR = 3600000, SOON = 5, LATER = 20, SELDOM = 1000, LIMIT_SECONDS = 30 };
#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* The messages are numbers; each sender's begin at one of these. */
enum {
    PREFILLED = 0,  /* and up: in a full queue */
    VICTIMS = 1000, /* and up: of the process that dies */
    SLEEPERS = 1100,
    TESTERS = 1800, /* and on */
    END = 1900,
    NUMBERS
};

/* States: see waits.c. */
enum { BY_FUTEX, BY_DESCRIPTOR, UNFENCED, TIMES_OUT, IS_NOTIFIED, STOLEN, STATES };

struct operation {
    struct crash_operation base;
    unsigned event; /* the event that it publishes, or waits for */
    bool waits;
    bool mpmc_only;
    bool sleeps; /* it returns only when the event has come, or its time is over */
};

/* What one sleeper has done; if that is a producer, got has what the testers received. */
struct sleeper {
    volatile unsigned moved; /* messages that it has received or sent */
    volatile bool finished;
    volatile uint8_t got[NUMBERS];
};

/* Shared by all processes. */
enum { FIRST, COMPANION, SLEEPERS_MAX };
struct book {
    struct sleeper sleeper[SLEEPERS_MAX];
    volatile bool companion;  /* there are two sleepers */
    volatile bool stop;       /* the sleeper is to end */
    volatile unsigned helped; /* times that the helper published for the victim */
    volatile unsigned published;
};
struct book *book(struct crash_world *w);
struct sleeper *own(struct crash_world *w); /* of this process; in others, that of the first */

/* ---- The process that dies ------------------------------------------------------------------- */

enum { OPERATIONS = 16 };
extern const struct operation operations[OPERATIONS];

const struct operation *operation(const struct crash_world *w);
bool is_case(const struct operation *o, int state, unsigned kind);
void attach(struct crash_world *w);
void carry_on(struct crash_world *w);
long run_cancel(struct crash_world *w);
long run_release(struct crash_world *w);
long run_fd_arm(struct crash_world *w);

/* ---- The survivors --------------------------------------------------------------------------- */

extern shmring_t *watcher; /* the tester's observer */

bool is_mpmc(const struct crash_world *w);
bool is_broadcast(const struct crash_world *w);
unsigned fill(shmring_t *q);                     /* returns the messages in the full queue */
bool by_descriptor(const struct crash_world *w); /* does the sleeper wait by descriptor? */

shmring_t *join(struct crash_world *w, unsigned role);
void patience(shmring_t *q, uint32_t recheck_ms);

/* Wait until is_so() is true. False: it was not within LIMIT_SECONDS, or the case has failed. */
bool await(bool (*is_so)(struct crash_world *w, pid_t pid), struct crash_world *w, pid_t pid);
bool is_asleep(struct crash_world *w, pid_t pid);
void pause_a_little(void);
void end_process(pid_t pid);

bool send_number(struct crash_world *w, shmring_t *q, uint64_t number);
void note(struct crash_world *w, uint64_t number);
unsigned count(void); /* messages in the queue, also those taken and not released */

/* Start a process that waits for the event again and again, until the message END or until
 * book.stop. */
pid_t start_sleeper(struct crash_world *w, uint32_t recheck_ms);
pid_t put_to_sleep(struct crash_world *w, uint32_t recheck_ms);
pid_t put_companion_to_sleep(struct crash_world *w, uint32_t recheck_ms); /* the second sleeper */
/* Has each sleeper moved that many messages, or finished? */
bool have_all_moved(struct crash_world *w, unsigned messages);
bool have_all_finished(struct crash_world *w);
void publish_one(struct crash_world *w, shmring_t *q);    /* a message, or room for one */
void drain(struct crash_world *w, shmring_t *q);          /* also what dead participants held */
void finish_sleeper(struct crash_world *w, shmring_t *q); /* wake it, and wait for its end */

#endif
