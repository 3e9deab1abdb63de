/* SPDX-License-Identifier: MIT */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "measure.h"

enum { PATTERNS_MAX = 32, SIZES_MAX = 32, CONFIGS_MAX = 16 };

/* The rings of --mode capacity hold 2^8 to 2^20 messages. */
enum { CAPACITY_BITS_MIN = 8, CAPACITY_BITS_MAX = 20, CAPACITY_BITS_STEP = 2 };

/* Exit codes */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1, /* a transport failed, or an output could not be written */
    EXIT_USAGE = 2
};

struct options {
    /* names of transports, NULL at the end; none: all but peers */
    const char *patterns[PATTERNS_MAX + 1];
    size_t sizes[SIZES_MAX];
    int n_sizes;
    bool throughput, latency, many, alone, by_capacity, participants, stopped, idle, mux, death;
    bool spin, block;
    struct crew configs[CONFIGS_MAX]; /* for mode MANY */
    int n_configs;
    bool broadcast[MODES - BROADCAST];
    int consumers[CONFIGS_MAX]; /* for BROADCAST and BROADCAST_LATENCY */
    int n_consumers;
    long speeds[CONFIGS_MAX]; /* for BROADCAST_SLOW: messages a second */
    int n_speeds;
    bool many_spin, many_yield;
    int rounds;
    double seconds; /* of one measurement in one round */
    double timeout; /* seconds a measurement may take longer than planned */
    double rate;    /* messages a second for one-way latency; 0: round trips */
    size_t cpus[2];
    bool pin;
    size_t capacity;
    int batch;
    const char *json, *csv, *plots; /* NULL: not wanted */
    bool quiet;
    bool list;
    char *line; /* the options as given, for the records */
};

/* Read the command line. Ends the process for --help, --version and mistakes. */
void options_parse(struct options *o, int argc, char **argv);

#endif
