/* SPDX-License-Identifier: MIT */
/*
 * The work of one process of a measurement: the loops that are timed, and the page in shared memory
 * by which the processes and their parent communicate.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <pthread.h>
#include <stdatomic.h>

#include "histogram.h"
#include "transport.h"

/*
 *  MANY          many producers and consumers on one queue
 *  ALONE         one process
 *  CAPACITY      as THROUGHPUT, with rings for a given number of messages
 *  PARTICIPANTS  as MANY, one producer and one consumer, while other participants sleep
 *  STOPPED       as MANY, and one process is stopped or killed
 *  BROADCAST     one producer, and each consumer gets every message
 *  BROADCAST_LATENCY  the same at a rate: when do the first and the last consumer have a message?
 *  BROADCAST_SLOW     the same at a rate, and the one consumer receives at most plan.speed messages
 *                     a second
 *  BROADCAST_ASLEEP   the producer alone, while subscribers are attached and receive nothing
 */
enum mode {
    THROUGHPUT,
    LATENCY,
    ONE_WAY,
    MANY,
    ALONE,
    CAPACITY,
    PARTICIPANTS,
    STOPPED,
    BROADCAST,
    BROADCAST_LATENCY,
    BROADCAST_SLOW,
    BROADCAST_ASLEEP,
    MODES
};

static inline bool mode_is_broadcast(enum mode mode)
{
    return mode >= BROADCAST;
}

/* What happens to the last producer or the last consumer. */
enum harm { PRODUCER_STOPPED, CONSUMER_STOPPED, PRODUCER_KILLED, CONSUMER_KILLED, HARMS };

static inline bool harm_is_death(enum harm harm)
{
    return harm >= PRODUCER_KILLED;
}

/* How one process ended. */
struct fate {
    enum {
        NOT_DONE,
        DONE,
        SKIPPED,
        FAILED,
        STUCK /* not done in time, which is a result */
    } state;
    char error[sizeof(((struct link *)NULL)->error)];
};

/* The count of messages, and the sum of their numbers. */
struct tally {
    uint64_t messages;
    uint64_t checksum;
};

/* MANY: the results of one process. No two processes share a line of it during the measured
 * time. */
struct member {
    _Alignas(128) uint64_t counted; /* messages in the measured time; written after it */
    uint64_t missed;                /* BROADCAST: likewise, that a consumer missed */
    struct tally tally[CREW_MAX];   /* all messages, by producer */
};

struct shared {
    pthread_barrier_t barrier; /* the processes meet, asleep */
    /* the raw probe's line (A and B write it in turn) */
    _Alignas(4096) _Atomic uint64_t line;
    /* THROUGHPUT: A tells B how many messages are sure to come, and from which one on time
     * counts */
    _Alignas(128) _Atomic uint64_t granted;
    _Atomic uint64_t counted_from;
    _Atomic uint64_t total;
    /* throughput: B tells A that it has counted for long enough. Latency: A tells B that the next
     * message is the last. One way: when message 0 was due. STOPPED: the parent tells all that it
     * is over. */
    _Alignas(128) _Atomic uint32_t stop;
    _Atomic uint64_t due;
    /* many: when all begin, and how many producers have not stopped */
    _Atomic uint64_t begin;
    _Alignas(128) _Atomic int sending;
    /* results */
    _Alignas(128) struct fate fate[CREW_MAX];
    double probe_ns[2]; /* before and after */
    uint64_t messages;
    uint64_t lost;
    double seconds;
    double run_seconds[CREW_MAX]; /* the whole run of each member, with warm-up and end */
    double cpu_seconds[CREW_MAX]; /* processor time in it */
    double pair_ns, exchange_ns;  /* ALONE: a send and a receive; a compare-exchange */
    bool hangs;                   /* STOPPED: a member did not end, and was killed */
    double others[3]; /* STOPPED: messages a second of the others, before, during and after */
    struct histogram histogram;
    struct member member[CREW_MAX];
};

struct plan {
    enum mode mode;
    double seconds;
    double rate;  /* ONE_WAY, BROADCAST_LATENCY, BROADCAST_SLOW: messages a second */
    double speed; /* BROADCAST_SLOW: messages a second that a consumer takes at most */
    bool yield;   /* MANY, BROADCAST: yield the CPU between polls while waiting */
    enum harm harm;
};

static const double WARM_UP = 0.2; /* of the time measured, before it */

/* Meet the other processes, probe, measure, probe again. Returns 0, or -1 with the reason in l. */
int measure(struct link *l, struct shared *s, const struct plan *plan);

/* The median round trip of one cache line, ns. Both sides call it at the same time; it takes some
 * milliseconds. The result is valid on side A. */
double probe(struct shared *s, enum side side);

#endif
