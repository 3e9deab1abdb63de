/* SPDX-License-Identifier: MIT */
/*
 * A process waits for many queues with shmring_mux_wait(), and another one sends into the first of
 * them: as fast as it can, with pauses, or not at all. For each event the waiting process receives
 * once.
 */
#include <config.h>

#include "mux.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmring/mux.h>

#include "clock.h"
#include "histogram.h"
#include "kind.h"
#include "measure.h"
#include "process.h"
#include "ticks.h"

enum { EVENTS = 16, GAP_NS = 500000, SETTLE_NS = 100000000 };
enum phase { NOW_AND_THEN, BUSY, IDLE, PHASES, OVER }; /* all queues have slept before BUSY */

static int counts[] = {1, 10, 100, 1000, 10000}; /* the last: fewer if RLIMIT_NOFILE is less */
enum { COUNTS = sizeof counts / sizeof *counts };

/* What the two processes share. */
struct board {
    _Atomic int phase;
    struct shared line; /* for the probe */
};

/* One measurement: ns a message, ns from sending to receiving, processors that idling kept busy;
 * the probe before and after. */
struct figures {
    double of[PHASES];
    double probe_ns[2];
};

struct bench {
    const struct options *o;
    shmring_t **queues;
    shmring_mux_t *mux;
    struct board *board;
    uint64_t received;
};

/* Send messages that hold their number and the time. Returns the exit status. */
static int produce(const struct bench *b, pid_t parent)
{
    int64_t message[2] = {0};
    shmring_t *q;
    int phase;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 1;
    pin(b->o, 1);
    probe(&b->board->line, SIDE_B);
    if (shmring_dup(&q, b->queues[0], SHMRING_PRODUCER | SHMRING_ASYMMETRIC_FENCE) != 0)
        return 1;
    while ((phase = atomic_load(&b->board->phase)) != OVER) {
        if (phase != BUSY)
            pause_for(GAP_NS);
        if (phase == IDLE)
            continue;
        if (phase == NOW_AND_THEN)
            message[1] = clock_ns(CLOCK_MONOTONIC);
        message[0] += shmring_send(q, message, sizeof message) == 0;
    }
    shmring_close(&q);
    probe(&b->board->line, SIDE_B);
    return 0;
}

/* Wait once, and receive from the ready queues. Returns the number of messages, or -1. */
static int wait_once(struct bench *b, struct histogram *delays)
{
    const struct timespec limit = {.tv_nsec = 10000000};
    struct shmring_mux_event events[EVENTS];
    int64_t message[2];
    int n = shmring_mux_wait(b->mux, events, EVENTS, &limit);

    if (n < 0)
        return n == -ETIMEDOUT ? 0 : complain("shmring_mux_wait", -n);
    for (int i = 0; i < n; i++) {
        ssize_t got = shmring_recv(events[i].q, message, sizeof message);
        if (got != sizeof message || message[0] != (int64_t)b->received++)
            return complain("shmring_recv", got < 0 ? (int)-got : EPROTO);
        if (delays)
            histogram_record(delays, (uint64_t)(clock_ns(CLOCK_MONOTONIC) - message[1]));
    }
    return n;
}

/* Measure one phase, after a pause in which it begins. */
static int measure_phase(struct bench *b, enum phase phase, double *figure)
{
    static struct histogram delays; /* too large for a stack */
    int64_t from, now, end, worked;
    uint64_t before;
    int r;

    atomic_store(&b->board->phase, phase);
    end = clock_ns(CLOCK_MONOTONIC) + SETTLE_NS;
    while (clock_ns(CLOCK_MONOTONIC) < end)
        if (wait_once(b, NULL) < 0)
            return -1;
    histogram_reset(&delays);
    before = b->received;
    worked = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    from = now = clock_ns(CLOCK_MONOTONIC);
    end = from + (int64_t)(b->o->seconds * 1e9);
    do {
        for (int i = 0; i < (phase == BUSY ? 1000 : 1); i++)
            if ((r = wait_once(b, phase == NOW_AND_THEN ? &delays : NULL)) < 0)
                return -1;
        now = clock_ns(CLOCK_MONOTONIC);
    } while (now < end || (phase != IDLE && b->received == before));
    if (phase == BUSY)
        *figure = (double)(now - from) / (double)(b->received - before);
    else if (phase == NOW_AND_THEN)
        *figure = (double)histogram_quantile(&delays, 0.5);
    else
        *figure = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - worked) / (double)(now - from);
    return 0;
}

static int make_queues(struct bench *b, int count)
{
    const struct shmring_config config = kind_pair(4096, SHMRING_CONSUMER);
    int r = shmring_mux_create(&b->mux, NULL);

    for (int i = 0; r == 0 && i < count; i++) {
        r = shmring_create(&b->queues[i], "memfd:mux", &config);
        if (r == 0)
            r = shmring_mux_add(b->mux, b->queues[i], SHMRING_READABLE, NULL);
    }
    return r == 0 ? 0 : complain("making the queues", -r);
}

/* Create `count` queues, measure all phases, and close the queues. */
static int run_count(struct bench *b, int count, struct figures *figures)
{
    const pid_t parent = getpid();
    cpu_set_t before;
    pid_t pid = -1;
    int r = make_queues(b, count), status = 1;

    b->received = 0;
    atomic_store(&b->board->phase, NOW_AND_THEN);
    atomic_store(&b->board->line.line, 0);
    sched_getaffinity(0, sizeof before, &before);
    if (r == 0 && (pid = fork()) == 0)
        _exit(produce(b, parent));
    if (r == 0 && pid < 0)
        r = complain("fork", errno);
    pin(b->o, 0);
    if (pid > 0)
        figures->probe_ns[0] = probe(&b->board->line, SIDE_A);
    for (int phase = 0; phase < PHASES && r == 0; phase++)
        r = measure_phase(b, (enum phase)phase, &figures->of[phase]);
    atomic_store(&b->board->line.line, 0);
    atomic_store(&b->board->phase, OVER);
    if (pid > 0 && r == 0)
        figures->probe_ns[1] = probe(&b->board->line, SIDE_A);
    else if (pid > 0)
        kill(pid, SIGKILL);
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status != 0)
        r = complain("the sender", EPROTO);
    sched_setaffinity(0, sizeof before, &before); /* helpers of the next mux inherit it */
    shmring_mux_destroy(&b->mux);
    for (int i = 0; i < count; i++)
        shmring_close(&b->queues[i]);
    return r;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_of(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return values[n / 2];
}

static double median(const struct figures *rounds, int n, enum phase phase)
{
    double values[n];

    for (int i = 0; i < n; i++)
        values[i] = rounds[i * COUNTS].of[phase];
    return median_of(values, n);
}

static double median_probe(const struct figures *rounds, int n)
{
    double values[2 * n];

    for (int i = 0; i < 2 * n; i++)
        values[i] = rounds[i / 2 * COUNTS].probe_ns[i % 2];
    return median_of(values, 2 * n);
}

static void print_table(const struct figures *figures, int rounds)
{
    const double one = median(figures, rounds, BUSY);

    printf("%8s %14s %10s %18s %18s %9s\n", "queues", "ns a message", "to one", "wake-up, us",
           "idle, % of a CPU", "probe, ns");
    for (int i = 0; i < COUNTS; i++)
        printf("%8d %14.1f %10.2f %18.1f %18.2f %9.0f\n", counts[i],
               median(figures + i, rounds, BUSY), median(figures + i, rounds, BUSY) / one,
               median(figures + i, rounds, NOW_AND_THEN) / 1e3,
               100 * median(figures + i, rounds, IDLE), median_probe(figures + i, rounds));
}

/* What all rounds found. */
struct all {
    const struct figures *figures;
    int rounds;
};

static void write_rounds(FILE *f, const void *found)
{
    const struct all *all = found;
    const struct figures *figures = all->figures;

    for (int i = 0; i < all->rounds * COUNTS; i++)
        fprintf(f,
                "%s\n    {\"transport\": \"shmring-mux\", \"group\": \"rings\", \"mode\": \"mux\", "
                "\"wait\": \"block\", \"size\": 16, \"queues\": %d, \"round\": %d, "
                "\"message_ns\": %.6g, \"wakeup_ns\": %.6g, \"idle_cpus\": %.6g, "
                "\"probe_ns\": [%.1f, %.1f]}",
                i > 0 ? "," : "", counts[i % COUNTS], i / COUNTS + 1, figures[i].of[BUSY],
                figures[i].of[NOW_AND_THEN], figures[i].of[IDLE], figures[i].probe_ns[0],
                figures[i].probe_ns[1]);
}

/* Each handle has two descriptors: see lib/core/segment.h. */
static int raise_limit(void)
{
    struct rlimit files;
    const rlim_t needed = 2 * (rlim_t)counts[COUNTS - 1] + 100;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return -1;
    if (files.rlim_cur >= needed)
        return 0;
    const rlim_t most = files.rlim_max;
    files.rlim_cur = needed;
    if (files.rlim_max < needed)
        files.rlim_max = needed;
    if (setrlimit(RLIMIT_NOFILE, &files) == 0)
        return 0;
    files.rlim_cur = files.rlim_max = most;
    if (most < 2 * (rlim_t)counts[COUNTS - 2] + 100 || setrlimit(RLIMIT_NOFILE, &files) < 0)
        return -1;
    counts[COUNTS - 1] = (int)(most - 100) / 2;
    fprintf(stderr,
            "shmring-bench: %d queues at most: RLIMIT_NOFILE is %llu, and root may raise it\n",
            counts[COUNTS - 1], (unsigned long long)most);
    return 0;
}

int mux_run(const struct options *o)
{
    struct figures *figures = calloc((size_t)o->rounds * COUNTS, sizeof *figures);
    struct bench b = {.o = o, .queues = calloc((size_t)counts[COUNTS - 1], sizeof(shmring_t *))};
    int r = 0;

    ticks_init();
    b.board =
        mmap(NULL, sizeof *b.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!figures || !b.queues || b.board == MAP_FAILED)
        r = complain("memory", ENOMEM);
    else if (raise_limit() < 0)
        r = complain("RLIMIT_NOFILE", errno);
    for (int i = 0; i < o->rounds * COUNTS && r == 0; i++) /* interleaved */
        r = run_count(&b, counts[i % COUNTS], &figures[i]);
    if (r == 0)
        print_table(figures, o->rounds);
    if (r == 0 && o->json)
        r = write_json(o, write_rounds, &(struct all){figures, o->rounds});
    if (b.board != MAP_FAILED)
        munmap(b.board, sizeof *b.board);
    free(b.queues);
    free(figures);
    return r == 0 && fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
