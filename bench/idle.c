/* SPDX-License-Identifier: MIT */
/*
 * A hundred processes wait in shmring_recv_wait(), each at a queue of its own, and another one
 * receives what this process sends meanwhile. Their processor time is read before and after.
 */
#include <config.h>

#include "idle.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "clock.h"
#include "kind.h"
#include "process.h"

enum { IDLE = 100, BUSY = IDLE, ALL, SETTLE_NS = 500000000, GAP_NS = 100000 };

static const uint64_t end_mark = UINT64_MAX;

struct idle {
    pid_t pid[ALL];
    shmring_t *queue[ALL]; /* without names: nothing to clean up */
    uint32_t recheck_ms;
    double seconds;
    uint64_t messages; /* sent into the busy queue */
    double busy_cpus;  /* processors that the waiting processes kept busy */
};

/* What a consumer does: count up with the messages until the end mark. Returns its exit status. */
static int consume(const shmring_t *queue, pid_t parent, uint32_t recheck_ms)
{
    const struct shmring_waiting waiting = {.spin_ns = 50000, .recheck_ms = recheck_ms};
    uint64_t expected = 0, got = 0;
    shmring_t *q;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 1;
    if (shmring_dup(&q, queue, SHMRING_CONSUMER) != 0 || shmring_set_waiting(q, &waiting) != 0)
        return 1;
    while (shmring_recv_wait(q, &got, sizeof got, NULL) == sizeof got && got == expected)
        expected++;
    shmring_close(&q);
    return got == end_mark ? 0 : 1;
}

static int start(struct idle *run)
{
    const struct shmring_config config = kind_pair(4096, SHMRING_PRODUCER);
    const pid_t parent = getpid();

    for (int i = 0; i < ALL; i++) {
        int r = shmring_create(&run->queue[i], "memfd:idle", &config);
        if (r < 0)
            return complain("shmring_create", -r);
        run->pid[i] = fork();
        if (run->pid[i] == 0)
            _exit(consume(run->queue[i], parent, run->recheck_ms));
        if (run->pid[i] < 0)
            return complain("fork", errno);
    }
    return 0;
}

/* Processor time of the waiting processes so far, seconds; negative: one of them has ended. */
static double processor_time(const struct idle *run)
{
    double sum = 0;

    for (int i = 0; i < IDLE; i++) {
        clockid_t clock;
        struct timespec used;
        if (clock_getcpuclockid(run->pid[i], &clock) != 0 || clock_gettime(clock, &used) != 0)
            return -1;
        sum += (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
    }
    return sum;
}

/* Send into the busy queue for the time of one measurement. */
static int be_busy(struct idle *run)
{
    int r = 0;

    for (double end = clock_seconds(CLOCK_MONOTONIC) + run->seconds;
         r == 0 && clock_seconds(CLOCK_MONOTONIC) < end; pause_for(GAP_NS)) {
        r = shmring_send_wait(run->queue[BUSY], &run->messages, sizeof run->messages, NULL);
        run->messages += r == 0;
    }
    return r == 0 ? 0 : complain("shmring_send_wait", -r);
}

/* End all consumers. Returns 0 when each has received all its messages. */
static int finish(struct idle *run)
{
    int good = 0;

    for (int i = 0; i < ALL && run->pid[i] > 0; i++) {
        int status = 1;
        if (shmring_send_wait(run->queue[i], &end_mark, sizeof end_mark, NULL) != 0)
            kill(run->pid[i], SIGKILL);
        waitpid(run->pid[i], &status, 0);
        good += status == 0;
    }
    for (int i = 0; i < ALL; i++)
        shmring_close(&run->queue[i]);
    if (good == ALL)
        return 0;
    fprintf(stderr, "shmring-bench: %d of %d consumers did not get what was sent\n", ALL - good,
            ALL);
    return -1;
}

static int measure_idle(struct idle *run)
{
    double before, from;
    int r = start(run);

    if (r == 0) {
        pause_for(SETTLE_NS); /* until all sleep */
        before = processor_time(run);
        from = clock_seconds(CLOCK_MONOTONIC);
        r = be_busy(run);
        run->busy_cpus = (processor_time(run) - before) / (clock_seconds(CLOCK_MONOTONIC) - from);
    }
    return finish(run) < 0 ? -1 : r;
}

int idle_run(const struct options *o)
{
    static const uint32_t rechecks[] = {50, 10000};
    int status = EXIT_OK;

    printf("%d idle consumers, and one that is sent messages; %g s each\n", IDLE, o->seconds);
    printf("%-12s %22s %18s\n", "recheck", "idle, % of one CPU", "messages, none lost");
    for (size_t i = 0; i < sizeof rechecks / sizeof *rechecks; i++) {
        struct idle run = {.recheck_ms = rechecks[i], .seconds = o->seconds};
        if (measure_idle(&run) < 0)
            status = EXIT_FAILED;
        else
            printf("%9.3g s %22.3f %19llu\n", rechecks[i] / 1e3, 100 * run.busy_cpus,
                   (unsigned long long)run.messages);
    }
    return fflush(stdout) == 0 ? status : EXIT_FAILED;
}
