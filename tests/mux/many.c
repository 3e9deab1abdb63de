/* SPDX-License-Identifier: MIT */
/* A mux with many queues: fairness, wake-ups, peers that die, and other consumers beside it. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/core/handle.h"
#include "lib/spsc/quick.h"
#include "messages.h"
#include "muxed.h"
#include "settled.h"

TestSuite(mux_many, .timeout = 120);

/* ---- Fairness -------------------------------------------------------------------------------- */

static bool is_helper(const char *thread)
{
    char path[300], comm[32] = "";

    snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
    FILE *file = fopen(path, "r");
    if (file) {
        cr_assert_not_null(fgets(comm, sizeof comm, file));
        fclose(file);
    }
    return strcmp(comm, "shmring-mux\n") == 0;
}

/* Wait until there are count helpers, and all of them sleep. */
static void await_helpers(int count)
{
    for (int asleep = -1; asleep != count;) {
        DIR *threads = opendir("/proc/self/task");
        cr_assert_not_null(threads);
        asleep = 0;
        for (struct dirent *thread; (thread = readdir(threads)) != NULL;)
            if (is_helper(thread->d_name)) {
                test_await_sleep_of(getpid(), atoi(thread->d_name));
                asleep++;
            }
        closedir(threads);
    }
}

/* Does the kernel, or a filter, refuse futex_waitv(2)? Without anything to wait for it is EINVAL.
 */
static bool waitv_is_refused(void)
{
#if defined SYS_futex_waitv
    return syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && errno != EINVAL;
#else
    return true;
#endif
}

/*
 * Queue 0 is always ready. Each of the others gets a message, and its event must come within as
 * many waits as it takes to poll all of the hot group, 4 at every 8th wait. If helpers cannot sleep
 * by futex_waitv(2), then they poll from time to time, and there is no bound in waits.
 */
static void check_fair(int count, int most)
{
    const int bound = waitv_is_refused() ? INT_MAX : 2 * IN_A_GROUP + 16;
    const int helpers = count / IN_A_GROUP + (count > IN_A_GROUP);

    make_and_add(0, count);
    send_to(0);
    for (int i = 1; i < count; i += 1 + count / 50) {
        bool heard = false;
        send_to(i);
        await_helpers(helpers);
        for (int wait = 0; !heard; wait++) {
            cr_assert_lt(wait, bound, "queue %d", i);
            int n = shmring_mux_wait(mux, events, most, for_ever);
            cr_assert_gt(n, 0);
            for (int e = 0; e < n; e++)
                if (events[e].q == mine[i]) {
                    receive(mine[i], i);
                    heard = true;
                }
        }
    }
    for (int wait = 0, heard = 0; heard < 10; wait++) { /* and the busy one, too */
        cr_assert_lt(wait / 10, bound);
        cr_assert_gt(shmring_mux_wait(mux, events, 1, for_ever), 0);
        heard += events[0].q == mine[0];
    }
}

Test(mux_many, fair, .init = setup, .fini = teardown)
{
    check_fair(20, EVENTS);
}

Test(mux_many, fair_with_one_event, .init = setup, .fini = teardown)
{
    check_fair(20, 1);
}

Test(mux_many, fair_among_many, .init = setup, .fini = teardown)
{
    check_fair(400, 1);
}

Test(mux_many, all_of_several_busy_queues_have_events, .init = setup, .fini = teardown)
{
    enum { BUSY = 30, ALL = 200 };
    int heard[BUSY] = {0}, missing = BUSY;

    make_and_add(0, ALL);
    for (int i = 0; i < BUSY; i++)
        send_to(i);
    for (int wait = 0; missing; wait++) {
        cr_assert_lt(wait, 64 * ALL);
        cr_assert_eq(shmring_mux_wait(mux, events, 1, for_ever), 1);
        missing -= heard[index_of(&events[0])]++ == 0;
    }
}

/* ---- Many ------------------------------------------------------------------------------------ */

/* Two descriptors a queue here. */
static void raise_descriptor_limit(rlim_t needed)
{
    struct rlimit files;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < needed)
        files.rlim_max = needed;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        cr_skip_test("%llu descriptors are needed: %s", (unsigned long long)needed,
                     strerror(errno));
}

Test(mux_many, ten_thousand_queues, .init = setup, .fini = teardown)
{
    static bool heard[MOST];
    struct thread t;

    raise_descriptor_limit(2 * MOST + 100);
    make_and_add(0, MOST);
    for (int i = 0; i < MOST; i++)
        send_to(i);
    for (int missing = MOST; missing;) {
        int n = shmring_mux_wait(mux, events, EVENTS, for_ever);
        cr_assert_gt(n, 0);
        for (int e = 0; e < n; e++) {
            int i = index_of(&events[e]);
            cr_assert_not(heard[i]);
            heard[i] = true;
            receive(mine[i], i);
            missing--;
        }
    }
    for (int i = 0; i < MOST; i += 1777) {
        start(&t, wait_once);
        send_to(i);
        cr_assert_eq(result_of(&t), 1);
        cr_assert_eq(t.event.q, mine[i]);
        receive(mine[i], i);
    }
    for (int i = 0; i < MOST; i += 100)
        cr_assert_eq(shmring_mux_remove(mux, mine[i]), 0);
}

/* Every message finds the mux asleep, or about to sleep. If a wake-up is lost, the test fails by
 * its time limit. */
static void *echo(void *argument)
{
    struct thread *t = argument;
    shmring_t *back = other[0];

    atomic_store(&t->tid, gettid());
    for (int done = 0; !done;) {
        int n = shmring_mux_wait(mux, events, EVENTS, for_ever), number;
        for (int e = 0; e < n; e++)
            while (shmring_recv(events[e].q, &number, sizeof number) >= 0) {
                done |= number == 0;
                shmring_send(back, &number, sizeof number);
            }
    }
    return NULL;
}

static void check_no_wake_up_is_lost(int count, int rounds)
{
    struct thread t;
    uint64_t state = test_seed();
    int number;

    make_queue(0); /* the queue for the answers */
    make_and_add(1, count);
    start(&t, echo);
    for (int round = 1; round <= rounds; round++) {
        number = round < rounds ? round : 0;
        int i = 1 + (int)test_random_below(&state, (uint32_t)count - 1);
        cr_assert_eq(shmring_send(other[i], &number, sizeof number), 0);
        cr_assert_eq(shmring_recv_wait(mine[0], &number, sizeof number, for_ever),
                     (ssize_t)sizeof number);
        cr_assert_eq(number, round < rounds ? round : 0);
    }
    pthread_join(t.thread, NULL);
}

Test(mux_many, no_wake_up_is_lost, .init = setup, .fini = teardown)
{
    check_no_wake_up_is_lost(5, 3000);
}

Test(mux_many, no_wake_up_is_lost_with_helpers, .init = setup, .fini = teardown)
{
    check_no_wake_up_is_lost(300, 2000);
}

Test(mux_many, no_wake_up_is_lost_when_spinning)
{
    cr_assert_eq(shmring_mux_create(&mux, NULL), 0);
    check_no_wake_up_is_lost(150, 2000);
    teardown();
}

/* ---- Peers that die, and names that go ------------------------------------------------------- */

static char name[TEST_NAME_SIZE];
static const struct shmring_waiting hourly = {.recheck_ms = 3600000};
static const struct shmring_waiting often = {.recheck_ms = 1},
                                    often_with_peers = {.recheck_ms = 1,
                                                        .flags = SHMRING_WAIT_PEERS};

static int send_for_ever(void *end)
{
    shmring_t *producer;

    child_assert(shmring_open(&producer, name, SHMRING_PRODUCER) == 0);
    for (uint32_t number = 0;; number++) {
        child_assert(shmring_send_wait(producer, &number, sizeof number, for_ever) == 0);
        if (number == 1000)
            test_tell(*(int *)end);
    }
    return 0;
}

/* The producers of one of many queues are killed one after the other, at random moments. */
Test(mux_many, producers_are_killed, .init = setup)
{
    int ends[2];

    make_and_add(0, IN_A_GROUP + 3);
    test_name(name);
    test_pipe(ends);
    for (int round = 0; round < 5; round++) {
        shmring_t *q = test_create(name, SHMRING_CONSUMER, 4096);
        uint32_t expected = 0, number;
        int error = 0;

        cr_assert_eq(shmring_set_waiting(q, &often_with_peers), 0);
        pid_t pid = test_fork(send_for_ever, &ends[1]);
        cr_assert_eq(shmring_mux_add(mux, q, SHMRING_READABLE, NULL), 0);
        while (!error) {
            cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 1);
            error = events[0].error;
            if (error && expected == 0)
                error = 0; /* the producer has not opened the queue yet */
            while (shmring_recv(q, &number, sizeof number) >= 0)
                cr_assert_eq(number, expected++);
            if (expected > 1000 && pid > 0) {
                test_hear(ends[0]);
                test_kill(pid);
                pid = 0;
            }
        }
        cr_assert_eq(error, -EPIPE);
        cr_assert_eq(shmring_mux_remove(mux, q), 0);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(name), 0);
    }
    teardown();
}

static int die_with_a_message(void *unused)
{
    (void)unused;
    shmring_t *consumer;
    const void *msg;

    child_assert(shmring_open(&consumer, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_peek(consumer, &msg, NULL) == 5);
    kill(getpid(), SIGKILL);
    return 1;
}

/* No participant makes a call on that queue any more: the mux itself finds the dead one. */
static void check_what_a_dead_consumer_held_comes(int others)
{
    char buf[100];

    setup();
    make_and_add(0, others);
    test_name(name);
    shmring_t *producer = test_create_mpmc(name, SHMRING_PRODUCER, 4, 100), *q;
    cr_assert_eq(shmring_open(&q, name, SHMRING_CONSUMER), 0);
    cr_assert_eq(shmring_set_waiting(q, &often), 0);
    cr_assert_eq(shmring_mux_add(mux, q, SHMRING_READABLE, NULL), 0);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &moment), -ETIMEDOUT);
    /* The mux is notified, but the message is gone. */
    cr_assert_eq(shmring_send(producer, "hello", 5), 0);
    cr_assert_eq(test_run(die_with_a_message, NULL), -SIGKILL);
    while (shmring_mux_wait(mux, events, EVENTS, for_ever) != 1 ||
           shmring_recv(q, buf, sizeof buf) != 5)
        continue;
    cr_assert_eq(shmring_mux_remove(mux, q), 0);
    shmring_close(&q);
    shmring_close(&producer);
    teardown();
}

Test(mux_many, what_a_dead_consumer_held_comes)
{
    check_what_a_dead_consumer_held_comes(0);
}

Test(mux_many, what_a_dead_consumer_held_comes_to_a_helper)
{
    check_what_a_dead_consumer_held_comes(IN_A_GROUP);
}

/* The mux limits the rechecks of all queues together; notifications still come through. */
Test(mux_many, rechecks_are_rationed)
{
    enum { QUEUES = 100 }; /* at one recheck a second: each after 100 s */
    const struct shmring_mux_config rare = {.looks_per_s = 1};

    cr_assert_eq(shmring_mux_create(&mux, &rare), 0);
    make_and_add(0, QUEUES);
    for (int i = 0; i < QUEUES; i++) {
        cr_assert_eq(shmring_set_waiting(mine[i], &often), 0);
        test_settle_sleeps(mine[i]);
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &moment), -ETIMEDOUT);
    cr_assert_eq(shmr_spsc_send(&other[50]->spsc.producer, "dead", 5), 0, "and does not notify");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &moment), -ETIMEDOUT);
    send_to(50);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 1);
    cr_assert_eq(index_of(&events[0]), 50);
    teardown();
}

Test(mux_many, a_name_that_goes_is_an_event, .init = setup)
{
    test_name(name);
    shmring_t *q = test_create(name, SHMRING_CONSUMER, 4096);

    cr_assert_eq(shmring_set_waiting(q, &often), 0);
    cr_assert_eq(shmring_mux_add(mux, q, SHMRING_READABLE, NULL), 0);
    cr_assert_eq(shmring_unlink(name), 0);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 1);
    cr_assert_eq(events[0].error, -ESTALE);
    shmring_mux_destroy(&mux);
    shmring_close(&q);
}

/* ---- Several consumers ----------------------------------------------------------------------- */

/* Each consumer takes one message and holds it, so each needs a wake-up of its own. */
static int hold_one(void *end)
{
    shmring_t *q;
    const void *msg;

    setup();
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_set_waiting(q, &hourly) == 0);
    child_assert(shmring_mux_add(mux, q, SHMRING_READABLE, NULL) == 0);
    do
        child_assert(shmring_mux_wait(mux, events, EVENTS, for_ever) == 1);
    while (shmring_peek(q, &msg, NULL) == -EAGAIN);
    test_tell(*(int *)end);
    pause();
    return 0;
}

Test(mux_many, each_message_wakes_one_of_several)
{
    enum { SLEEPERS = 4 };
    pid_t pid[SLEEPERS];
    int ends[2];

    test_name(name);
    shmring_t *q = test_create_mpmc(name, SHMRING_PRODUCER, 8, 100);
    test_pipe(ends);
    for (int i = 0; i < SLEEPERS; i++) {
        pid[i] = test_fork(hold_one, &ends[1]);
        test_await_sleep(pid[i]);
    }
    for (int i = 0; i < SLEEPERS; i++)
        cr_assert_eq(shmring_send(q, "x", 1), 0);
    for (int i = 0; i < SLEEPERS; i++)
        test_hear(ends[0]);
    for (int i = 0; i < SLEEPERS; i++)
        test_kill(pid[i]);
    shmring_close(&q);
}

/* ---- Cancellation ---------------------------------------------------------------------------- */

static atomic_int finished;

/*
 * A function of its own, which returns: AddressSanitizer 12 does not notice that cancellation
 * unwinds a frame, and reports later accesses to that part of the stack (here those of the
 * destructor of liburcu's thread data).
 */
static __attribute__((noinline)) void use_the_mux(void)
{
    make_and_add(0, 2 * IN_A_GROUP);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &at_once), -ETIMEDOUT);
    cr_assert_eq(shmring_mux_remove(mux, mine[0]), 0);
    shmring_mux_destroy(&mux);
    atomic_store(&finished, 1);
}

/* The thread is cancelled from the start: no call on a mux, even with helpers to join, acts on
 * that. */
static void *live_cancelled(void *unused)
{
    pthread_cancel(pthread_self());
    use_the_mux();
    pthread_testcancel();
    return unused;
}

Test(mux_many, no_call_is_a_cancellation_point, .init = setup, .fini = teardown)
{
    pthread_t thread;
    void *how;

    cr_assert_eq(pthread_create(&thread, NULL, live_cancelled, NULL), 0);
    cr_assert_eq(pthread_join(thread, &how), 0);
    cr_assert(atomic_load(&finished) && how == PTHREAD_CANCELED);
}
