/* SPDX-License-Identifier: MIT */
/*
 * The producer of a broadcast queue has filled it, and the only consumer is reliable and receives
 * nothing. Either a third process kills the consumer while the producer waits. Or the consumer is
 * stopped before the queue is full, and the producer waits until its patience_ms are over. Each
 * time the queue and the processes are new.
 */
#include <config.h>

#include "death.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "clock.h"
#include "histogram.h"
#include "kind.h"
#include "measure.h"
#include "process.h"
#include "ticks.h"

enum {
    KILLS = 20, /* a round, in each case */
    STOPS = 2,
    LIMIT_NS = 100000000, /* the goal after a death */
    TICK_NS = 10000000,   /* the longest tick of a kernel, to which the library may read the time */
    LOOK_NS = 100000
};

/* What happens to the consumer, and how the producer waits. */
static const struct victim {
    const char *harm;
    uint32_t patience_ms; /* 0: endless */
    bool polls;
} cases[] = {
    {"killed", 0, false},    {"killed", 0, true},     {"stopped", 20, false},
    {"stopped", 20, true},   {"stopped", 100, false}, {"stopped", 100, true},
    {"stopped", 500, false}, {"stopped", 500, true},
};
enum { CASES = sizeof cases / sizeof *cases };

static bool is_killed(const struct victim *v)
{
    return v->patience_ms == 0;
}

/* What the processes share. */
struct board {
    _Atomic bool attached;  /* the consumer */
    _Atomic int64_t full;   /* when the producer was refused, or 0 */
    _Atomic int64_t killed; /* just before the consumer was killed, or 0 */
    struct shared line;     /* for the probe */
};

struct figures {
    struct histogram held[CASES]; /* ns; of one round, or of all */
    uint64_t in_time[CASES];      /* of these, not over LIMIT_NS */
    double probe_ns[2];
};

struct bench {
    const struct options *o;
    struct board *board;
    int deaths;
};

/* ---- Processes ------------------------------------------------------------------------------- */

static pid_t start(const struct options *o)
{
    const pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    pin(o, 1);
    return 0;
}

static void __attribute__((noreturn)) be_consumer(struct board *board, const shmring_t *queue)
{
    shmring_t *q;

    if (shmring_dup(&q, queue, SHMRING_CONSUMER | SHMRING_RELIABLE) != 0)
        _exit(1);
    atomic_store(&board->attached, true);
    for (;;)
        pause();
}

/* Kill the consumer while the producer waits: after 10 to 110 ms, the next time in another phase of
 * the producer's lock tests. */
static void __attribute__((noreturn)) be_killer(const struct bench *b, pid_t consumer)
{
    while (atomic_load(&b->board->full) == 0)
        pause_for(LOOK_NS);
    pause_for(10000000 + b->deaths % 100 * 61803399L % 100000000);
    atomic_store(&b->board->killed, clock_ns(CLOCK_MONOTONIC));
    _exit(kill(consumer, SIGKILL) == 0 ? 0 : 1);
}

static void end(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

/* ---- One time -------------------------------------------------------------------------------- */

/* Start the consumer, and wait until it is attached, or stopped. Returns its process id, or -1. */
static pid_t start_consumer(const struct bench *b, const struct victim *v, const shmring_t *q)
{
    siginfo_t ended = {0};
    const pid_t pid = start(b->o);

    if (pid == 0)
        be_consumer(b->board, q);
    if (pid < 0)
        return complain("fork", errno);
    while (!atomic_load(&b->board->attached)) {
        if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid) {
            end(pid);
            return complain("the consumer", ECHILD);
        }
        pause_for(LOOK_NS);
    }
    if (!is_killed(v)) {
        kill(pid, SIGSTOP);
        waitid(P_PID, (id_t)pid, &ended, WSTOPPED | WNOWAIT);
    }
    return pid;
}

/* Send until the consumer holds this up, and then once more. Returns 0 and when that was over. */
static int send_until_held_up(const struct bench *b, const struct victim *v, shmring_t *q,
                              int64_t *over)
{
    const struct timespec limit = {.tv_sec = (time_t)b->o->timeout + 1};
    const uint64_t message = 0;
    int64_t from;
    int r;

    do {
        from = clock_ns(CLOCK_MONOTONIC);
        r = shmring_send(q, &message, sizeof message);
    } while (r == 0);
    atomic_store(&b->board->full, from);
    if (r == -EAGAIN && !v->polls)
        r = shmring_send_wait(q, &message, sizeof message, &limit);
    while (r == -EAGAIN && clock_ns(CLOCK_MONOTONIC) - from < limit.tv_sec * 1000000000)
        r = shmring_send(q, &message, sizeof message);
    *over = clock_ns(CLOCK_MONOTONIC);
    return r == 0 ? 0 : complain(v->polls ? "shmring_send" : "shmring_send_wait", -r);
}

/* How long the consumer held the producer up; -1: no such time, as it did not do what it must. */
static int64_t held_ns(const struct bench *b, const struct victim *v, int64_t over)
{
    const int64_t full = atomic_load(&b->board->full), killed = atomic_load(&b->board->killed);

    if (is_killed(v) ? killed == 0 || killed > over
                     : over - full + TICK_NS < v->patience_ms * INT64_C(1000000)) {
        fprintf(stderr, "shmring-bench: the producer did not wait for its consumer\n");
        return -1;
    }
    return over - (is_killed(v) ? killed : full);
}

static int once(struct bench *b, const struct victim *v, struct histogram *held, uint64_t *in_time)
{
    struct shmring_config config = kind_broadcast.configure(sizeof(uint64_t), 0, 0);
    const struct shmring_waiting waiting = {
        .spin_ns = 50000, .recheck_ms = 50, .patience_ms = v->patience_ms};
    pid_t consumer = -1, killer = -1;
    int64_t over = 0, ns = -1;
    shmring_t *q = NULL;

    atomic_store(&b->board->attached, false);
    atomic_store(&b->board->full, 0);
    atomic_store(&b->board->killed, 0);
    config.flags = SHMRING_PRODUCER;
    int r = shmring_create(&q, "memfd:death", &config);
    if (r == 0)
        r = shmring_set_waiting(q, &waiting);
    if (r < 0)
        complain("making the queue", -r);
    else
        consumer = start_consumer(b, v, q);
    if (consumer > 0 && is_killed(v)) {
        b->deaths++;
        killer = start(b->o);
        if (killer == 0)
            be_killer(b, consumer);
    }
    if (consumer > 0 && send_until_held_up(b, v, q, &over) == 0)
        ns = held_ns(b, v, over);
    end(killer);
    end(consumer);
    shmring_close(&q);
    if (ns < 0)
        return -1;
    histogram_record(held, (uint64_t)ns);
    *in_time += ns <= LIMIT_NS;
    return 0;
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

static int probe_once(const struct bench *b, double *ns)
{
    struct shared *line = &b->board->line;

    atomic_store(&line->line, 0);
    const pid_t pid = start(b->o);
    if (pid == 0) {
        probe(line, SIDE_B);
        _exit(0);
    }
    if (pid < 0)
        return complain("fork", errno);
    *ns = probe(line, SIDE_A);
    waitpid(pid, NULL, 0);
    return 0;
}

static int run_round(struct bench *b, struct figures *figures)
{
    int r = probe_once(b, &figures->probe_ns[0]);

    for (int i = 0; i < CASES; i++) {
        histogram_reset(&figures->held[i]);
        for (int n = is_killed(&cases[i]) ? KILLS : STOPS; n > 0 && r == 0; n--)
            r = once(b, &cases[i], &figures->held[i], &figures->in_time[i]);
    }
    return r == 0 ? probe_once(b, &figures->probe_ns[1]) : r;
}

/* ---- Reports --------------------------------------------------------------------------------- */

static void print_table(const struct figures *figures, int rounds)
{
    static struct histogram sum; /* too large for a stack */

    printf("%-8s %-8s %12s %6s %9s %9s %9s\n", "consumer", "producer", "patience, ms", "times",
           "p50, ms", "p99, ms", "max, ms");
    for (int i = 0; i < CASES; i++) {
        char patience[16] = "endless";
        histogram_reset(&sum);
        for (int round = 0; round < rounds; round++)
            histogram_add(&sum, &figures[round].held[i]);
        if (!is_killed(&cases[i]))
            snprintf(patience, sizeof patience, "%u", cases[i].patience_ms);
        printf("%-8s %-8s %12s %6llu %9.2f %9.2f %9.2f\n", cases[i].harm,
               cases[i].polls ? "polls" : "waits", patience, (unsigned long long)sum.samples,
               (double)histogram_quantile(&sum, 0.5) / 1e6,
               (double)histogram_quantile(&sum, 0.99) / 1e6, (double)sum.max / 1e6);
    }
}

/* What all rounds found. */
struct all {
    const struct figures *figures;
    int rounds;
};

static void write_rounds(FILE *f, const void *found)
{
    const struct all *all = found;

    for (int i = 0; i < all->rounds * CASES; i++) {
        const struct figures *figures = &all->figures[i / CASES];
        const struct victim *v = &cases[i % CASES];
        const struct histogram *held = &figures->held[i % CASES];
        fprintf(f,
                "%s\n    {\"transport\": \"shmring-reliable\", \"group\": \"broadcast\", "
                "\"mode\": \"broadcast-death\", \"wait\": \"%s\", \"size\": 8, \"harm\": \"%s\", "
                "\"patience_ms\": %u, \"round\": %d, \"times\": %llu, \"p50_ns\": %llu, "
                "\"p99_ns\": %llu, \"max_ns\": %llu, \"in_100_ms\": %.6g, "
                "\"probe_ns\": [%.1f, %.1f]}",
                i > 0 ? "," : "", v->polls ? "spin" : "block", v->harm, v->patience_ms,
                i / CASES + 1, (unsigned long long)held->samples,
                (unsigned long long)histogram_quantile(held, 0.5),
                (unsigned long long)histogram_quantile(held, 0.99), (unsigned long long)held->max,
                (double)figures->in_time[i % CASES] / (double)held->samples, figures->probe_ns[0],
                figures->probe_ns[1]);
    }
}

int death_run(const struct options *o)
{
    struct figures *figures = calloc((size_t)o->rounds, sizeof *figures);
    struct bench b = {.o = o};
    int r = 0;

    ticks_init();
    b.board =
        mmap(NULL, sizeof *b.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!figures || b.board == MAP_FAILED)
        r = complain("memory", ENOMEM);
    pin(o, 0);
    for (int i = 0; i < o->rounds && r == 0; i++)
        r = run_round(&b, &figures[i]);
    if (r == 0)
        print_table(figures, o->rounds);
    if (r == 0 && o->json)
        r = write_json(o, write_rounds, &(struct all){figures, o->rounds});
    if (b.board != MAP_FAILED)
        munmap(b.board, sizeof *b.board);
    free(figures);
    return r == 0 && fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
