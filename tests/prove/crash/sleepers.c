/* SPDX-License-Identifier: MIT */
/* The survivors beside a process that dies: one sleeps, and notes the messages that it receives or
 * sends. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/recovery.h"
#include "waits.h"

shmring_t *watcher;

static int whose = FIRST; /* in a sleeper: which it is */

/* ---- What they share ------------------------------------------------------------------------- */

struct book *book(struct crash_world *w)
{
    _Static_assert(sizeof(struct book) <= sizeof w->shared->book, "too big");
    return (void *)w->shared->book;
}

struct sleeper *own(struct crash_world *w)
{
    return &book(w)->sleeper[whose];
}

bool have_all_moved(struct crash_world *w, unsigned messages)
{
    const struct book *b = book(w);

    return b->sleeper[FIRST].moved >= messages &&
           (!b->companion || b->sleeper[COMPANION].moved >= messages);
}

bool have_all_finished(struct crash_world *w)
{
    const struct book *b = book(w);

    return b->sleeper[FIRST].finished && (!b->companion || b->sleeper[COMPANION].finished);
}

const struct operation *operation(const struct crash_world *w)
{
    return (const struct operation *)(const void *)w->operation;
}

bool is_mpmc(const struct crash_world *w)
{
    return w->kind->config.kind == SHMRING_MPMC;
}

bool is_broadcast(const struct crash_world *w)
{
    return w->kind->config.kind == SHMRING_BROADCAST;
}

bool by_descriptor(const struct crash_world *w)
{
    return w->state->id == BY_DESCRIPTOR || w->state->id == STOLEN;
}

/* Each participant of an mpmc queue has both roles; broadcast: a consumer is reliable, and begins
 * with all that was sent before. */
static unsigned flags_for(const struct crash_world *w, unsigned role)
{
    if (is_mpmc(w) && role != SHMRING_OBSERVER)
        return role | BOTH;
    if (is_broadcast(w) && role & SHMRING_CONSUMER)
        return role | SHMRING_RELIABLE | SHMRING_FROM_OLDEST;
    return role;
}

shmring_t *join(struct crash_world *w, unsigned role)
{
    shmring_t *q = NULL;
    int r = shmring_open_fd(&q, w->fd, flags_for(w, role));

    if (!crash_check(w, r == 0, "attaching: %d, %s", r, shmring_strerror_detail()))
        return NULL;
    if (q->sending)
        q->sending->pauses = 1; /* a long back-off would only wait */
    if (q->receiving)
        q->receiving->pauses = 1;
    return q;
}

void patience(shmring_t *q, uint32_t recheck_ms)
{
    const struct shmring_waiting w = {.recheck_ms = recheck_ms};

    shmring_set_waiting(q, &w);
}

void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

bool await(bool (*is_so)(struct crash_world *w, pid_t pid), struct crash_world *w, pid_t pid)
{
    const time_t limit = time(NULL) + LIMIT_SECONDS;

    while (!is_so(w, pid)) {
        if (crash_failed(w) || time(NULL) > limit)
            return false;
        pause_a_little();
    }
    return true;
}

bool is_asleep(struct crash_world *w, pid_t pid)
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

bool send_number(struct crash_world *w, shmring_t *q, uint64_t number)
{
    int r = shmring_send(q, &number, sizeof number);

    return crash_check(w, r == 0, "sending: %d", r);
}

void note(struct crash_world *w, uint64_t number)
{
    if (crash_check(w, number < NUMBERS, "a message that no process sent"))
        crash_check(w, ++own(w)->got[number] == 1, "message %" PRIu64 " comes twice", number);
}

unsigned fill(shmring_t *q)
{
    uint64_t number = PREFILLED;

    while (shmring_send(q, &number, sizeof number) == 0)
        number++;
    return (unsigned)number;
}

static int count_one(void *count, const struct shmring_message *m)
{
    (void)m;
    ++*(unsigned *)count;
    return 0;
}

unsigned count(void)
{
    unsigned n = 0;

    shmring_dump(watcher, count_one, &n);
    return n;
}

void end_process(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

/* ---- The survivor ---------------------------------------------------------------------------- */

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
    own(w)->moved++;
    return number == END;
}

static bool send_one(struct crash_world *w, shmring_t *q)
{
    const uint64_t number = SLEEPERS + own(w)->moved;
    int r = by_descriptor(w) ? shmring_send(q, &number, sizeof number)
                             : shmring_send_wait(q, &number, sizeof number, NULL);

    if (r == -EAGAIN) {
        wait_by_descriptor(w, q, SHMRING_WRITABLE);
        return false;
    }
    crash_check(w, r == 0 && number < TESTERS, "sending: %d", r);
    own(w)->moved++;
    while (is_broadcast(w) && !book(w)->stop) /* if the dead was struck off, nothing holds it up */
        pause_a_little();
    return book(w)->stop;
}

pid_t start_sleeper(struct crash_world *w, uint32_t recheck_ms)
{
    const unsigned event = operation(w)->event;
    const pid_t parent = getpid(), pid = fork();
    unsigned moved = own(w)->moved;

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    shmring_t *q = join(w, event == SHMRING_READABLE ? SHMRING_CONSUMER : SHMRING_PRODUCER);
    if (!q)
        _exit(1);
    patience(q, recheck_ms);
    /* A broadcast producer that is held up sleeps for at most 50 ms, until its next lock test. */
    if (is_broadcast(w) && q->sending && recheck_ms == AN_HOUR)
        q->broadcast.producer.tested = INT64_MAX / 2;
    while (!crash_failed(w) && !(event == SHMRING_READABLE ? receive_one(w, q) : send_one(w, q)))
        /* The sleeper was first, perhaps by its recheck, and before a process that is stepped.
         * Double the recheck time, so that the stepped process can be first. */
        if (own(w)->moved > moved && recheck_ms < SELDOM) {
            moved = own(w)->moved;
            patience(q, recheck_ms *= 2);
        }
    shmring_close(&q);
    own(w)->finished = true;
    _exit(0);
}

pid_t put_to_sleep(struct crash_world *w, uint32_t recheck_ms)
{
    const pid_t pid = start_sleeper(w, recheck_ms);

    crash_check(w, await(is_asleep, w, pid), "it does not sleep");
    return pid;
}

pid_t put_companion_to_sleep(struct crash_world *w, uint32_t recheck_ms)
{
    whose = COMPANION; /* inherited */
    const pid_t pid = put_to_sleep(w, recheck_ms);

    whose = FIRST;
    book(w)->companion = true;
    return pid;
}

void publish_one(struct crash_world *w, shmring_t *q)
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

void drain(struct crash_world *w, shmring_t *q)
{
    uint64_t number;

    if (is_mpmc(w))
        shmring_recover(q, NULL);
    while (!crash_failed(w) && shmring_recv(q, &number, sizeof number) == sizeof number)
        note(w, number);
}

void finish_sleeper(struct crash_world *w, shmring_t *q)
{
    if (crash_failed(w) || !q)
        return;
    book(w)->stop = true;
    if (operation(w)->event == SHMRING_READABLE)
        send_number(w, q, END);
    for (const time_t limit = time(NULL) + LIMIT_SECONDS;
         !have_all_finished(w) && !crash_failed(w) && time(NULL) <= limit; pause_a_little())
        if (operation(w)->event == SHMRING_WRITABLE)
            drain(w, q);
    crash_check(w, have_all_finished(w), "the successor of the dead does not wake the sleeper");
}
