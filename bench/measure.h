/* SPDX-License-Identifier: MIT */
/*
 * What one process of a pair does: the loops whose time is taken, and what the two tell each other
 * meanwhile over a page that they share with their parent.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <pthread.h>
#include <stdatomic.h>

#include "histogram.h"
#include "transport.h"

enum mode { THROUGHPUT, LATENCY, ONE_WAY, MODES };

/* How one process fared. */
struct fate {
    enum { NOT_DONE, DONE, SKIPPED, FAILED } state;
    char error[sizeof(((struct link *)NULL)->error)];
};

struct shared {
    pthread_barrier_t barrier; /* the two processes meet, asleep */
    /* the raw probe's line (A and B write it in turn) */
    _Alignas(4096) _Atomic uint64_t line;
    /* throughput: A tells B how many messages are sure to come, and from which on time counts */
    _Alignas(128) _Atomic uint64_t granted;
    _Atomic uint64_t counted_from;
    _Atomic uint64_t total;
    /* latency: A tells B that the next message is the last. One way: when message 0 was due. */
    _Alignas(128) _Atomic uint32_t stop;
    _Atomic uint64_t due;
    /* results */
    _Alignas(128) struct fate fate[2];
    double probe_ns[2]; /* before and after */
    uint64_t messages;
    uint64_t lost;
    double seconds;
    struct histogram histogram;
};

struct plan {
    enum mode mode;
    double seconds;
    double rate; /* ONE_WAY: messages a second */
};

/* Meet the other process, probe, measure, probe again. Returns 0, or -1 with the reason in l. */
int measure(struct link *l, struct shared *s, const struct plan *plan);

/* The median round trip of one cache line, ns, taken for some milliseconds by both sides at once.
 * Valid on side A. */
double probe(struct shared *s, enum side side);

#endif
