/* SPDX-License-Identifier: MIT */
/*
 * The results. A cell is one transport, mode, way to wait and message size. It has a round for each
 * time that it was measured.
 */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include "machine.h"
#include "measure.h"
#include "options.h"

enum metric {
    M_MESSAGES, /* million a second */
    M_BYTES,    /* million a second */
    M_P50,      /* ns, and so are the rest */
    M_P90,
    M_P99,
    M_P999,
    M_MIN,
    M_MAX,
    M_MEAN,
    M_PRODUCER_LOW, /* messages of one producer, in parts of the equal share: the least and the most
                     */
    M_PRODUCER_HIGH,
    M_CONSUMER_LOW,
    M_CONSUMER_HIGH,
    M_PAIR,       /* ns for a send and a receive in one process */
    M_EXCHANGE,   /* ns for a locked compare-exchange beside it */
    M_CPU,        /* processors that all processes together kept busy */
    M_MESSAGE_NS, /* CAPACITY, PARTICIPANTS: time for one message */
    M_BEFORE, /* STOPPED: million messages a second that the others passed on among themselves */
    M_DURING,
    M_AFTER,
    M_KEPT,     /* during / before */
    M_HANGS,    /* 1: a member did not end */
    M_SENT,     /* BROADCAST: million messages a second that the producer sent */
    M_RECEIVED, /* … that a consumer got, on average; the least and the most */
    M_RECEIVED_LOW,
    M_RECEIVED_HIGH,
    M_MISSED, /* of what was sent, the part that a consumer missed, on average; the most */
    M_MISSED_HIGH,
    M_FIRST_P50, /* BROADCAST_LATENCY: until the first consumer had the message, ns */
    M_FIRST_P99,
    M_SEND_NS, /* BROADCAST_ASLEEP: ns of the producer for a message */
    METRICS
};

/* How a process waits. YIELD: as SPIN, but it yields the CPU after some polls. */
enum wait { SPIN, BLOCK, YIELD, WAITS };

/* How far the two processors were from each other during a round, by the probes before and after
 * it. */
enum placement { NEAR, FAR, MIXED };

struct round {
    int number;        /* from 1 */
    uint64_t messages; /* received, or round trips */
    uint64_t lost;
    double seconds;     /* THROUGHPUT and MANY */
    double probe_ns[2]; /* before and after */
    enum placement placement;
    double metric[METRICS]; /* those that do not belong to the mode are 0 */
    double share[CREW_MAX]; /* MANY: of each member, producers first; 1 is the equal share */
    double received[CONSUMERS_MAX]; /* BROADCAST: of each consumer, million messages a second */
    double missed[CONSUMERS_MAX];   /* … and the part that it missed */
    bool stuck;                     /* its processes had to be ended; then it is the last round */
};

struct cell {
    const struct transport *transport;
    enum mode mode;
    enum wait wait;
    struct crew crew; /* mode_is_many() */
    size_t messages;  /* CAPACITY: that a ring holds */
    enum harm harm;   /* STOPPED */
    double rate;      /* of the producer, messages a second; 0: as fast as it can */
    double speed;     /* BROADCAST_SLOW: of the consumer */
    size_t size;
    struct fate fate; /* the last one; a cell that is not DONE is not measured again */
    struct round *rounds;
    int n_rounds;
    struct histogram *histogram; /* of all rounds, ticks; where mode_is_latency() */
};

struct results {
    const struct options *options;
    const struct machine *machine;
    struct cell *cells;
    int n_cells;
    double near_limit_ns; /* set by results_classify() */
};

struct spread {
    double median, low, high;
};

extern const char *const mode_names[MODES];
extern const char *const placement_names[];
extern const char *const metric_names[METRICS];
extern const char *const harm_names[HARMS]; /* "producer stopped" */
extern const char *const wait_names[WAITS];
extern const char *const wait_words[WAITS]; /* "spinning" */

/* LATENCY, ONE_WAY or BROADCAST_LATENCY */
bool mode_is_latency(enum mode mode);
/* MANY, PARTICIPANTS or STOPPED */
bool mode_is_many(enum mode mode);
bool mode_has_metric(enum mode mode, enum metric metric);

/* Make the cells that the options ask for. Exits when memory is short. */
void results_plan(struct results *r, const struct options *o, const struct machine *machine);
void results_free(struct results *r);

/* Keep what the processes left in s as one more round of the cell. */
void results_add(struct cell *c, struct shared *s, int round);

/* Give every round its placement. It is near when its probes are below near_limit_ns, one and a
 * half times the lower decile of all probes of the session. If that decile is above NEAR_NS_MAX,
 * all rounds were far. */
enum { NEAR_NS_MAX = 250 };
void results_classify(struct results *r);

/* Median, lowest and highest over the rounds of a cell. */
struct spread cell_spread(const struct cell *c, enum metric metric);
struct spread cell_probe(const struct cell *c);
int cell_count(const struct cell *c, enum placement placement);
uint64_t cell_lost(const struct cell *c, double *share);

/* How many processes a cell needs. */
int cell_processes(const struct cell *c);

/* The label of a cell's row: its transport, or what differs between the rows of one transport. */
const char *cell_label(const struct cell *c, char *to, size_t room);

/* The metric a mode is judged by. */
enum metric mode_metric(enum mode mode);

/* What a cell is compared with: the cell of transport "shmring" with the same mode, size and, if
 * possible, way to wait; for MANY, one producer and one consumer of the same queue. NULL when that
 * was not measured. */
const struct cell *results_reference(const struct results *r, const struct cell *c);

/* Did any transport fail? */
bool results_failed(const struct results *r);

#endif
