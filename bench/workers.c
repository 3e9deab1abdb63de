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

#include "broadcast.h"
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

/* What all members of a crew need. */
struct job {
    struct shared *shared;
    const struct plan *plan;
    const struct options *options;
};

/* In BROADCAST_ASLEEP the second member is only there for the probe. */
static int subscriber_of(int member, enum mode mode, struct crew crew)
{
    if (!mode_is_broadcast(mode))
        return -1;
    return member - crew.producers - (mode == BROADCAST_ASLEEP);
}

/* The work of one member, in a process or a thread of its own. Returns 0 or -1. */
static int take_part(struct link *l, int member, const struct job *job)
{
    struct fate *fate = &job->shared->fate[member];
    l->member = member;
    l->subscriber = subscriber_of(member, job->plan->mode, l->crew);
    /* The consumers of a broadcast share a CPU, so that the producer has its own. */
    l->side = (enum side)(mode_is_broadcast(job->plan->mode) ? member > 0 : member % 2);
    l->in = l->end[l->side].in;
    l->out = l->end[l->side].out;
    const bool attaches = l->transport->attach && (member == 0 || l->subscriber >= 0 ||
                                                   !mode_is_broadcast(job->plan->mode));
    if (pin(l, job->options) == 0 && (!attaches || l->transport->attach(l) == 0) &&
        measure(l, job->shared, job->plan) == 0) {
        fate->state = DONE;
        return 0;
    }
    memcpy(fate->error, l->error, sizeof fate->error);
    fate->state = l->skip ? SKIPPED : FAILED;
    return -1;
}

struct thread {
    pthread_t id;
    struct link link; /* its own, with a buffer of its own */
    int member;
    const struct job *job;
};

static void *run_thread(void *arg)
{
    struct thread *t = arg;
    if (take_part(&t->link, t->member, t->job) != 0)
        _exit(1); /* ends the whole process: the other threads would wait for this one */
    return NULL;
}

/* Run all n members as threads of this process. Returns 0, or -1 with errno. */
static int run_threads(const struct link *l, int n, size_t room, const struct job *job)
{
    static struct thread threads[CREW_MAX];
    for (int i = 0; i < n; i++) {
        struct thread *t = &threads[i];
        *t = (struct thread){.link = *l, .member = i, .job = job};
        t->link.buffer = aligned_alloc(64, room);
        if (!t->link.buffer)
            return -1;
        memset(t->link.buffer, 0, room);
        errno = pthread_create(&t->id, NULL, run_thread, t);
        if (errno != 0)
            return -1;
    }
    for (int i = 0; i < n; i++)
        pthread_join(threads[i].id, NULL);
    return 0;
}

/* A child that holds members of the crew: one, or all where the transport IN_ONE_PROCESS. */
struct worker {
    pid_t pid; /* 0: not running */
    int first, members;
};

/* The whole life of a worker process. */
static void __attribute__((noreturn))
work(struct link *l, const struct worker *w, size_t room, const struct job *job, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &as_before, NULL);
    if (w->members == 1)
        _exit(take_part(l, w->first, job) == 0 ? 0 : 1);
    if (run_threads(l, w->members, room, job) != 0) {
        struct fate *fate = &job->shared->fate[w->first];
        snprintf(fate->error, sizeof fate->error, "threads: %s", strerror(errno));
        fate->state = FAILED;
        _exit(1);
    }
    _exit(0);
}

/* The result of a worker that has ended: the first failure that one of its members noted, or else
 * what its exit status means. */
static struct fate fate_of(const struct worker *w, int status, const struct fate *fates)
{
    struct fate fate = {.state = DONE};
    for (int i = w->first; i < w->first + w->members; i++)
        if (fates[i].state == FAILED || fates[i].state == SKIPPED)
            return fates[i];
        else if (fates[i].state == NOT_DONE)
            fate.state = FAILED;
    if (fate.state == FAILED && WIFSIGNALED(status))
        snprintf(fate.error, sizeof fate.error, "process died: %s", strsignal(WTERMSIG(status)));
    else if (fate.state == FAILED)
        snprintf(fate.error, sizeof fate.error, "process ended with status %d",
                 WEXITSTATUS(status));
    return fate;
}

static void kill_workers(struct worker *workers, int n)
{
    for (int i = 0; i < n; i++)
        if (workers[i].pid > 0) {
            kill(workers[i].pid, SIGKILL);
            waitpid(workers[i].pid, NULL, 0);
            workers[i].pid = 0;
        }
}

/*
 * Wait until all workers have ended, one has failed, the time is over or a signal came; then kill
 * and wait for those that are left. Returns the signal's number or 0, and the result in fate.
 */
static int wait_for(struct worker *workers, int n_workers, struct shared *s, struct fate *fate,
                    double seconds, struct stopped *harm)
{
    int running = n_workers;
    const double end = clock_seconds(CLOCK_MONOTONIC) + seconds;

    for (;;) {
        for (int i = 0; i < n_workers; i++) {
            struct worker *w = &workers[i];
            int status;
            if (w->pid <= 0 || waitpid(w->pid, &status, WNOHANG) != w->pid)
                continue;
            w->pid = 0;
            running--;
            *fate = fate_of(w, status, s->fate);
            if (fate->state != DONE) {
                kill_workers(workers, n_workers);
                return 0;
            }
        }
        if (running == 0)
            return 0;
        const double next = harm ? stopped_step(harm, workers[harm->victim].pid, s) : seconds;
        if (next < 0) { /* a worker that is left hangs; its counts are in shared memory */
            kill_workers(workers, n_workers);
            fate->state = DONE;
            return 0;
        }
        double left = end - clock_seconds(CLOCK_MONOTONIC);
        if (left < 0) {
            kill_workers(workers, n_workers);
            fate->state = STUCK;
            snprintf(fate->error, sizeof fate->error, "timed out after %g s", seconds);
            return 0;
        }
        left = next < left ? next : left;
        struct timespec slice = {.tv_sec = (time_t)left,
                                 .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        int n = sigtimedwait(&held_back, NULL, &slice);
        if (n > 0 && n != SIGCHLD) {
            kill_workers(workers, n_workers);
            return n;
        }
    }
}

/* Start the n members of a crew, whose buffers need room bytes, and wait for their end. */
static int start_and_wait(struct link *l, int n, size_t room, const struct job *job,
                          struct fate *fate)
{
    struct worker workers[CREW_MAX] = {0};
    const int members = l->transport->flags & IN_ONE_PROCESS ? n : 1, n_workers = n / members;
    const pid_t parent = getpid();
    for (int i = 0; i < n_workers; i++) {
        struct worker *w = &workers[i];
        *w = (struct worker){.pid = fork(), .first = i * members, .members = members};
        if (w->pid == 0)
            work(l, w, room, job, parent);
        if (w->pid < 0) {
            fate->state = FAILED;
            snprintf(fate->error, sizeof fate->error, "fork: %s", strerror(errno));
            kill_workers(workers, n_workers);
            return 0;
        }
    }
    struct stopped harm;
    const bool harms = job->plan->mode == STOPPED;
    if (harms)
        stopped_init(&harm, l->crew, job->plan);
    return wait_for(workers, n_workers, job->shared, fate,
                    job->plan->seconds * 5 + job->options->timeout, harms ? &harm : NULL);
}

/*
 * Called when the time was over. With many processes on a queue, where one waits inside a call for
 * another one that does not run, a measurement may never end: that is a result, and the messages
 * received until then count. In other modes it is a failure.
 */
static void judge_stuck(struct cell *c)
{
    if (!mode_is_many(c->mode) || c->transport->flags & IS_LOCK_FREE)
        c->fate.state = FAILED;
}

/* The number of messages of a producer that may be missing or come twice: those that a killed
 * process held. A queue that is not made for such deaths may lose more, which is shown as lost. */
static uint64_t unsure(const struct cell *c, int batch)
{
    if (c->transport->flags & IS_INEXACT)
        return UINT64_MAX / 2;
    if (c->mode != STOPPED || !harm_is_death(c->harm))
        return 0;
    return c->transport->flags & IS_LOCK_FREE ? (uint64_t)batch : UINT64_MAX / 2;
}

int workers_run(struct cell *c, struct shared *s, const struct options *o)
{
    /* ALONE: the second message is the one received */
    const int batch = c->transport->flags & IS_BATCH ? o->batch : c->mode == ALONE ? 2 : 1;
    const int n = cell_processes(c);
    const size_t room = (c->size * (size_t)batch + sizeof(long) + 63) / 64 * 64;
    const struct plan plan = {.mode = c->mode,
                              .seconds = o->seconds,
                              .rate = c->rate,
                              .speed = c->speed,
                              .yield = c->wait == YIELD,
                              .harm = c->harm};
    const struct job job = {s, &plan, o};
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
    if (!l.buffer || reset(s, n, c->crew) != 0 || broadcast_prepare(&plan, c->crew) != 0) {
        c->fate = (struct fate){.state = FAILED, .error = "not enough memory"};
        free(l.buffer);
        return 0;
    }
    memset(l.buffer, 0, room);
    if (c->transport->open(&l) == 0) {
        interrupted = start_and_wait(&l, n, room, &job, &c->fate);
        if (c->fate.state == DONE && mode_is_many(c->mode) && !s->hangs)
            many_verify(s, c->crew, unsure(c, l.batch), &c->fate);
        if (c->fate.state == STUCK)
            judge_stuck(c);
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
