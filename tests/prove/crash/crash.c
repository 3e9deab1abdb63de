/* SPDX-License-Identifier: MIT */
/*
 * crash [--all | --quick] [OPERATION [STATE]]: kill a process at each instruction of each operation
 * in each state, twice: the survivors go on first, or the successor takes over first.
 *   --all    at each instruction of long operations too
 *   --quick  only where something has just changed, and only up to the first failure
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "play.h"
#include "program.h"
#include "step.h"

enum order { SURVIVORS_FIRST, SUCCESSOR_FIRST, ORDERS };
static const char *const order_names[ORDERS] = {"survivors first", "successor first"};

/* Totals over all cases. */
static struct {
    unsigned long deaths;
    unsigned cases, failed;
    unsigned longest_call; /* of a survivor's calls, in instructions */
} totals;

static void go_on(struct crash_world *w, enum order order)
{
    const struct crash_kind *kind = w->kind;

    if (order == SURVIVORS_FIRST)
        kind->survivors_work(w);
    if (!crash_failed(w))
        kind->successor_works(w);
    if (order == SUCCESSOR_FIRST && !crash_failed(w))
        kind->survivors_work(w);
    kind->settle(w);
}

/* Run the operation in a new process up to the point, and kill it there. */
static void die_at(struct crash_world *w, const struct play_point *point)
{
    pid_t victim = play_start(w, w->operation, CRASH_VICTIM);

    if (!crash_check(w, victim != 0, "the operation is not possible this time"))
        return;
    play_advance(w, victim, CRASH_VICTIM, point);
    step_kill(victim);
    w->kind->check(w);
}

/* ---- Measuring the survivors ---------------------------------------------------------------- */

struct survivors {
    struct crash_world *world;
    enum order order;
};

static void survive(void *argument)
{
    struct survivors *s = argument;

    s->world->kind->open_survivors(s->world);
    step_stop();
    s->world->measured = true;
    go_on(s->world, s->order);
}

/* Count the instructions of the calls that the survivors announce, to the end of their process. */
static void measure_calls(struct crash_world *w, pid_t survivors)
{
    enum step step;

    while ((step = step_run(survivors)) == STEP_STOPPED) {
        unsigned instructions = 0;
        while (!w->shared->in_call && step <= STEP_STOPPED)
            step = step_one(survivors);
        while (w->shared->in_call && step <= STEP_STOPPED) {
            step = step_one(survivors);
            if (!crash_check(w, ++instructions <= w->kind->budget,
                             "a survivor's call takes more than %u instructions", w->kind->budget))
                break;
        }
        if (instructions > totals.longest_call)
            totals.longest_call = instructions;
        if (crash_failed(w))
            break;
    }
    if (step != STEP_ENDED) {
        crash_check(w, false, "a survivor crashed");
        step_kill(survivors);
    }
}

/* The same death once more, with the survivors in a process whose instructions are counted by
 * stepping. */
static void measured_death(struct crash_world *w, const struct play_point *point, enum order order)
{
    struct survivors s = {w, order};

    play_restore(w);
    pid_t survivors = step_start(survive, &s);
    die_at(w, point);
    measure_calls(w, survivors);
}

/* ---- Cases ---------------------------------------------------------------------------------- */

/* Digests of the segments that deaths in one state have left; some hundred at most. */
enum { MOST_STATES = 16 };
static struct images {
    uint64_t digest[1024];
    size_t count;
} images_of[MOST_STATES];

static bool new_image(const struct crash_world *w, uint64_t digest)
{
    struct images *images = &images_of[w->state - w->kind->states];

    for (size_t i = 0; i < images->count; i++)
        if (images->digest[i] == digest)
            return false;
    if (images->count == sizeof images->digest / sizeof images->digest[0])
        return false;
    images->digest[images->count++] = digest;
    return true;
}

static size_t image_count(void)
{
    size_t count = 0;

    for (int i = 0; i < MOST_STATES; i++)
        count += images_of[i].count;
    return count;
}

static void one_death(struct crash_world *w, const struct play_point *point, enum order order)
{
    play_restore(w);
    w->kind->open_survivors(w);
    die_at(w, point);
    bool measure = order == SURVIVORS_FIRST && new_image(w, play_digest(w));
    go_on(w, order);
    totals.deaths++;
    if (measure && !crash_failed(w)) {
        measured_death(w, point, order);
        totals.deaths++;
    }
    if (crash_failed(w))
        printf("\n%s, %s, killed %u instructions behind system call %u, %s: %s\n",
               w->operation->name, w->state->name, point->steps, point->system_calls,
               order_names[order], w->shared->failure);
}

static enum crash_care care(const struct crash_world *w)
{
    return w->kind->care ? w->kind->care(w->operation, w->state) : CRASH_USUAL;
}

/* An operation of more than long_operation points is tried at those that matter, and at some of the
 * others: a death there leaves what the death before it left. */
static bool skip(const struct crash_world *w, const struct play_points *points, size_t i)
{
    if ((options.all && care(w) == CRASH_USUAL) || points->at[i].matters)
        return false;
    return options.quick ||
           (points->count > w->kind->long_operation && i % (points->count / w->kind->others) != 0);
}

/*
 * Where something has changed since the point before, both orders are tried. Elsewhere the dead
 * process leaves the same as at the point before, and one order is enough.
 */
static void kill_everywhere(struct crash_world *w, const struct play_points *points)
{
    for (size_t i = 0; i < points->count && !crash_failed(w); i++) {
        const struct play_point *point = &points->at[i];
        if (skip(w, points, i))
            continue;
        if (point->matters || i % 2 == 0)
            one_death(w, point, SURVIVORS_FIRST);
        if (!crash_failed(w) && (point->matters || i % 2 == 1))
            one_death(w, point, SUCCESSOR_FIRST);
    }
}

/* Run the operation undisturbed, to find its points and its result. False: it makes no sense in
 * this state. */
static bool find_points(struct crash_world *w, struct play_points *points)
{
    play_restore(w);
    w->kind->open_survivors(w);
    pid_t child = play_start(w, w->operation, CRASH_VICTIM);
    if (child != 0) {
        play_find_points(w, child, CRASH_VICTIM, points);
        w->complete = w->shared->seat[CRASH_VICTIM].result;
        step_kill(child);
    }
    go_on(w, SURVIVORS_FIRST);
    return child != 0;
}

static void one_case(struct crash_world *w)
{
    struct play_points points;
    unsigned long before = totals.deaths;

    if ((care(w) == CRASH_SELDOM && !options.all && !options.state) || !find_points(w, &points)) {
        printf(" %8s", "-");
        return;
    }
    totals.cases++;
    if (crash_failed(w))
        printf("\n%s, %s: %s\n", w->operation->name, w->state->name, w->shared->failure);
    else
        kill_everywhere(w, &points);
    totals.failed += crash_failed(w);
    printf(" %8lu", totals.deaths - before);
    fflush(stdout);
    free(points.at);
}

static void every_case(void)
{
    const struct crash_kind *kind = &crash_kind;

    printf("Deaths tried in each operation (rows) and state (columns)\n%-16s", kind->name);
    for (size_t s = 0; s < kind->state_count; s++)
        if (chosen(options.state, kind->states[s].name))
            printf(" %8.8s", kind->states[s].name);
    for (size_t o = 0; o < kind->operation_count; o++) {
        if (!chosen(options.operation, kind->operations[o].name))
            continue;
        printf("\n%-16s", kind->operations[o].name);
        for (size_t s = 0; s < kind->state_count; s++) {
            struct crash_world w;
            if (options.quick && totals.failed)
                return;
            if (!chosen(options.state, kind->states[s].name))
                continue;
            play_open(&w, kind, &kind->states[s]);
            w.operation = &kind->operations[o];
            one_case(&w);
            play_close(&w);
        }
    }
    printf("\n%lu deaths, which left %zu different segments; longest call of a survivor: %u "
           "instructions (allowed: %u)\n",
           totals.deaths, image_count(), totals.longest_call, kind->budget);
}

int main(int argc, char **argv)
{
    program_begin(argc, argv, "[--all | --quick]");
    every_case();
    return program_end(totals.cases, totals.failed, 0);
}
