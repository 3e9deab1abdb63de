/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "play.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/handle.h"
#include "step.h"

struct play_segment {
    uint8_t *now;      /* mapped, read-only */
    uint8_t *prepared; /* as the state was prepared */
    uint8_t *copy;     /* for comparisons */
    size_t size;
    struct shmr_geometry geometry;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- Checks --------------------------------------------------------------------------------- */

bool crash_failed(const struct crash_world *w)
{
    return w->shared->failure[0] != 0;
}

bool crash_check(struct crash_world *w, bool ok, const char *format, ...)
{
    va_list arguments;

    if (ok || crash_failed(w))
        return ok;
    va_start(arguments, format);
    vsnprintf(w->shared->failure, sizeof w->shared->failure, format, arguments);
    va_end(arguments);
    return false;
}

void crash_call(struct crash_world *w)
{
    if (!w->measured || w->shared->calls == w->kind->measured_calls)
        return;
    w->shared->calls++;
    step_stop();
    w->shared->in_call = 1;
}

void crash_called(struct crash_world *w)
{
    w->shared->in_call = 0;
}

/* ---- The world ------------------------------------------------------------------------------ */

static void *map(size_t size, int protection, int flags, int fd)
{
    void *p = mmap(NULL, size, protection, flags, fd, 0);

    if (p == MAP_FAILED)
        die("mmap");
    return p;
}

void play_open(struct crash_world *w, const struct crash_kind *kind,
               const struct crash_state *state)
{
    struct play_segment *s = calloc(1, sizeof *s);
    struct shmring_config config = kind->config;
    shmring_t *q;

    memset(w, 0, sizeof *w);
    w->kind = kind;
    w->state = state;
    w->segment = s;
    w->shared = map(sizeof *w->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
    config.flags |= state->flags;
    if (!s || shmring_create(&q, "memfd:crash", &config) < 0) {
        fprintf(stderr, "creating the queue: %s\n", shmring_strerror_detail());
        exit(1);
    }
    w->fd = dup(shmring_segment_fd(q));
    s->geometry = q->geometry;
    shmring_close(&q);

    kind->prepare(w);
    if (crash_failed(w)) {
        fprintf(stderr, "preparing the state %s: %s\n", state->name, w->shared->failure);
        exit(1);
    }
    s->size = s->geometry.segment_size;
    s->now = map(s->size, PROT_READ, MAP_SHARED, w->fd);
    s->prepared = malloc(s->size);
    s->copy = malloc(s->size);
    if (!s->prepared || !s->copy)
        die("malloc");
    memcpy(s->prepared, s->now, s->size);
}

void play_close(struct crash_world *w)
{
    struct play_segment *s = w->segment;

    munmap(s->now, s->size);
    munmap(w->shared, sizeof *w->shared);
    free(s->prepared);
    free(s->copy);
    free(s);
    close(w->fd);
}

void play_restore(struct crash_world *w)
{
    struct play_segment *s = w->segment;

    if (pwrite(w->fd, s->prepared, s->size, 0) != (ssize_t)s->size)
        die("pwrite");
    memset(w->shared, 0, sizeof *w->shared);
}

uint64_t play_digest(struct crash_world *w)
{
    const struct play_segment *s = w->segment;
    uint64_t digest = 0;

    memcpy(s->copy, s->now, s->size);
    for (uint32_t i = 0; i < s->geometry.rows; i++) {
        uint8_t *row = s->copy + s->geometry.table + i * sizeof(struct shmr_row);
        memset(row + offsetof(struct shmr_row, pid), 0,
               sizeof(struct shmr_row) - offsetof(struct shmr_row, pid));
    }
    if (s->geometry.type->number == SHMR_MPMC) { /* which holds a time */
        struct shmr_mpmc_page *page = (void *)(s->copy + s->geometry.producer);
        atomic_store(&page->swept, 0);
    }
    for (size_t i = s->geometry.producer; i < s->size;
         i += 8) { /* 64-bit FNV-1a over words, with a stronger mix */
        uint64_t word;
        memcpy(&word, s->copy + i, 8);
        digest = (digest ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        digest ^= digest >> 29;
    }
    return digest;
}

/* ---- Processes ------------------------------------------------------------------------------ */

static void process(void *world)
{
    struct crash_world *w = world;

    if (!w->mine->attaches)
        w->kind->attach(w);
    if (w->mine->ready && !w->mine->ready(w))
        return;
    step_stop();
    step_start_line();
    w->seat->stage = CRASH_RUNNING;
    w->seat->result = w->mine->run(w);
    w->seat->stage = CRASH_DONE;
    step_stop();
    w->kind->carry_on(w);
}

pid_t play_start(struct crash_world *w, const struct crash_operation *operation, int seat)
{
    struct crash_world theirs = *w;
    pid_t child;

    theirs.mine = operation;
    theirs.seat = &w->shared->seat[seat];
    child = step_start(process, &theirs);
    if (child != 0)
        step_past_system_call(child); /* the system call of step_start_line() */
    while (child != 0 && theirs.seat->stage == CRASH_READY)
        if (step_one(child) > STEP_SYSTEM_CALL) {
            fprintf(stderr, "the child crashed before its operation\n");
            exit(1);
        }
    return child;
}

/* Let the child make one step; false: the operation is over. */
static bool move(struct crash_world *w, pid_t child, int seat, enum step (*mover)(pid_t),
                 enum step *step)
{
    *step = mover(child);
    if (w->shared->seat[seat].stage == CRASH_DONE)
        return false;
    crash_check(w, *step <= STEP_SYSTEM_CALL, "the operation itself crashed");
    return *step <= STEP_SYSTEM_CALL;
}

bool play_advance(struct crash_world *w, pid_t child, int seat, const struct play_point *point)
{
    unsigned steps = point->steps;
    enum step step;

    for (unsigned i = 0; i < point->system_calls; i++)
        if (!move(w, child, seat, step_past_system_call, &step))
            return false;
    if (point->landmark) {
        step = step_run_to(child, point->landmark);
        steps = point->rest;
    }
    for (unsigned i = 0; i < steps; i++)
        if (!move(w, child, seat, step_one, &step))
            return false;
    return w->shared->seat[seat].stage == CRASH_RUNNING;
}

/* Has the segment changed, or the process's seat? These outlive the process. */
static bool changed(struct crash_world *w, int seat)
{
    static uint8_t witness[sizeof w->shared->seat[0].witness];
    const struct play_segment *s = w->segment;

    if (memcmp(s->copy, s->now, s->size) == 0 &&
        memcmp(witness, w->shared->seat[seat].witness, sizeof witness) == 0)
        return false;
    memcpy(s->copy, s->now, s->size);
    memcpy(witness, w->shared->seat[seat].witness, sizeof witness);
    return true;
}

static void add_point(struct play_points *points, struct play_point point)
{
    if ((points->count & (points->count - 1)) == 0) { /* full: 0, or a power of two */
        size_t room = points->count ? 2 * points->count : 1;
        points->at = realloc(points->at, room * sizeof *points->at);
        if (!points->at)
            die("realloc");
    }
    points->at[points->count++] = point;
}

/* The points from `from` on are behind the same system call: find the instructions that are reached
 * only once. */
static void find_landmarks(struct play_points *points, size_t from)
{
    struct play_point *at = points->at;
    unsigned long landmark = 0;
    unsigned rest = 0;

    for (size_t i = from + 1; i < points->count; i++) {
        bool once = at[i].landmark != 0;
        for (size_t j = from; once && j < points->count; j++)
            once = j == i || at[j].landmark != at[i].landmark;
        at[i].rest = once ? 0 : 1;
    }
    for (size_t i = from; i < points->count; i++) {
        if (i > from && at[i].rest == 0) {
            landmark = at[i].landmark;
            rest = 0;
        }
        at[i].landmark = landmark;
        at[i].rest = rest++;
    }
}

void play_find_points(struct crash_world *w, pid_t child, int seat, struct play_points *points)
{
    struct play_point at = {.matters = true};
    size_t from = 0;
    enum step step;
    bool running;

    memset(points, 0, sizeof *points);
    changed(w, seat);
    do {
        at.landmark = step_where(child);
        add_point(points, at);
        running = move(w, child, seat, step_one, &step);
        at.steps++;
        at.matters = changed(w, seat) || !running;
        if (running && step != STEP_SYSTEM_CALL && w->operation->attaches &&
            at.steps > PLAY_LONGEST) {
            running = move(w, child, seat, step_past_system_call, &step);
            crash_check(w, !changed(w, seat),
                        "more than %d instructions in a row, and they change something",
                        PLAY_LONGEST);
        }
        if (running && step == STEP_SYSTEM_CALL) {
            find_landmarks(points, from);
            from = points->count;
            at = (struct play_point){.system_calls = at.system_calls + 1, .matters = true};
        }
    } while (running);
    at.landmark = 0;
    add_point(points, at);
    find_landmarks(points, from);
}
