/* SPDX-License-Identifier: MIT */
/*
 * waits [--all] [OPERATION [STATE]]: a process is killed at each instruction
 *   - of a call that publishes a message, or room, while another one sleeps that waits for it;
 *   - of a call that waits, or arms a descriptor or a futex.
 * Whoever lives on must wake: at once where it was rung for or will be, and by its own timed look
 * where the dead had published and not rung. For that a sleeper either looks again after an hour,
 * which no run waits for, or every 5 ms.
 *   --all    at each instruction; otherwise where something has just changed, and at some others
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/handle.h"
#include "../../lib/recovery.h"
#include "../../lib/wait.h"
#include "play.h"
#include "step.h"

enum { BATCH = 3, AN_HOUR = 3600000, SOON = 5, LATER = 20, LIMIT_SECONDS = 30, OF_THE_OTHERS = 8 };
#define BOTH (SHMRING_PRODUCER | SHMRING_CONSUMER)

/* Messages are numbers. */
enum {
    PREFILLED = 0,  /* and on: in a full queue */
    VICTIMS = 1000, /* and on: of the process that dies */
    SLEEPERS = 1100,
    TESTERS = 1800, /* and on */
    END = 1900,
    NUMBERS
};

enum { BY_FUTEX, BY_DESCRIPTOR, UNFENCED, TIMES_OUT, IS_RUNG, STOLEN, STATES };
static const struct crash_state states[STATES] = {
    {"by futex", BY_FUTEX, 0},           /* somebody sleeps so */
    {"by descriptor", BY_DESCRIPTOR, 0}, /* likewise */
    {"unfenced", UNFENCED, 0},           /* as the first, and who publishes does not fence */
    {"times out", TIMES_OUT, 0},         /* nothing comes while the process waits */
    {"is rung", IS_RUNG, 0},             /* something comes when it sleeps, and only it wakes */
    {"stolen", STOLEN, 0},               /* another was rung by descriptor, and is stopped */
};

struct operation {
    struct crash_operation base;
    unsigned event; /* that it brings about, or waits for */
    bool waits;
    bool mpmc_only;
    bool sleeps; /* it returns only when the event is there, or the time is over */
};

/* Shared by all processes. */
struct book {
    volatile unsigned moved;  /* messages, by the sleeper */
    volatile bool finished;   /* the sleeper */
    volatile bool stop;       /* what the sleeper is told */
    volatile unsigned helped; /* so often something came for the victim */
    volatile unsigned published;
    volatile pid_t asleep;    /* the helper's child */
    volatile uint8_t got[NUMBERS];
};

static struct {
    bool all;
    const char *operation, *state;
} options;

static struct {
    unsigned long deaths, cases, failed;
} totals;

static long run_fd_arm(struct crash_world *w);

static shmring_t *mine;                  /* of the process that dies */
static shmring_t *watcher;               /* of the tester: an observer */
static const struct operation *prepared; /* what the state is for */
static unsigned fill_count;              /* messages in a full queue */
static const void *held;
static void *reservation;

/* ---- Common ---------------------------------------------------------------------------------- */

static struct book *book(struct crash_world *w)
{
    _Static_assert(sizeof(struct book) <= sizeof w->shared->book, "too big");
    return (void *)w->shared->book;
}

static const struct operation *operation(const struct crash_world *w)
{
    return (const struct operation *)(const void *)w->operation;
}

static bool is_mpmc(const struct crash_world *w)
{
    return w->kind->config.kind == SHMRING_MPMC;
}

static bool by_descriptor(const struct crash_world *w)
{
    return w->state->id == BY_DESCRIPTOR || w->state->id == STOLEN;
}

static bool uses_descriptor(const struct crash_world *w)
{
    return by_descriptor(w) || w->operation->run == run_fd_arm;
}

/* Who publishes the event, and who waits for it. */
static unsigned publisher_of(unsigned event)
{
    return event == SHMRING_READABLE ? SHMRING_PRODUCER : SHMRING_CONSUMER;
}

static shmring_t *join(struct crash_world *w, unsigned role)
{
    shmring_t *q = NULL;
    int r = shmring_open_fd(&q, w->fd, is_mpmc(w) && role != SHMRING_OBSERVER ? role | BOTH : role);

    if (!crash_check(w, r == 0, "attaching: %d, %s", r, shmring_strerror_detail()))
        return NULL;
    q->mpmc.queue.pauses = q->producer.pauses = q->consumer.pauses =
        1; /* to fall back is only to wait */
    return q;
}

static void patience(shmring_t *q, uint32_t recheck_ms)
{
    const struct shmring_waiting w = {.recheck_ms = recheck_ms};

    shmring_set_waiting(q, &w);
}

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

/* Until it is so. False: for far longer than anything takes here it was not. */
static bool await(bool (*is_so)(struct crash_world *w, pid_t pid), struct crash_world *w, pid_t pid)
{
    const time_t limit = time(NULL) + LIMIT_SECONDS;

    while (!is_so(w, pid)) {
        if (crash_failed(w) || time(NULL) > limit)
            return false;
        pause_a_little();
    }
    return true;
}

static bool is_asleep(struct crash_world *w, pid_t pid)
{
    char path[64], state = 0;
    long call = -1;
    FILE *f;

    (void)w;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if ((f = fopen(path, "re")) != NULL) {
        if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        fclose(f);
    }
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    if (state == 'S' && (f = fopen(path, "re")) != NULL) {
        if (fscanf(f, "%ld", &call) != 1)
            call = -1;
        fclose(f);
    }
#if defined SYS_poll
    if (call == SYS_poll)
        return true;
#endif
    return call == SYS_futex || call == SYS_ppoll;
}

static bool has_moved(struct crash_world *w, pid_t unused)
{
    (void)unused;
    return book(w)->moved > 0;
}

static bool has_moved_all(struct crash_world *w, pid_t unused)
{
    (void)unused;
    return book(w)->moved >=
           (operation(w)->event == SHMRING_READABLE ? (unsigned)w->operation->most : 1);
}

static bool send_number(struct crash_world *w, shmring_t *q, uint64_t number)
{
    int r = shmring_send(q, &number, sizeof number);

    return crash_check(w, r == 0, "sending: %d", r);
}

static void note(struct crash_world *w, uint64_t number)
{
    if (crash_check(w, number < NUMBERS, "a message that nobody sent"))
        crash_check(w, ++book(w)->got[number] == 1, "message %" PRIu64 " comes twice", number);
}

static int count_one(void *count, const struct shmring_message *m)
{
    (void)m;
    ++*(unsigned *)count;
    return 0;
}

/* Messages in the queue, taken and not released ones as well. */
static unsigned count(void)
{
    unsigned n = 0;

    shmring_dump(watcher, count_one, &n);
    return n;
}

static void end_process(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

/* It and whom it started: gone, so that none of them is still woken in another's place. */
static void end_group(pid_t leader)
{
    if (leader > 0) {
        kill(-leader, SIGKILL);
        while (waitpid(-leader, NULL, 0) > 0)
            ;
    }
}

/* ---- One who lives on ------------------------------------------------------------------------ */

static void wait_by_descriptor(struct crash_world *w, shmring_t *q, unsigned event)
{
    struct pollfd p = {.fd = shmring_fd(q, event), .events = POLLIN};
    int r = shmring_fd_arm(q, event);

    crash_check(w, p.fd >= 0 && (r == 0 || r == 1), "arming: %d, %s", r, shmring_strerror_detail());
    if (r == 0)
        poll(&p, 1, -1);
}

static bool receive_one(struct crash_world *w, shmring_t *q)
{
    uint64_t number = 0;
    ssize_t r = by_descriptor(w) ? shmring_recv(q, &number, sizeof number)
                                 : shmring_recv_wait(q, &number, sizeof number, NULL);

    if (r == -EAGAIN) {
        wait_by_descriptor(w, q, SHMRING_READABLE);
        return false;
    }
    crash_check(w, r == sizeof number, "receiving: %zd", r);
    note(w, number);
    book(w)->moved++;
    return number == END;
}

static bool send_one(struct crash_world *w, shmring_t *q)
{
    const uint64_t number = SLEEPERS + book(w)->moved;
    int r = by_descriptor(w) ? shmring_send(q, &number, sizeof number)
                             : shmring_send_wait(q, &number, sizeof number, NULL);

    if (r == -EAGAIN) {
        wait_by_descriptor(w, q, SHMRING_WRITABLE);
        return false;
    }
    crash_check(w, r == 0 && number < TESTERS, "sending: %d", r);
    book(w)->moved++;
    return book(w)->stop;
}

/* Waits for the event, again and again, until the last message or until it is told to stop. */
static pid_t start_sleeper(struct crash_world *w, uint32_t recheck_ms)
{
    const unsigned event = operation(w)->event;
    const pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    shmring_t *q = join(w, event == SHMRING_READABLE ? SHMRING_CONSUMER : SHMRING_PRODUCER);
    if (!q)
        _exit(1);
    patience(q, recheck_ms);
    while (!crash_failed(w) && !(event == SHMRING_READABLE ? receive_one(w, q) : send_one(w, q)))
        continue;
    shmring_close(&q);
    book(w)->finished = true;
    _exit(0);
}

static pid_t put_to_sleep(struct crash_world *w, uint32_t recheck_ms)
{
    const pid_t pid = start_sleeper(w, recheck_ms);

    crash_check(w, await(is_asleep, w, pid), "it does not sleep");
    return pid;
}

/* One message, or room for one. */
static void publish_one(struct crash_world *w, shmring_t *q)
{
    uint64_t number;

    if (operation(w)->event == SHMRING_READABLE) {
        send_number(w, q, TESTERS + book(w)->published);
    } else {
        ssize_t r = shmring_recv(q, &number, sizeof number);
        if (crash_check(w, r == sizeof number, "receiving: %zd", r))
            note(w, number);
    }
    book(w)->published++;
}

/* All there is; what the dead held comes as well. */
static void drain(struct crash_world *w, shmring_t *q)
{
    uint64_t number;

    if (is_mpmc(w))
        shmring_recover(q, NULL);
    while (!crash_failed(w) && shmring_recv(q, &number, sizeof number) == sizeof number)
        note(w, number);
}

/* The sleeper is rung for once more, and ends. */
static void finish_sleeper(struct crash_world *w, shmring_t *q)
{
    if (crash_failed(w) || !q)
        return;
    book(w)->stop = true;
    if (operation(w)->event == SHMRING_READABLE)
        send_number(w, q, END);
    for (const time_t limit = time(NULL) + LIMIT_SECONDS;
         !book(w)->finished && !crash_failed(w) && time(NULL) <= limit; pause_a_little())
        if (operation(w)->event == SHMRING_WRITABLE)
            drain(w, q);
    crash_check(w, book(w)->finished, "the sleeper is not woken by who comes after the dead");
}

/* ---- The process that dies ------------------------------------------------------------------- */

static uint64_t *witness(struct crash_world *w)
{
    return (void *)w->seat->witness;
}

static void attach(struct crash_world *w)
{
    const bool unfenced = w->state->id == UNFENCED;

    mine = join(w, w->operation->role | (unfenced ? SHMRING_ASYMMETRIC_FENCE : 0));
    if (!mine)
        return;
    patience(mine, AN_HOUR);
    if (is_mpmc(w)) /* nobody looks for the dead in the next 50 ms */
        atomic_store(&mine->mpmc.queue.tail_page->swept, shmr_coarse_now());
}

static void carry_on(struct crash_world *w)
{
    (void)w;
}

static bool ready_to_commit(struct crash_world *w)
{
    const uint64_t number = VICTIMS;
    int r = shmring_reserve(mine, sizeof number, &reservation);

    crash_check(w, r == 0, "reserve: %d", r);
    memcpy(reservation, &number, sizeof number);
    return true;
}

/* The queue is full of one message less, and this. */
static bool ready_to_cancel(struct crash_world *w)
{
    int r = shmring_reserve(mine, sizeof(uint64_t), &reservation);

    return crash_check(w, r == 0, "reserve: %d", r);
}

static bool ready_to_release(struct crash_world *w)
{
    ssize_t r = shmring_peek(mine, &held, NULL);

    return crash_check(w, r == sizeof(uint64_t), "peek: %zd", r);
}

static bool ready_to_arm(struct crash_world *w)
{
    return crash_check(w, shmring_fd(mine, operation(w)->event) >= 0, "no descriptor");
}

static long run_send(struct crash_world *w)
{
    const uint64_t number = VICTIMS;

    (void)w;
    return shmring_send(mine, &number, sizeof number);
}

static long run_send_batch(struct crash_world *w)
{
    uint64_t number[BATCH];
    struct iovec msgs[BATCH];

    (void)w;
    for (unsigned i = 0; i < BATCH; i++) {
        number[i] = VICTIMS + i;
        msgs[i] = (struct iovec){&number[i], sizeof number[i]};
    }
    return shmring_send_batch(mine, msgs, BATCH);
}

static long run_commit(struct crash_world *w)
{
    (void)w;
    return shmring_commit(mine, reservation, sizeof(uint64_t));
}

static long run_cancel(struct crash_world *w)
{
    (void)w;
    return shmring_cancel(mine, reservation);
}

static long run_recv(struct crash_world *w)
{
    return shmring_recv(mine, witness(w), sizeof(uint64_t));
}

static long run_recv_batch(struct crash_world *w)
{
    struct iovec msgs[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        msgs[i] = (struct iovec){&witness(w)[i], sizeof(uint64_t)};
    return shmring_recv_batch(mine, msgs, BATCH);
}

static long run_release(struct crash_world *w)
{
    (void)w;
    return shmring_release(mine, held);
}

/* How long one that waits does so. */
static const struct timespec *limit(const struct crash_world *w)
{
    static const struct timespec moment = {.tv_nsec = 1000000};

    return w->state->id == TIMES_OUT ? &moment : NULL;
}

static long run_recv_wait(struct crash_world *w)
{
    return shmring_recv_wait(mine, witness(w), sizeof(uint64_t), limit(w));
}

static long run_peek_wait(struct crash_world *w)
{
    return shmring_peek_wait(mine, &held, NULL, limit(w));
}

static long run_send_wait(struct crash_world *w)
{
    const uint64_t number = VICTIMS;

    return shmring_send_wait(mine, &number, sizeof number, limit(w));
}

static long run_reserve_wait(struct crash_world *w)
{
    return shmring_reserve_wait(mine, sizeof(uint64_t), &reservation, limit(w));
}

static long run_wait(struct crash_world *w)
{
    return shmring_wait(mine, operation(w)->event, limit(w));
}

static long run_fd_arm(struct crash_world *w)
{
    return shmring_fd_arm(mine, operation(w)->event);
}

static long run_futex_arm(struct crash_world *w)
{
    struct shmring_futex futex;

    return shmring_futex_arm(mine, operation(w)->event, &futex);
}

#define P SHMRING_PRODUCER
#define C SHMRING_CONSUMER
#define R SHMRING_READABLE
#define W SHMRING_WRITABLE
static const struct operation operations[] = {
    {{"send", P, false, 1, NULL, run_send, one_if_zero}, R, false, false, false},
    {{"send_batch", P, false, BATCH, NULL, run_send_batch, the_count}, R, false, false, false},
    {{"commit", P, false, 1, ready_to_commit, run_commit, one_if_zero}, R, false, false, false},
    {{"recv", C, false, 1, NULL, run_recv, one_if_length}, W, false, false, false},
    {{"recv_batch", C, false, BATCH, NULL, run_recv_batch, the_count}, W, false, false, false},
    {{"release", C, false, 1, ready_to_release, run_release, one_if_zero}, W, false, false, false},
    {{"cancel", P, false, 0, ready_to_cancel, run_cancel, none}, W, false, true, false},
    {{"recv_wait", C, false, 1, NULL, run_recv_wait, one_if_length}, R, true, false, true},
    {{"peek_wait", C, false, 0, NULL, run_peek_wait, none}, R, true, false, true},
    {{"wait readable", C, false, 0, NULL, run_wait, none}, R, true, false, true},
    {{"send_wait", P, false, 1, NULL, run_send_wait, one_if_zero}, W, true, false, true},
    {{"reserve_wait", P, false, 0, NULL, run_reserve_wait, none}, W, true, false, true},
    {{"wait writable", P, false, 0, NULL, run_wait, none}, W, true, false, true},
    {{"futex_arm", C, false, 0, NULL, run_futex_arm, none}, R, true, false, false},
    {{"fd_arm", C, false, 0, ready_to_arm, run_fd_arm, none}, R, true, false, false},
    {{"fd_arm writable", P, false, 0, ready_to_arm, run_fd_arm, none}, W, true, false, false},
};
#undef P
#undef C
#undef R
#undef W

/* What makes sense together. */
static bool is_case(const struct operation *o, int state, bool mpmc)
{
    if (o->mpmc_only && !mpmc)
        return false;
    switch (state) {
    case BY_FUTEX:
    case BY_DESCRIPTOR:
        return !o->waits;
    case UNFENCED:
        return !o->waits && (o->base.run == run_send || o->base.run == run_recv);
    case TIMES_OUT:
        return o->waits;
    case IS_RUNG:
        return o->sleeps;
    default:
        return o->base.run == run_fd_arm && o->event == SHMRING_READABLE && mpmc;
    }
}

/* ---- States ---------------------------------------------------------------------------------- */

static unsigned fill(shmring_t *q)
{
    uint64_t number = PREFILLED;

    while (shmring_send(q, &number, sizeof number) == 0)
        number++;
    return (unsigned)number;
}

static void empty(shmring_t *q)
{
    uint64_t number;

    while (shmring_recv(q, &number, sizeof number) > 0)
        continue;
}

/*
 * Empty, or full (but for the reservation that is cancelled). Somebody has slept there before: the
 * first sleep of all is a short one.
 */
static void prepare(struct crash_world *w)
{
    struct shmring_futex futex;
    shmring_t *q = join(w, BOTH);

    if (!q)
        return;
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

/* ---- Who publishes dies ---------------------------------------------------------------------- */

/* Nothing that was in the queue, or that the dead had published, is gone without having been had.
 */
static void check_nothing_lost(struct crash_world *w)
{
    const struct crash_seat *dead = &w->shared->seat[CRASH_VICTIM];
    const uint64_t *had = (const void *)dead->witness;
    const struct book *b = book(w);
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
    if (q)
        drain(w, q);
    if (q && uses_descriptor(w)) /* the last one to close removes the doorbells */
        shmring_fd(q, SHMRING_READABLE);
    shmring_close(&q);
    if (!crash_failed(w))
        check_nothing_lost(w);
}

/* One is about to publish, another one sleeps, and the first dies. Returns the sleeper. */
static pid_t die_beside_a_sleeper(struct crash_world *w, const struct play_point *point,
                                  uint32_t recheck_ms)
{
    pid_t victim = play_start(w, w->operation, CRASH_VICTIM), sleeper;

    if (!crash_check(w, victim != 0, "the operation is not possible this time"))
        return 0;
    sleeper = put_to_sleep(w, recheck_ms);
    play_advance(w, victim, CRASH_VICTIM, point);
    step_kill(victim);
    totals.deaths++;
    return sleeper;
}

static bool is_announced(struct crash_world *w)
{
    const struct shmr_bells *bells = watcher->map.bells;
    const struct shmr_bell *bell =
        operation(w)->event == SHMRING_READABLE ? &bells->readable : &bells->writable;

    return atomic_load(&bell->word) & (by_descriptor(w) ? SHMR_BELL_POLLED : SHMR_BELL_ASLEEP);
}

/*
 * One death, with a sleeper that looks again after an hour. Published, and rung by all system calls
 * of the whole operation: it wakes. Not rung: the successor does. Between the two nobody will: what
 * then remains is for the sleeper's timed look. Returns whether that has something to find.
 */
static bool die_beside_a_heavy_sleeper(struct crash_world *w, const struct play_point *point,
                                       unsigned system_calls)
{
    const bool rung = point->system_calls >= system_calls;
    bool published = true;

    play_restore(w);
    const unsigned before = count();
    pid_t sleeper = die_beside_a_sleeper(w, point, AN_HOUR);
    if (rung) {
        crash_check(w, await(has_moved_all, w, 0), "it was rung for, and does not wake");
    } else {
        published = count() != before || !is_announced(w);
        if (!is_announced(w)) {
            end_process(sleeper);
            return true;
        }
    }
    settle(w, crash_failed(w) ? NULL : join(w, publisher_of(operation(w)->event)));
    end_process(sleeper);
    return published && !rung;
}

/* ... and with one that looks soon: it finds what is there, and nobody rings. */
static void die_beside_a_light_sleeper(struct crash_world *w, const struct play_point *point)
{
    play_restore(w);
    pid_t sleeper = die_beside_a_sleeper(w, point, SOON);
    crash_check(w, await(has_moved, w, 0), "it looks again, and does not find what is there");
    settle(w, crash_failed(w) ? NULL : join(w, publisher_of(operation(w)->event)));
    end_process(sleeper);
}

/* ---- Who waits dies -------------------------------------------------------------------------- */

/*
 * When the victim sleeps, something comes, and it is the first to be woken: mpmc: another one has
 * gone to sleep behind it. Then stay, for that one dies with its parent. A group of its own, and whom it
 * leaves behind is waited for here.
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
    if (is_mpmc(w)) {
        book(w)->asleep = start_sleeper(w, LATER);
        crash_check(w, await(is_asleep, w, book(w)->asleep), "it does not sleep");
    }
    /* Once more, when the other one was there first by its own look, and has taken it. */
    for (; q && !crash_failed(w); pause_a_little())
        if (book(w)->moved >= book(w)->published && is_asleep(w, victim)) {
            book(w)->helped++;
            publish_one(w, q);
        }
    for (;;)
        pause();
}

/*
 * The one it put to sleep as well. That one dies with its parent, but only when it comes to run, and
 * sleeps until then: somebody's ring would wake it, and nobody else.
 */
static void end_helper(struct crash_world *w, pid_t helper)
{
    end_process(helper);
    if (helper > 0)
        end_process(book(w)->asleep);
}

static bool has_helped(struct crash_world *w, pid_t unused)
{
    (void)unused;
    return book(w)->published >= book(w)->helped;
}

/* What came was for the victim, or is the other's. */
static bool is_not_forgotten(struct crash_world *w, pid_t unused)
{
    const uint64_t *had = (const void *)w->shared->seat[CRASH_VICTIM].witness;

    return has_moved(w, unused) ||
           (operation(w)->event == SHMRING_READABLE ? had[0] >= TESTERS && had[0] < END
                                                    : count() == fill_count);
}

/* stolen: another one has been rung by descriptor, and stands still before it sees that. */
static void start_scene(struct crash_world *w, pid_t *sleeper, shmring_t **q)
{
    play_restore(w);
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
    if (w->state->id == IS_RUNG)
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
        sleeper = put_to_sleep(w, AN_HOUR);
        q = join(w, publisher_of(operation(w)->event));
        if (!crash_failed(w))
            publish_one(w, q);
        crash_check(w, await(has_moved, w, 0), "another one sleeps, and is not woken");
    } else {
        if (!is_mpmc(w))
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
    end_process(sleeper);
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
            sleeper = put_to_sleep(w, AN_HOUR);
        if (w->state->id == IS_RUNG)
            helper = start_helper(w, victim);
        play_find_points(w, victim, CRASH_VICTIM, points);
        step_kill(victim);
    }
    end_helper(w, helper);
    end_process(sleeper);
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
    crash_check(w, operation(w)->waits || system_calls > 0, "nobody is rung for");
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

static bool chosen(const char *option, const char *name)
{
    return !option || strcmp(option, name) == 0;
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
                !is_case(&operations[o], s, kind->config.kind == SHMRING_MPMC)) {
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
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--all") == 0) {
        options.all = true;
        argv++;
        argc--;
    }
    if (argc > 1)
        options.operation = argv[1];
    if (argc > 2)
        options.state = argv[2];
    if (!step_possible()) {
        printf("SKIP: " STEP_IMPOSSIBLE "\n");
        return 77;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* for whom a helper leaves behind */
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        every_case(&kinds[k]);
    printf("%lu deaths\n", totals.deaths);
    printf("[====] Synthesis: Tested: %lu | Passing: %lu | Failing: %lu | Crashing: 0\n",
           totals.cases, totals.cases - totals.failed, totals.failed);
    return totals.failed != 0;
}
