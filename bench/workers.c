/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "workers.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "many.h"
#include "stopped.h"

static sigset_t held_back, as_before;

void workers_init(void)
{
    static const int endings[] = {SIGHUP, SIGINT, SIGTERM};
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&held_back);
    sigaddset(&held_back, SIGCHLD);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        struct sigaction action;
        sigaction(endings[i], NULL, &action);
        if (action.sa_handler != SIG_IGN) /* nohup */
            sigaddset(&held_back, endings[i]);
    }
    sigprocmask(SIG_BLOCK, &held_back, &as_before);
}

struct shared *workers_map(void)
{
    void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int workers_interrupted(void)
{
    int n;
    while ((n = sigtimedwait(&held_back, NULL, &(struct timespec){0})) == SIGCHLD)
        ;
    return n > 0 ? n : 0;
}

void workers_die(int n)
{
    sigprocmask(SIG_SETMASK, &as_before, NULL);
    raise(n);
    _exit(128 + n);
}

/* Make s ready for one more measurement. */
static int reset(struct shared *s, int workers, struct crew crew)
{
    pthread_barrierattr_t attributes;
    memset(s, 0, sizeof *s);
    s->counted_from = UINT64_MAX;
    s->total = UINT64_MAX;
    s->sending = crew.producers;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    int error = pthread_barrier_init(&s->barrier, &attributes, (unsigned)workers);
    pthread_barrierattr_destroy(&attributes);
    return error;
}

static int pin(struct link *l, const struct options *o)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(o->cpus[l->side], &set);
    if (o->pin && sched_setaffinity(0, sizeof set, &set) != 0)
        return link_fail(l, "cannot run on CPU %zu: %s", o->cpus[l->side], strerror(errno));
    return 0;
}

/* What a worker does from its first to its last instruction. */
static void __attribute__((noreturn))
work(struct link *l, struct shared *s, const struct plan *plan, const struct options *o,
     pid_t parent)
{
    struct fate *fate = &s->fate[l->member];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &as_before, NULL);
    l->in = l->end[l->side].in;
    l->out = l->end[l->side].out;
    if (pin(l, o) == 0 && (!l->transport->attach || l->transport->attach(l) == 0) &&
        measure(l, s, plan) == 0) {
        fate->state = DONE;
        _exit(0);
    }
    memcpy(fate->error, l->error, sizeof fate->error);
    fate->state = l->skip ? SKIPPED : FAILED;
    _exit(1);
}

/* Reap one worker if it has ended, and say so in fate when it did that without a word. */
static bool reap(pid_t *worker, struct fate *fate)
{
    int status;
    if (*worker <= 0 || waitpid(*worker, &status, WNOHANG) != *worker)
        return false;
    *worker = 0;
    if (fate->state == NOT_DONE) {
        fate->state = FAILED;
        if (WIFSIGNALED(status))
            snprintf(fate->error, sizeof fate->error, "process died: %s",
                     strsignal(WTERMSIG(status)));
        else
            snprintf(fate->error, sizeof fate->error, "process ended with status %d",
                     WEXITSTATUS(status));
    }
    return true;
}

static void kill_workers(pid_t worker[], int n)
{
    for (int i = 0; i < n; i++)
        if (worker[i] > 0) {
            kill(worker[i], SIGKILL);
            waitpid(worker[i], NULL, 0);
            worker[i] = 0;
        }
}

/*
 * Wait until all have ended, one has failed, time is up or a signal came; then nothing of them is
 * left. Returns the signal's number or 0, and in fate how it went.
 */
static int wait_for(pid_t worker[], int n_workers, struct shared *s, struct fate *fate,
                    double seconds, struct stopped *harm)
{
    int running = n_workers;
    const double end = clock_seconds(CLOCK_MONOTONIC) + seconds;

    for (;;) {
        for (int i = 0; i < n_workers; i++)
            if (reap(&worker[i], &s->fate[i])) {
                running--;
                if (s->fate[i].state == DONE)
                    continue;
                *fate = s->fate[i];
                kill_workers(worker, n_workers);
                return 0;
            }
        if (running == 0) {
            fate->state = DONE;
            return 0;
        }
        const double next = harm ? stopped_step(harm, worker, s) : seconds;
        if (next < 0) { /* whoever is left hangs, and has told what it could */
            kill_workers(worker, n_workers);
            fate->state = DONE;
            return 0;
        }
        double left = end - clock_seconds(CLOCK_MONOTONIC);
        if (left < 0) {
            kill_workers(worker, n_workers);
            fate->state = FAILED;
            snprintf(fate->error, sizeof fate->error, "timed out after %g s", seconds);
            return 0;
        }
        left = next < left ? next : left;
        struct timespec slice = {.tv_sec = (time_t)left,
                                 .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        int n = sigtimedwait(&held_back, NULL, &slice);
        if (n > 0 && n != SIGCHLD) {
            kill_workers(worker, n_workers);
            return n;
        }
    }
}

static int start_and_wait(struct link *l, int n, struct shared *s, const struct plan *plan,
                          const struct options *o, struct fate *fate)
{
    pid_t worker[CREW_MAX] = {0}, parent = getpid();
    for (int i = 0; i < n; i++) {
        worker[i] = fork();
        if (worker[i] == 0) {
            l->member = i;
            l->side = (enum side)(i % 2);
            work(l, s, plan, o, parent);
        }
        if (worker[i] < 0) {
            fate->state = FAILED;
            snprintf(fate->error, sizeof fate->error, "fork: %s", strerror(errno));
            kill_workers(worker, n);
            return 0;
        }
    }
    struct stopped harm;
    if (plan->mode == STOPPED)
        stopped_init(&harm, l->crew, plan);
    return wait_for(worker, n, s, fate, plan->seconds * 5 + o->timeout,
                    plan->mode == STOPPED ? &harm : NULL);
}

int workers_run(struct cell *c, struct shared *s, const struct options *o)
{
    /* alone, the second message is the one received */
    const int batch = c->transport->flags & IS_BATCH ? o->batch : c->mode == ALONE ? 2 : 1;
    const int n = cell_processes(c);
    const size_t room = (c->size * (size_t)batch + sizeof(long) + 63) / 64 * 64;
    const struct plan plan = {.mode = c->mode,
                              .seconds = o->seconds,
                              .rate = o->rate,
                              .yield = c->wait == YIELD,
                              .harm = c->harm};
    struct link l = {
        .transport = c->transport,
        .size = c->size,
        .capacity = o->capacity,
        .messages = c->messages,
        .batch = batch,
        .block = c->wait == BLOCK,
        .crew = c->crew,
        .alone = c->mode == ALONE,
        .buffer = aligned_alloc(64, room),
        .end = {{-1, -1}, {-1, -1}},
    };
    int interrupted = 0;
    if (!l.buffer || reset(s, n, c->crew) != 0) {
        c->fate = (struct fate){.state = FAILED, .error = "not enough memory"};
        free(l.buffer);
        return 0;
    }
    memset(l.buffer, 0, room);
    if (c->transport->open(&l) == 0) {
        interrupted = start_and_wait(&l, n, s, &plan, o, &c->fate);
        if (c->fate.state == DONE && mode_is_many(c->mode) && !s->hangs)
            many_verify(s, c->crew,
                        c->mode == STOPPED && harm_is_death(c->harm) ? (uint64_t)l.batch : 0,
                        &c->fate);
    } else {
        c->fate.state = l.skip ? SKIPPED : FAILED;
        memcpy(c->fate.error, l.error, sizeof c->fate.error);
    }
    c->transport->close(&l);
    free(l.buffer);
    return interrupted;
}

int workers_spawn(const char *const argv[], const char *folder)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t child;
    int status = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &as_before);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawnp(&child, argv[0], &actions, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return -error;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
