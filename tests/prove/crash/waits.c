/* SPDX-License-Identifier: MIT */
/*
 * waits [--all] [OPERATION [STATE]]: a process is killed at each instruction
 *   - of a call that publishes a message, or room, while another one sleeps that waits for it;
 *   - of a call that waits, or arms a descriptor or a futex.
 * The survivor must wake: at once where the dead process or its successor wakes it, and by its
 * recheck where the dead process had published and not yet made its system call. To tell these
 * apart, a sleeper's recheck is either after an hour, for which no run waits, or every 5 ms.
 *   --all    at each instruction; otherwise where something has just changed, and at some others
 */
#include <config.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/wait/sleep.h"
#include "program.h"
#include "settled.h"
#include "step.h"
#include "waits.h"

enum { OF_THE_OTHERS = 8 };

static const struct crash_state states[STATES] = {
    {"by futex", BY_FUTEX, 0},           /* a participant sleeps in a futex */
    {"by descriptor", BY_DESCRIPTOR, 0}, /* a participant sleeps in poll() */
    {"unfenced", UNFENCED, 0},           /* as "by futex", and the publisher does not fence */
    {"times out", TIMES_OUT, 0},         /* nothing comes while the process waits */
    {"is notified", IS_NOTIFIED, 0},     /* an event comes while it sleeps, and wakes only it */
    {"stolen", STOLEN, 0},               /* another was notified by descriptor, and is stopped */
};

static struct {
    unsigned long deaths;
    unsigned cases, failed;
} totals;

static const struct operation *prepared; /* the operation that the state is prepared for */
static unsigned fill_count;              /* messages in a full queue */

/* ---- States ---------------------------------------------------------------------------------- */

static void empty(shmring_t *q)
{
    uint64_t number;

    while (shmring_recv(q, &number, sizeof number) > 0)
        continue;
}

/*
 * Make the queue empty, or full (for cancel: but for one message, which is reserved).
 * test_settle_sleeps() makes it a queue at which participants have slept before, because the first
 * sleeps at a queue are short.
 */
static void prepare(struct crash_world *w)
{
    struct shmring_futex futex;
    shmring_t *q = join(w, is_broadcast(w) ? SHMRING_CONSUMER : BOTH);

    if (q && is_broadcast(w)) { /* empty: it is full only while a reliable consumer is attached */
        test_settle_sleeps(q);
        shmring_futex_arm(q, SHMRING_READABLE, &futex);
        shmring_close(&q);
    }
    if (!q)
        return;
    test_settle_sleeps(q);
    shmring_futex_arm(q, SHMRING_READABLE, &futex);
    fill_count = fill(q);
    shmring_futex_arm(q, SHMRING_WRITABLE, &futex);
    empty(q);
    if (prepared->event == SHMRING_WRITABLE) {
        fill(q);
        if (prepared->base.run == run_cancel) {
            empty(q);
            for (uint64_t i = PREFILLED; i < fill_count - 1; i++)
                send_number(w, q, i);
            fill_count--;
        }
    }
    shmring_close(&q);
}

/* The role that publishes the event. */
static unsigned publisher_of(unsigned event)
{
    return event == SHMRING_READABLE ? SHMRING_PRODUCER : SHMRING_CONSUMER;
}

static bool has_moved(struct crash_world *w, pid_t unused)
{
    (void)unused;
    return have_all_moved(w, 1);
}

static bool has_moved_all(struct crash_world *w, pid_t unused)
{
    (void)unused;
    return have_all_moved(w, operation(w)->event == SHMRING_READABLE ? (unsigned)w->operation->most
                                                                     : 1);
}

static bool uses_descriptor(const struct crash_world *w)
{
    return by_descriptor(w) || w->operation->run == run_fd_arm;
}

/* End a process and its children, and wait until all are gone: a child that is killed but has not
 * run since could still be woken in another sleeper's place. */
static void end_group(pid_t leader)
{
    if (leader > 0) {
        kill(-leader, SIGKILL);
        while (waitpid(-leader, NULL, 0) > 0)
            ;
    }
}

/* ---- The publisher dies ---------------------------------------------------------------------- */

/* Check that each message which was in the queue, or which the dead process had published, was
 * received. */
static void check_nothing_lost(struct crash_world *w, const struct sleeper *b)
{
    const struct crash_seat *dead = &w->shared->seat[CRASH_VICTIM];
    const uint64_t *had = (const void *)dead->witness;
    unsigned sent = 0;

    if (operation(w)->event == SHMRING_READABLE) {
        for (int i = 0; i < w->operation->most; i++)
            sent += b->got[VICTIMS + i];
        if (dead->stage == CRASH_DONE && !operation(w)->waits)
            crash_check(w, sent == (unsigned)w->operation->moved(dead->result),
                        "the dead had sent %ld, %u came", dead->result, sent);
        crash_check(w, sent == 0 || b->got[VICTIMS], "a batch lost its beginning");
        crash_check(w, b->got[END], "the last message did not come");
        return;
    }
    if (is_broadcast(w)) { /* others may have missed what only the dead one needed */
        crash_check(w, b->got[SLEEPERS + b->moved - 1], "the last message was lost");
        return;
    }
    for (unsigned i = 0; i < fill_count; i++) {
        bool taken = i < BATCH && w->operation->role == SHMRING_CONSUMER;
        if (taken && w->operation->run != run_release && b->got[PREFILLED + i] == 0)
            taken = had[i] == PREFILLED + i;
        crash_check(w, b->got[PREFILLED + i] || taken, "message %u was lost", i);
    }
    for (unsigned i = 0; i < b->moved; i++)
        crash_check(w, b->got[SLEEPERS + i], "message %u of the sleeper was lost", i);
}

static void settle(struct crash_world *w, shmring_t *q)
{
    finish_sleeper(w, q);
    if (!is_mpmc(w) && operation(w)->event == SHMRING_READABLE) {
        shmring_close(&q);
        q = join(w, SHMRING_CONSUMER);
    }
    /* Reliable sleepers have received all. */
    if (q && !(is_broadcast(w) && operation(w)->event == SHMRING_READABLE))
        drain(w, q);
    if (q && uses_descriptor(w)) /* the last participant to close removes the notifiers */
        shmring_fd(q, SHMRING_READABLE);
    shmring_close(&q);
    for (int i = FIRST; i <= (book(w)->companion ? COMPANION : FIRST); i++)
        if (!crash_failed(w))
            check_nothing_lost(w, &book(w)->sleeper[i]);
}

/* Broadcast: a message wakes all consumers, so a second one sleeps beside the first. */
static pid_t companion;

static pid_t put_all_to_sleep(struct crash_world *w, uint32_t recheck_ms)
{
    const pid_t sleeper = put_to_sleep(w, recheck_ms);

    if (is_broadcast(w) && operation(w)->event == SHMRING_READABLE)
        companion = put_companion_to_sleep(w, recheck_ms);
    return sleeper;
}

static void end_sleepers(pid_t first)
{
    end_process(first);
    end_process(companion);
    companion = 0;
}

/* A process is about to publish, another one sleeps, and the first dies. Returns the sleeper. */
static pid_t die_beside_a_sleeper(struct crash_world *w, const struct play_point *point,
                                  uint32_t recheck_ms)
{
    pid_t victim = play_start(w, w->operation, CRASH_VICTIM), sleeper;

    if (!crash_check(w, victim != 0, "the operation is not possible this time"))
        return 0;
    sleeper = put_all_to_sleep(w, recheck_ms);
    play_advance(w, victim, CRASH_VICTIM, point);
    step_kill(victim);
    totals.deaths++;
    return sleeper;
}

static bool is_announced(struct crash_world *w)
{
    const struct shmr_waitwords *waitwords = watcher->map.waitwords;
    const struct shmr_waitword *waitword =
        operation(w)->event == SHMRING_READABLE ? &waitwords->readable : &waitwords->writable;

    return atomic_load(&waitword->word) &
           (by_descriptor(w) ? SHMR_WAITWORD_POLLED : SHMR_WAITWORD_ASLEEP);
}

/*
 * One death, beside a sleeper whose recheck is after an hour. If the victim had made all system
 * calls of its operation, it has woken the sleeper. If the wait word still announces the sleeper, a
 * successor must wake it. Between the two no process wakes it, and its recheck must find what was
 * published. Returns true if there is something to find by a recheck.
 */
static bool die_beside_a_heavy_sleeper(struct crash_world *w, const struct play_point *point,
                                       unsigned system_calls)
{
    const bool notified = point->system_calls >= system_calls;
    bool published = true;

    play_restore(w);
    const unsigned before = count();
    pid_t sleeper = die_beside_a_sleeper(w, point, AN_HOUR);
    if (notified) {
        crash_check(w, await(has_moved_all, w, 0), "it was notified, and does not wake");
    } else if (is_broadcast(w) && operation(w)->event == SHMRING_WRITABLE) {
        end_sleepers(sleeper); /* the dead one still holds it up: only it can find that */
        return true;
    } else {
        published = count() != before || !is_announced(w);
        if (!is_announced(w)) {
            end_sleepers(sleeper);
            return true;
        }
    }
    /* Broadcast: for room, this sleeper would need its lock test, which it does not make. */
    if (!is_broadcast(w) || operation(w)->event == SHMRING_READABLE)
        settle(w, crash_failed(w) ? NULL : join(w, publisher_of(operation(w)->event)));
    end_sleepers(sleeper);
    return published && !notified;
}

/* ... and beside a sleeper whose recheck is after 5 ms: it finds what was published, without being
 * woken. */
static void die_beside_a_light_sleeper(struct crash_world *w, const struct play_point *point)
{
    play_restore(w);
    pid_t sleeper = die_beside_a_sleeper(w, point, SOON);
    crash_check(w, await(has_moved, w, 0), "it looks again, and does not find what is there");
    settle(w, crash_failed(w) ? NULL : join(w, publisher_of(operation(w)->event)));
    end_sleepers(sleeper);
}

/* ---- The waiter dies ------------------------------------------------------------------------- */

/*
 * Start a helper that publishes when the victim sleeps. In an mpmc queue the helper first starts a
 * sleeper behind the victim, so that the victim is woken first. The helper then stays, because that
 * sleeper dies with its parent. It has a process group of its own; as a subreaper, this process
 * waits for the sleeper that the helper leaves behind.
 */
static pid_t start_helper(struct crash_world *w, pid_t victim)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const pid_t parent = getpid(), pid = fork();

    if (pid != 0) {
        setpgid(pid, pid);
        return pid;
    }
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    shmring_t *q = join(w, publisher_of(operation(w)->event));
    while (!is_asleep(w, victim))
        pause_a_little();
    if (is_mpmc(w))
        put_to_sleep(w, LATER);
    /* Publish again if the other sleeper was first, by its recheck, and has taken the message or
     * the room. */
    for (; q && !crash_failed(w); pause_a_little())
        if (own(w)->moved >= book(w)->published && is_asleep(w, victim)) {
            book(w)->helped++;
            publish_one(w, q);
        }
    kill(victim, SIGKILL); /* no process will wake it any more */
    for (;;)
        pause();
}

static bool has_helped(struct crash_world *w, pid_t unused)
{
    (void)unused;
    return book(w)->published >= book(w)->helped;
}

/* The victim had received what was published, or the other process has it. */
static bool is_not_forgotten(struct crash_world *w, pid_t unused)
{
    const uint64_t *had = (const void *)w->shared->seat[CRASH_VICTIM].witness;

    if (has_moved(w, unused) || is_broadcast(w)) /* broadcast: another one has to get it, too */
        return has_moved(w, unused);
    return operation(w)->event == SHMRING_READABLE ? had[0] >= TESTERS && had[0] < END
                                                   : count() == fill_count;
}

/* STOLEN: another participant was notified by descriptor, and is stopped before it sees that. */
static void start_scene(struct crash_world *w, pid_t *sleeper, shmring_t **q)
{
    play_restore(w);
    if (is_broadcast(w) && w->state->id == IS_NOTIFIED)
        *sleeper = put_all_to_sleep(w, AN_HOUR);
    if (w->state->id != STOLEN)
        return;
    *sleeper = put_to_sleep(w, SOON);
    kill(*sleeper, SIGSTOP);
    waitpid(*sleeper, NULL, WUNTRACED);
    *q = join(w, publisher_of(operation(w)->event));
    publish_one(w, *q);
}

static void waiter_dies(struct crash_world *w, const struct play_point *point)
{
    pid_t victim, helper = 0, sleeper = 0;
    shmring_t *q = NULL;

    start_scene(w, &sleeper, &q);
    victim = play_start(w, w->operation, CRASH_VICTIM);
    if (!crash_check(w, victim != 0, "the operation is not possible this time"))
        return;
    if (w->state->id == IS_NOTIFIED)
        helper = start_helper(w, victim);
    play_advance(w, victim, CRASH_VICTIM, point);
    step_kill(victim);
    totals.deaths++;
    if (w->state->id == STOLEN) {
        kill(sleeper, SIGCONT);
        crash_check(w, await(has_moved, w, 0), "the dead took the ring of another, for ever");
    } else if (!book(w)->helped) {
        end_group(helper);
        helper = 0;
        if (sleeper == 0)
            sleeper = put_all_to_sleep(w, AN_HOUR);
        q = join(w, publisher_of(operation(w)->event));
        if (!crash_failed(w))
            publish_one(w, q);
        crash_check(w, await(has_moved, w, 0), "another one sleeps, and is not woken");
    } else {
        if (sleeper == 0 && !is_mpmc(w))
            sleeper = start_sleeper(w, AN_HOUR);
        crash_check(w, await(has_helped, w, 0), "the helper is stuck");
        crash_check(w, await(is_not_forgotten, w, 0), "what came is forgotten with the dead");
    }
    if (!q && !crash_failed(w)) {
        if (!is_mpmc(w)) /* the helper has the role */
            end_group(helper), helper = 0;
        q = join(w, publisher_of(operation(w)->event));
    }
    settle(w, q);
    end_sleepers(sleeper);
    end_group(helper);
}

/* ---- Cases ----------------------------------------------------------------------------------- */

static bool skip(const struct play_points *points, size_t i)
{
    return !options.all && !points->at[i].matters && i % (points->count / OF_THE_OTHERS + 1) != 0;
}

static void find_points(struct crash_world *w, struct play_points *points)
{
    pid_t helper = 0, sleeper = 0, victim;
    shmring_t *q = NULL;

    start_scene(w, &sleeper, &q);
    victim = play_start(w, w->operation, CRASH_VICTIM);
    if (crash_check(w, victim != 0, "the operation is not possible")) {
        if (!operation(w)->waits)
            sleeper = put_all_to_sleep(w, AN_HOUR);
        if (w->state->id == IS_NOTIFIED)
            helper = start_helper(w, victim);
        play_find_points(w, victim, CRASH_VICTIM, points);
        step_kill(victim);
    }
    end_group(helper);
    end_sleepers(sleeper);
    shmring_close(&q);
}

static void one_case(struct crash_world *w)
{
    struct play_points points = {0};
    const unsigned long before = totals.deaths;

    int r = shmring_open_fd(&watcher, w->fd, SHMRING_OBSERVER);
    crash_check(w, r == 0, "observing: %d", r);
    find_points(w, &points);
    const unsigned system_calls = points.count ? points.at[points.count - 1].system_calls : 0;
    crash_check(w, operation(w)->waits || system_calls > 0, "no sleeper is notified");
    for (size_t i = 0; i < points.count && !crash_failed(w); i++) {
        if (skip(&points, i))
            continue;
        if (operation(w)->waits)
            waiter_dies(w, &points.at[i]);
        else if (die_beside_a_heavy_sleeper(w, &points.at[i], system_calls) && !crash_failed(w))
            die_beside_a_light_sleeper(w, &points.at[i]);
        if (crash_failed(w))
            printf("\n%s, %s, %s, killed %u instructions behind system call %u: %s\n",
                   w->kind->name, w->operation->name, w->state->name, points.at[i].steps,
                   points.at[i].system_calls, w->shared->failure);
    }
    if (crash_failed(w) && totals.deaths == before)
        printf("\n%s, %s, %s: %s\n", w->kind->name, w->operation->name, w->state->name,
               w->shared->failure);
    totals.cases++;
    totals.failed += crash_failed(w);
    printf(" %8lu", totals.deaths - before);
    fflush(stdout);
    free(points.at);
    shmring_close(&watcher);
}

static void every_case(const struct crash_kind *kind)
{
    printf("Deaths tried in each operation (rows) and state (columns)\n%-16s", kind->name);
    for (int s = 0; s < STATES; s++)
        printf(" %8.8s", states[s].name);
    for (size_t o = 0; o < sizeof operations / sizeof operations[0]; o++) {
        if (!chosen(options.operation, operations[o].base.name))
            continue;
        printf("\n%-16s", operations[o].base.name);
        for (int s = 0; s < STATES; s++) {
            struct crash_world w;
            if (!chosen(options.state, states[s].name) ||
                !is_case(&operations[o], s, kind->config.kind)) {
                printf(" %8s", "-");
                continue;
            }
            prepared = &operations[o];
            play_open(&w, kind, &states[s]);
            w.operation = &operations[o].base;
            one_case(&w);
            play_close(&w);
        }
    }
    printf("\n");
}

static const struct crash_kind kinds[] = {
    {.name = "spsc",
     .config = {.kind = SHMRING_SPSC, .capacity = 4096},
     .prepare = prepare,
     .attach = attach,
     .carry_on = carry_on},
    {.name = "mpmc",
     .config = {.kind = SHMRING_MPMC, .capacity = 8, .max_message = 8, .max_participants = 8},
     .prepare = prepare,
     .attach = attach,
     .carry_on = carry_on},
    {.name = "broadcast",
     .config = {.kind = SHMRING_BROADCAST, .capacity = 4096, .max_participants = 8},
     .prepare = prepare,
     .attach = attach,
     .carry_on = carry_on},
};

int main(int argc, char **argv)
{
    program_begin(argc, argv, "[--all]");
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        every_case(&kinds[k]);
    printf("%lu deaths\n", totals.deaths);
    return program_end(totals.cases, totals.failed, 0);
}
