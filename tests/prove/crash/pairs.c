/* SPDX-License-Identifier: MIT */
/*
 * Two at a time, in all states:
 *   - a process is stopped at one instruction of its operation while another is killed at one of
 *     its own; a successor takes over and works beside the stopped process, which then goes on
 *     and must find all in order;
 *   - a process is killed, and then its successor while it takes over.
 * Points at which something has just changed come first; others, evenly spread, complete the
 * number.
 *
 * pairs [--quick] [OPERATION [STATE]]
 *   --quick    fewer points, and only up to the first failure
 *   OPERATION  of the process that is stopped, or of the successor: all points where something has
 *              just changed
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "play.h"
#include "program.h"
#include "step.h"

enum { MOST_POINTS = 64, QUICK_POINTS = 4 };

enum { MOST_WORKERS = 64, MOST_OPERATIONS = 32 };

static struct totals {
    unsigned long pairs, double_deaths;
    unsigned cases, failed;
} * totals; /* shared memory, one for each worker */

/* The points of an operation that are tried in one state; none if it makes no sense in that
 * state. */
struct selection {
    struct play_point at[MOST_POINTS];
    size_t count;
    long result; /* of the operation when nothing comes between */
};

static void pick(struct selection *to, const struct play_points *from, bool matters, size_t most)
{
    size_t candidates = 0, seen = 0, picked = 0;

    for (size_t i = 0; i < from->count; i++)
        candidates += from->at[i].matters == matters;
    if (most > candidates)
        most = candidates;
    for (size_t i = 0; i < from->count && picked < most; i++)
        if (from->at[i].matters == matters && seen++ >= picked * candidates / most) {
            to->at[to->count++] = from->at[i];
            picked++;
        }
}

static void select_points(struct crash_world *w, const struct crash_operation *operation,
                          struct selection *selection, struct totals *sum)
{
    const size_t most = options.operation ? MOST_POINTS
                        : options.quick   ? QUICK_POINTS
                                          : w->kind->pair_points;
    struct play_points points;

    selection->count = 0;
    w->operation = operation;
    w->paused = NULL;
    play_restore(w);
    w->kind->open_survivors(w);
    pid_t child = play_start(w, operation, CRASH_VICTIM);
    if (child != 0) {
        play_find_points(w, child, CRASH_VICTIM, &points);
        selection->result = w->shared->seat[CRASH_VICTIM].result;
        step_kill(child);
        pick(selection, &points, true, most);
        if (!options.operation)
            pick(selection, &points, false, most - selection->count);
        free(points.at);
    }
    w->kind->survivors_work(w);
    w->kind->successor_works(w);
    w->kind->settle(w);
    if (!crash_failed(w))
        return;
    printf("%s, %s, undisturbed: %s\n", w->state->name, operation->name, w->shared->failure);
    selection->count = 0;
    sum->failed++;
}

static void report(const struct crash_world *w, const char *what,
                   const struct crash_operation *other, const struct play_point *first,
                   const struct play_point *second)
{
    printf("%s, %s: killed %u instructions behind system call %u; %s %s, %u behind %u: %s\n",
           w->state->name, w->operation->name, first->steps, first->system_calls, other->name, what,
           second->steps, second->system_calls, w->shared->failure);
}

/* The victim is killed at one point while the other process is stopped at another. */
static void one_pair(struct crash_world *w, const struct play_point *killed,
                     const struct play_point *stopped)
{
    enum step step;

    play_restore(w);
    pid_t standing = play_start(w, w->paused, CRASH_PAUSED);
    if (standing == 0)
        return;
    pid_t victim = play_start(w, w->operation, CRASH_VICTIM);
    if (victim == 0) {
        step_kill(standing);
        return;
    }
    play_advance(w, standing, CRASH_PAUSED, stopped);
    play_advance(w, victim, CRASH_VICTIM, killed);
    step_kill(victim);
    w->kind->check(w);
    if (!crash_failed(w))
        w->kind->successor_works(w);
    while ((step = step_run(standing)) == STEP_STOPPED)
        ;
    crash_check(w, step == STEP_ENDED, "the process that had been stopped crashed");
    if (step != STEP_ENDED)
        step_kill(standing);
    w->kind->settle(w);
}

static void every_pair(struct crash_world *w, const struct selection *killed,
                       const struct selection *stopped, struct totals *sum)
{
    for (size_t i = 0; i < killed->count && !crash_failed(w); i++)
        for (size_t j = 0; j < stopped->count && !crash_failed(w); j++) {
            one_pair(w, &killed->at[i], &stopped->at[j]);
            sum->pairs++;
            if (crash_failed(w))
                report(w, "stopped", w->paused, &killed->at[i], &stopped->at[j]);
        }
}

static void one_double_death(struct crash_world *w, const struct crash_operation *successor,
                             const struct play_point *first, const struct play_point *second)
{
    play_restore(w);
    w->kind->open_survivors(w);
    /* A successor that attached before its operation would recover the victim then. */
    pid_t next = successor->attaches ? 0 : play_start(w, successor, CRASH_PAUSED);
    pid_t victim = play_start(w, w->operation, CRASH_VICTIM);
    play_advance(w, victim, CRASH_VICTIM, first);
    step_kill(victim);
    if (successor->attaches)
        next = play_start(w, successor, CRASH_PAUSED);
    play_advance(w, next, CRASH_PAUSED, second);
    step_kill(next);
    w->kind->check(w);
    w->kind->survivors_work(w);
    if (!crash_failed(w))
        w->kind->successor_works(w);
    w->kind->settle(w);
}

static void every_double_death(struct crash_world *w, const struct crash_operation *successor,
                               const struct selection *first, const struct selection *second,
                               struct totals *sum)
{
    for (size_t i = 0; i < first->count && !crash_failed(w); i++)
        for (size_t j = 0; j < second->count && !crash_failed(w); j++) {
            one_double_death(w, successor, &first->at[i], &second->at[j]);
            sum->double_deaths++;
            if (crash_failed(w))
                report(w, "killed", successor, &first->at[i], &second->at[j]);
        }
}

/* Try all operations of the second process, while or after the first is killed. */
static void one_case(struct crash_world *w, const struct selection *selections, size_t dying,
                     size_t other, struct totals *sum)
{
    const struct crash_kind *kind = w->kind;
    const struct selection *first = &selections[dying], *second = &selections[other];
    const bool pair = kind->may_pair(&kind->operations[dying], &kind->operations[other]);
    const bool successor = kind->may_succeed(&kind->operations[dying], &kind->operations[other]);

    if ((!pair && !successor) || first->count == 0 || second->count == 0)
        return;
    w->operation = &kind->operations[dying];
    w->complete = first->result;
    memset(w->shared, 0, sizeof *w->shared); /* from the case before */
    if (pair) {
        w->paused = &kind->operations[other];
        every_pair(w, first, second, sum);
    }
    w->paused = NULL;
    if (successor)
        every_double_death(w, &kind->operations[other], first, second, sum);
    sum->cases++;
    sum->failed += crash_failed(w);
    fflush(stdout);
}

/* Each worker takes every workers-th case. */
static void work(unsigned worker, unsigned workers)
{
    static struct selection selections[MOST_OPERATIONS];
    const struct crash_kind *kind = &crash_kind;
    unsigned turn = 0;

    for (size_t s = 0; s < kind->state_count; s++) {
        struct crash_world w;
        if (!chosen(options.state, kind->states[s].name))
            continue;
        play_open(&w, kind, &kind->states[s]);
        for (size_t o = 0; o < kind->operation_count; o++)
            select_points(&w, &kind->operations[o], &selections[o], &totals[worker]);
        for (size_t o = 0; o < kind->operation_count; o++)
            for (size_t p = 0; p < kind->operation_count; p++)
                if (chosen(options.operation, kind->operations[p].name) &&
                    turn++ % workers == worker && !(options.quick && totals[worker].failed))
                    one_case(&w, selections, o, p, &totals[worker]);
        play_close(&w);
    }
}

int main(int argc, char **argv)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned workers = processors < 1              ? 1
                       : processors > MOST_WORKERS ? MOST_WORKERS
                                                   : (unsigned)processors;
    struct totals sum = {0};
    bool crashed = false;
    int status;

    program_begin(argc, argv, "[--quick]");
    totals = mmap(NULL, MOST_WORKERS * sizeof *totals, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (totals == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (unsigned i = 0; i < workers; i++)
        if (fork() == 0) {
            work(i, workers);
            exit(0);
        }
    while (wait(&status) > 0)
        crashed |= status != 0;
    for (unsigned i = 0; i < workers; i++) {
        sum.pairs += totals[i].pairs;
        sum.double_deaths += totals[i].double_deaths;
        sum.cases += totals[i].cases;
        sum.failed += totals[i].failed;
    }
    printf(
        "%s: %lu pairs of one killed and one stopped, %lu of one killed and its successor killed\n",
        crash_kind.name, sum.pairs, sum.double_deaths);
    return program_end(sum.cases, sum.failed, crashed);
}
