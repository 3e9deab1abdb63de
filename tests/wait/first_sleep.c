/* SPDX-License-Identifier: MIT */
/*
 * The first sleep at a queue, see "The first sleep" in lib/wait/waitword.h: the test explores every
 * order in which the steps of a publisher and of two sleepers can happen on processors with store
 * buffers (total store order).
 *
 * Every thread is a list of steps. A step is one load, one store into the thread's store buffer, or
 * one locked instruction, which empties the buffer first. A buffer may be emptied at any time, and
 * is empty after SHMR_RECHECK_NS: then every store is visible. A sleeper that is not certain sleeps
 * for SHMR_RECHECK_NS at most: here its recheck ends its sleep. A sleeper that is certain sleeps
 * until it is woken: no sleeper may be in such a sleep while the message is there.
 *
 * The rules for being certain are that of lib/wait/sleep.c, and weaker ones, which must fail here.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <criterion/criterion.h>

#include "lib/wait/waitword.h"

enum rule {
    /* The rule of lib/wait/sleep.c: this handle, or a handle that has noted it, announced
     * SHMR_RECHECK_NS ago. */
    SETTLED,
    SEEN_BEFORE, /* WATCHED was set before this announcement */
    ALWAYS       /* every sleeper is certain */
};

enum { PUBLISHER, FIRST, SECOND, THREADS };
enum { ANNOUNCEMENTS = 2 }; /* of each sleeper: a spurious wake-up may make it announce again */

/* A sleeper announces, is certain or not, polls, goes to sleep. The publisher stores the message,
 * loads the word, and if the word says that sleepers may be there, fences, loads it again, and
 * notifies. */
struct state {
    uint32_t word; /* the wait word in memory, as in waitword.h */
    bool message;  /* in memory */
    bool buffered; /* the publisher's store of the message is in its store buffer */
    bool settled;  /* a handle has noted that the first 50 ms are over */
    bool long_ago; /* SHMR_RECHECK_NS have passed since the first announcement of all */
    uint8_t step[THREADS];
    uint8_t turns[THREADS]; /* how often each sleeper has announced */
    uint32_t value[THREADS];
    bool certain[THREADS], asleep[THREADS], early[THREADS]; /* early: announced before long_ago */
    bool notifies;
};

static enum rule rule;
static unsigned long states;
static bool failed;

/* The states explored so far, each once. */
enum { TABLE = 1 << 16 };
static struct state table[TABLE];
static bool used[TABLE];

static bool is_new(const struct state *s)
{
    uint64_t hash = 14695981039346656037u;
    const unsigned char *bytes = (const unsigned char *)s;

    for (size_t i = 0; i < sizeof *s; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    for (uint64_t at = hash % TABLE;; at = (at + 1) % TABLE) {
        if (!used[at]) {
            cr_assert_lt(states, TABLE / 2, "too many states");
            used[at] = true;
            memcpy(&table[at], s, sizeof *s);
            states++;
            return true;
        }
        if (memcmp(&table[at], s, sizeof *s) == 0)
            return false;
    }
}

static void flush(struct state *s)
{
    if (s->buffered)
        s->message = true;
    s->buffered = false;
}

/* The functions of waitword.h, applied to the model's word. Each is a locked instruction, a fence,
 * or a load. */
static uint32_t announce(struct state *s)
{
    struct shmr_waitword waitword = {.word = s->word};
    const uint32_t was = shmr_waitword_announce(&waitword, SHMR_WAITWORD_ASLEEP);

    s->word = waitword.word;
    return was;
}

static bool sees_sleepers(const struct state *s)
{
    struct shmr_waitword waitword = {.word = s->word};

    return shmr_waitword_is_set(&waitword, SHMR_NOTIFY_FENCED);
}

static void notify(struct state *s)
{
    struct shmr_waitword waitword = {.word = s->word};

    if (shmr_waitword_notify(&waitword) & SHMR_WAITWORD_ASLEEP)
        /* Wakes all; that waking one is enough is proved by tests/prove/model/waitword_wakes.c. */
        for (int t = FIRST; t <= SECOND; t++)
            s->asleep[t] = false;
    s->word = waitword.word;
}

/* Make the publisher's next step. False: it has none. */
static bool publish(struct state *s)
{
    switch (s->step[PUBLISHER]++) {
    case 0:
        s->buffered = true;
        return true;
    case 1:
        s->notifies = sees_sleepers(s);
        return true;
    case 2:
        if (!s->notifies)
            return false;
        flush(s); /* P1; a notification is a locked instruction, too */
        notify(s);
        return true;
    default:
        return false;
    }
}

static bool is_certain(struct state *s, int me, uint32_t was)
{
    switch (rule) {
    case SETTLED:
        if (s->settled)
            return true;
        if (s->early[me] && s->long_ago)
            s->settled = true;
        if (!s->long_ago)
            s->early[me] = true;
        return s->settled;
    case SEEN_BEFORE:
        return (was & SHMR_WAITWORD_WATCHED) != 0;
    default:
        return true;
    }
}

/* Make a sleeper's next step. False: it has none, or sleeps. */
static bool sleep_or_poll(struct state *s, int me)
{
    uint32_t was;

    if (s->asleep[me] || s->turns[me] == ANNOUNCEMENTS)
        return false;
    switch (s->step[me]++) {
    case 0:
        was = announce(s);
        s->value[me] = was | SHMR_WAITWORD_ASLEEP | SHMR_WAITWORD_WATCHED;
        s->certain[me] = is_certain(s, me, was);
        return true;
    case 1:
        if (s->message)
            s->turns[me] = ANNOUNCEMENTS; /* it has found the message and announces no more */
        return true;
    default:
        s->asleep[me] = s->word == s->value[me];
        s->step[me] = 0;
        s->turns[me]++;
        return true;
    }
}

static void explore(const struct state *s)
{
    if (failed || !is_new(s))
        return;

    bool over = true;
    for (int t = 0; t < THREADS; t++) {
        struct state next = *s;
        if (t == PUBLISHER ? publish(&next) : sleep_or_poll(&next, t)) {
            over = false;
            explore(&next);
        }
    }
    if (s->buffered) {
        struct state next = *s;
        flush(&next);
        over = false;
        explore(&next);
    }
    if (s->word & SHMR_WAITWORD_WATCHED &&
        !s->long_ago) { /* after that time all buffers have been emptied */
        struct state next = *s;
        flush(&next);
        next.long_ago = true;
        explore(&next);
    }
    for (int t = FIRST; t <= SECOND; t++)
        /* A signal, or a spurious wake-up, ends its sleep. */
        if (s->asleep[t] && s->turns[t] < ANNOUNCEMENTS) {
            struct state next = *s;
            next.asleep[t] = false;
            explore(&next);
        }
    for (int t = FIRST; over && t <= SECOND; t++)
        failed |= s->asleep[t] && s->certain[t] && s->message;
}

static bool loses_a_wake_up(enum rule with)
{
    static struct state start;

    rule = with;
    failed = false;
    states = 0;
    memset(used, 0, sizeof used);
    explore(&start);
    return failed;
}

Test(first_sleep, no_sleeper_is_certain_too_early)
{
    cr_assert(!loses_a_wake_up(SETTLED));
    cr_assert_gt(states, 500, "it explores");
}

/* The second of two sleepers; or one sleeper, the second time. */
Test(first_sleep, that_another_sleeper_was_first_is_not_enough)
{
    cr_assert(loses_a_wake_up(SEEN_BEFORE));
}

Test(first_sleep, care_is_needed)
{
    cr_assert(loses_a_wake_up(ALWAYS));
}
