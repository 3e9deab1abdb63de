/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "stopped.h"

#include <signal.h>
#include <sys/wait.h>

#include "ticks.h"

static const double CHECK_S = 0.001; /* between two checks whether the processes have begun */
static const double GRACE = 2; /* seconds that the processes have to end after the measurement */

void stopped_init(struct stopped *t, struct crew crew, const struct plan *plan)
{
    *t = (struct stopped){
        .crew = crew,
        .harm = plan->harm,
        .victim = crew.producers - 1,
        .length = ticks_from_seconds(plan->seconds),
    };
    if (plan->harm == CONSUMER_STOPPED || plan->harm == CONSUMER_KILLED)
        t->victim += crew.consumers;
}

/* Messages that processes other than the victim sent and received. */
static uint64_t count(const struct stopped *t, const struct shared *s)
{
    const int n = t->crew.producers + t->crew.consumers;
    uint64_t messages = 0;
    for (int c = t->crew.producers; c < n; c++)
        for (int p = 0; p < t->crew.producers; p++)
            if (c != t->victim && p != t->victim)
                messages += __atomic_load_n(&s->member[c].tally[p].messages, __ATOMIC_RELAXED);
    return messages;
}

static void begin(struct stopped *t, const struct shared *s, enum phase phase, uint64_t length)
{
    t->phase = phase;
    t->from = ticks_now();
    t->until = t->from + length;
    t->passed = count(t, s);
}

static void finish(const struct stopped *t, struct shared *s)
{
    const double seconds = ticks_to_seconds(ticks_now() - t->from);
    s->others[t->phase - BEFORE] = (double)(count(t, s) - t->passed) / seconds / 1e6;
}

/* Stop or kill the victim. Returns when the kernel has done it. */
static void strike(const struct stopped *t, pid_t victim, struct shared *s)
{
    const bool death = harm_is_death(t->harm);
    if (victim <= 0) /* ended early */
        return;
    if (death)
        s->fate[t->victim].state = DONE; /* its end is no failure */
    kill(victim, death ? SIGKILL : SIGSTOP);
    waitid(P_PID, (id_t)victim, &(siginfo_t){0}, (death ? WEXITED : WSTOPPED) | WNOWAIT);
    if (t->harm == PRODUCER_KILLED)
        atomic_fetch_sub_explicit(&s->sending, 1, memory_order_release);
}

double stopped_step(struct stopped *t, pid_t victim, struct shared *s)
{
    const uint64_t start = atomic_load_explicit(&s->begin, memory_order_relaxed);
    const uint64_t now = ticks_now();
    if (t->phase == STARTING) {
        t->until = start + (uint64_t)((double)t->length * WARM_UP);
        if (start == 0)
            return CHECK_S;
    }
    if (now < t->until)
        return ticks_to_seconds(t->until - now);
    switch (t->phase) {
    case STARTING: /* up to a millisecond longer: the last digits are random */
        begin(t, s, BEFORE, t->length + now % ticks_from_seconds(CHECK_S));
        break;
    case BEFORE:
        finish(t, s);
        strike(t, victim, s);
        begin(t, s, DURING, t->length);
        break;
    case DURING:
        finish(t, s);
        if (!harm_is_death(t->harm) && victim > 0)
            kill(victim, SIGCONT);
        begin(t, s, AFTER, t->length);
        break;
    case AFTER:
        finish(t, s);
        atomic_store_explicit(&s->stop, 1, memory_order_relaxed);
        begin(t, s, ENDING, ticks_from_seconds(GRACE));
        break;
    default:
        s->hangs = true;
        return -1;
    }
    return ticks_to_seconds(t->until - t->from);
}
