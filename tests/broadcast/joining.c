/* SPDX-License-Identifier: MIT */
/*
 * A process stops while it becomes a reliable consumer: after each change that it makes to its row,
 * one after the other. Either the producer goes on, or other processes see whom it waits for.
 */
#include <config.h>

#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pages.h"
#include "queue.h"

/* More than two rings. */
enum { MESSAGES = 2 * CAST_RING / CAST_RECORD + 20 };

static char name[TEST_NAME_SIZE];
static const struct timespec long_time = {.tv_sec = 60};

/* ---- The process that is stopped ------------------------------------------------------------- */

static void receive(shmring_t *q, uint64_t *number, uint64_t end)
{
    uint8_t buf[CAST_LEN];

    for (; *number < end; ++*number) {
        child_assert(shmring_recv_wait(q, buf, sizeof buf, &long_time) == CAST_LEN);
        child_assert(cast_is(*number, buf, CAST_LEN));
    }
}

/* Join, and receive MESSAGES at least. */
static int consume(void *joined)
{
    const int *ends = joined;
    struct shmring_info info;
    const void *msg;
    shmring_t *q;

    child_assert(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER | SHMRING_RELIABLE) == 0);
    test_tell(ends[1]);
    child_assert(shmring_peek_wait(q, &msg, &info, &long_time) == CAST_LEN);
    child_assert(shmring_release(q, msg) == 0);
    uint64_t number = info.number + 1;
    receive(q, &number, info.number + MESSAGES);
    child_assert(cast_missed(q) == 0);
    shmring_close(&q);
    return 0;
}

static void await_stop(pid_t child, int signo)
{
    int status;

    cr_assert_eq(waitpid(child, &status, WUNTRACED), child);
    cr_assert(WIFSTOPPED(status) && WSTOPSIG(status) == signo, "status %#x", (unsigned)status);
}

static bool has_joined(const int *joined)
{
    struct pollfd p = {.fd = joined[0], .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* Run the child by instructions until it has changed the row that often, and stop it there. False:
 * it has joined before. */
static bool stop_after(pid_t child, const int *joined, const struct shmr_row *row, int changes)
{
    struct shmr_row last;

    await_stop(child, SIGSTOP);
    memcpy(&last, row, sizeof last);
    for (int made = 0; made < changes && !has_joined(joined);) {
        cr_assert_eq(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        await_stop(child, SIGTRAP);
        made += memcmp(&last, row, sizeof last) != 0;
        memcpy(&last, row, sizeof last);
    }
    cr_assert_eq(ptrace(PTRACE_DETACH, child, NULL, (void *)(uintptr_t)SIGSTOP), 0);
    if (has_joined(joined))
        return false;
    await_stop(child, SIGSTOP);
    return true;
}

/* ---- The others ------------------------------------------------------------------------------ */

static void send_some(shmring_t *q, uint64_t *number)
{
    uint8_t bytes[CAST_LEN];

    for (const uint64_t end = *number + MESSAGES; *number < end; ++*number) {
        cast_fill(*number, bytes, sizeof bytes);
        const int r = shmring_send_wait(q, bytes, sizeof bytes, &long_time);
        cr_assert_eq(r, 0, "message %d: %s", (int)*number, shmring_strerror_detail());
    }
}

/* Do other processes see that the child is a reliable consumer? */
static bool is_seen(shmring_t *q, pid_t child)
{
    struct shmring_participant rows[2];
    const int n = shmring_participants(q, rows, 2);

    return n == 2 && rows[1].pid == (uint32_t)child && rows[1].alive == 1 &&
           rows[1].flags == SHMRING_RELIABLE;
}

/* False: it had joined before it had made `changes` changes. *seen, *unseen: how often peers saw a
 * stopped process, or did not. */
static bool try_stop(shmring_t *q, const struct shmr_row *row, int changes, uint64_t *number,
                     int *seen, int *unseen)
{
    int joined[2];

    test_pipe(joined);
    const pid_t child = test_fork(consume, joined);
    const bool stopped = stop_after(child, joined, row, changes);
    if (stopped && is_seen(q, child)) {
        ++*seen;
    } else if (stopped) {
        ++*unseen;
        send_some(q, number);
    }
    cr_assert_eq(kill(child, SIGCONT), 0);
    test_hear(joined[0]);
    send_some(q, number);
    cr_assert_eq(test_wait(child), 0, "after %d changes", changes);
    close(joined[0]);
    close(joined[1]);
    return stopped;
}

static int die_as_reliable(void *joined)
{
    const int *ends = joined;
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_CONSUMER | SHMRING_RELIABLE) == 0);
    test_tell(ends[1]);
    pause();
    return 0;
}

/* A reliable consumer is killed, and leaves its row. */
static void leave_a_dead_row(void)
{
    int joined[2];

    test_pipe(joined);
    const pid_t child = test_fork(die_as_reliable, joined);
    test_hear(joined[0]);
    test_kill(child);
    close(joined[0]);
    close(joined[1]);
}

static int ask_to_be_traced(void *unused)
{
    (void)unused;
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0;
}

static bool may_trace(void)
{
    return test_run(ask_to_be_traced, NULL) == 0;
}

static void stop_everywhere(bool after_a_death)
{
    struct pages pages;
    uint64_t number = 0;
    int seen = 0, unseen = 0;

    test_name(name);
    shmring_t *q = cast_create(name, CAST_RING, 1);
    pages_map(&pages, q);
    const struct shmr_row *row = (const void *)(pages.table + sizeof *row);
    for (int changes = 0;; changes++) {
        if (after_a_death)
            leave_a_dead_row();
        send_some(q, &number);
        if (!try_stop(q, row, changes, &number, &seen, &unseen))
            break;
    }
    cr_assert(seen > 0 && unseen > 5, "seen %d times, unseen %d times", seen, unseen);
    pages_unmap(&pages);
    shmring_close(&q);
}

Test(broadcast_joining, who_stops_is_seen_or_does_not_hold_the_producer, .timeout = 300)
{
    if (!may_trace())
        cr_skip_test("processes may not be traced here (ptrace)");
    stop_everywhere(false);
}

Test(broadcast_joining, so_does_the_next_owner_of_a_dead_consumers_row, .timeout = 300)
{
    if (!may_trace())
        cr_skip_test("processes may not be traced here (ptrace)");
    stop_everywhere(true);
}
