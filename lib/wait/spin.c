/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/spin.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "wait/sleep.h"

/* Polls between two clock reads. Every WAITS_PER_ATTEMPT-th wait spins for the full limit, so that
 * a spin time learned too short can recover. */
#define POLLS_PER_CLOCK   8
#define WAITS_PER_ATTEMPT 16

/* The shortest spin, in times of SHMR_BACK_OFF_NS: worth it however long the last waits were. */
#define SPIN_LEAST 5

/* The event from whose waits this one learns how long to spin. */
static int spin_index(unsigned events)
{
    return events & SHMRING_READABLE ? SHMR_READABLE : SHMR_WRITABLE;
}

/* How long this wait may spin after the shortest spin, in ns. */
static int64_t spin_limit(struct shmr_waiting *w, int event)
{
    uint32_t limit = 2 * w->usual[event];

    if (w->waits[event]++ % WAITS_PER_ATTEMPT == 0 || limit > w->spin_most)
        limit = w->spin_most;
    return limit;
}

/*
 * A wait took this many ns after the shortest spin. A sleep alone costs about spin_most: a wait
 * that took up to twice that may have needed no sleep, and counts as spin_most. A longer one counts
 * as 0.
 */
static void learn(struct shmr_waiting *w, int event, int64_t took)
{
    const int64_t usual = w->usual[event];

    if (took < 0) /* the clock was put back */
        took = 0;
    if (took > w->spin_most)
        took = took / 2 > w->spin_most ? 0 : w->spin_most;
    w->usual[event] = (uint32_t)((7 * usual + took) / 8);
}

unsigned shmr_spin(shmring_t *q, unsigned events, int64_t deadline, int64_t *from)
{
    const struct shmr_kind *type = q->geometry.type;
    struct shmr_waiting *w = &q->waiting;
    const int event = spin_index(events);
    unsigned found = type->ready(q, events, false);

    if (found || w->spin_most == 0 || deadline == SHMR_AT_ONCE)
        return found;
    for (uint32_t i = 0; i < SPIN_LEAST * w->pauses; i++) { /* without the clock: a read costs */
        shmr_pause(1);
        if ((found = type->ready(q, events, false)) != 0)
            return found;
    }

    const int64_t limit = spin_limit(w, event);
    int64_t now = *from = shmr_wait_now(q), until = now + limit;
    /* If the clock stands still, this many reads end the spin, after eight times the limit. */
    int64_t reads = limit * w->pauses / SHMR_BACK_OFF_NS + 1;
    for (; now < until && now < deadline && reads > 0; now = shmr_wait_now(q), reads--)
        for (int i = 0; i < POLLS_PER_CLOCK; i++) {
            shmr_pause(1);
            if ((found = type->ready(q, events, false)) != 0) {
                learn(w, event, now - *from);
                return found;
            }
        }
    return 0;
}

void shmr_spin_learn(shmring_t *q, unsigned events, int64_t from)
{
    learn(&q->waiting, spin_index(events), shmr_wait_now(q) - from);
}
