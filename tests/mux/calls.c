/* SPDX-License-Identifier: MIT */
/*
 * Waiting for several queues at once: each call, and several threads. As in tests/wait/calls.c no
 * test depends on how long something takes: if a wake-up is lost, the test's own time limit ends
 * it.
 */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#include "muxed.h"

TestSuite(mux, .timeout = 120);

/* ---- One queue ------------------------------------------------------------------------------- */

Test(mux, errors)
{
    struct shmring_mux_config bad = {.reserved = {1}};

    cr_assert_eq(shmring_mux_create(NULL, NULL), -EINVAL);
    cr_assert_eq(shmring_mux_create(&mux, &bad), -EINVAL);
    cr_assert_null(mux);
    cr_assert_eq(shmring_mux_add(NULL, NULL, SHMRING_READABLE, NULL), -EBADF);
    cr_assert_eq(shmring_mux_remove(NULL, NULL), -EBADF);
    cr_assert_eq(shmring_mux_wait(NULL, events, 1, &at_once), -EBADF);
    cr_assert_eq(shmring_mux_done(NULL, NULL), -EBADF);
    cr_assert_eq(shmring_mux_wake(NULL), -EBADF);
    shmring_mux_destroy(&mux);
    shmring_mux_destroy(NULL);

    cr_assert_eq(shmring_mux_create(&mux, NULL), 0);
    make_queue(0);
    assert_refused(shmring_mux_add(mux, NULL, SHMRING_READABLE, NULL), EBADF, "NULL");
    assert_refused(shmring_mux_add(mux, mine[0], SHMRING_WRITABLE, NULL), EPERM, "producer");
    assert_refused(shmring_mux_add(mux, other[0], SHMRING_READABLE, NULL), EPERM, "consumer");
    cr_assert_eq(shmring_mux_add(mux, mine[0], 0, NULL), -EINVAL);
    cr_assert_eq(shmring_mux_add(mux, mine[0], SHMRING_READABLE | SHMRING_WRITABLE, NULL), -EINVAL);
    cr_assert_eq(shmring_mux_remove(mux, mine[0]), -ENOENT);
    cr_assert_eq(shmring_mux_add(mux, mine[0], SHMRING_READABLE, NULL), 0);
    cr_assert_eq(shmring_mux_add(mux, mine[0], SHMRING_READABLE, NULL), -EEXIST);

    const struct timespec negative = {.tv_sec = -1}, negative_ns = {.tv_nsec = -1},
                          long_ns = {.tv_nsec = 1000000000};
    cr_assert_eq(shmring_mux_wait(mux, NULL, 1, &at_once), -EINVAL);
    cr_assert_eq(shmring_mux_wait(mux, events, 0, &at_once), -EINVAL);
    cr_assert_eq(shmring_mux_wait(mux, events, 1, &negative), -EINVAL);
    cr_assert_eq(shmring_mux_wait(mux, events, 1, &negative_ns), -EINVAL);
    cr_assert_eq(shmring_mux_wait(mux, events, 1, &long_ns), -EINVAL);
    cr_assert_eq(shmring_mux_done(mux, mine[0]), -ENOENT, "before this thread's first wait");
    cr_assert_eq(shmring_mux_wait(mux, events, 1, &at_once), -ETIMEDOUT);
    cr_assert_eq(shmring_mux_done(mux, mine[0]), -ENOENT);
    cr_assert_eq(shmring_mux_remove(mux, mine[0]), 0);
    cr_assert_eq(shmring_mux_remove(mux, mine[0]), -ENOENT);
    teardown();
}

Test(mux, an_event_is_there_as_long_as_its_cause, .init = setup, .fini = teardown)
{
    make_and_add(0, 1);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &at_once), -ETIMEDOUT);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &moment), -ETIMEDOUT);
    for (int i = 0; i < 20; i++)
        send_to(0);
    for (int i = 0; i < 20; i++)
        expect(0);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &at_once), -ETIMEDOUT);
    send_to(0);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &at_once), 1);
    cr_assert_eq(shmring_mux_done(mux, mine[0]), 0);
    cr_assert_eq(shmring_mux_done(mux, mine[0]), -ENOENT);
    expect(0);
}

Test(mux, room_is_an_event, .init = setup, .fini = teardown)
{
    make_queue(0);
    cr_assert_eq(shmring_mux_add(mux, other[0], SHMRING_WRITABLE, NULL), 0);
    while (shmring_send(other[0], "0123456", 8) == 0)
        continue;
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &moment), -ETIMEDOUT);
    char buf[8];
    cr_assert_eq(shmring_recv(mine[0], buf, sizeof buf), 8);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 1);
    cr_assert_eq(events[0].q, other[0]);
    cr_assert_eq(events[0].event, SHMRING_WRITABLE);
    cr_assert_eq(shmring_send(other[0], "0123456", 8), 0);
}

/* A loan ends with the thread's next wait, also if that wait finds nothing. */
Test(mux, at_most_n_events, .init = setup, .fini = teardown)
{
    int heard[5] = {0};

    make_and_add(0, 5);
    for (int i = 0; i < 5; i++)
        send_to(i);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 5);
    for (int wait = 0; wait < 100; wait++) {
        cr_assert_eq(shmring_mux_wait(mux, events, 2, for_ever), 2);
        for (int e = 0; e < 2; e++)
            heard[index_of(&events[e])]++;
    }
    for (int i = 0; i < 5; i++)
        cr_assert_gt(heard[i], 0, "queue %d", i);
}

/* ---- Waking ---------------------------------------------------------------------------------- */

Test(mux, wake, .init = setup, .fini = teardown)
{
    make_and_add(0, 1);
    cr_assert_eq(shmring_mux_wake(mux), 0);
    cr_assert_eq(shmring_mux_wake(mux), 0);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 0);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &moment), -ETIMEDOUT);
}

Test(mux, wake_a_sleeper, .init = setup, .fini = teardown)
{
    struct thread t[2];

    make_and_add(0, 1);
    start(&t[0], wait_once);
    start(&t[1], wait_once);
    shmring_mux_wake(mux);
    shmring_mux_wake(mux); /* may count together with the first */
    while (pthread_tryjoin_np(t[0].thread, NULL) != 0)
        shmring_mux_wake(mux);
    while (pthread_tryjoin_np(t[1].thread, NULL) != 0)
        shmring_mux_wake(mux);
    cr_assert_eq(t[0].result, 0);
    cr_assert_eq(t[1].result, 0);
}

static void *receive_once(void *argument)
{
    struct thread *t = argument;
    int number;

    wait_once(t);
    if (t->result == 1 && shmring_recv(t->event.q, &number, sizeof number) < 0)
        t->result = -1;
    return NULL;
}

/* One thread leads, the others wait to lead. */
Test(mux, several_wait_for_one_queue, .init = setup, .fini = teardown)
{
    struct thread t[3];

    make_and_add(0, 3);
    for (int i = 0; i < 3; i++)
        start(&t[i], receive_once);
    for (int i = 0; i < 3; i++)
        send_to(i);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(result_of(&t[i]), 1);
        for (int j = 0; j < i; j++)
            cr_assert_neq(t[i].event.q, t[j].event.q);
    }
}

Test(mux, a_thread_that_waits_to_lead_keeps_its_time, .init = setup, .fini = teardown)
{
    struct thread t;

    make_and_add(0, 1);
    start(&t, wait_once);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &at_once), -ETIMEDOUT);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &moment), -ETIMEDOUT);
    send_to(0);
    cr_assert_eq(result_of(&t), 1);
}

static void nothing(int signal)
{
    (void)signal;
}

static void wake_from_a_handler(int signal)
{
    (void)signal;
    shmring_mux_wake(mux); /* as another thread could at this very moment */
}

static int be_woken_and_interrupted(void *unused)
{
    const struct sigaction action = {.sa_handler = wake_from_a_handler};

    (void)unused;
    setup();
    make_and_add(0, 1);
    child_assert(sigaction(SIGUSR1, &action, NULL) == 0);
    child_assert(shmring_mux_wait(mux, events, EVENTS, for_ever) == 0);
    signal(SIGUSR1, SIG_IGN); /* the test may have sent more signals */
    teardown();
    return 0;
}

/* A signal ends the sleep, and another thread has called shmring_mux_wake(): the wait reports that
 * call, not the signal. */
Test(mux, a_wake_up_is_not_swallowed_by_a_signal)
{
    pid_t pid = test_fork(be_woken_and_interrupted, NULL);

    test_await_sleep(pid);
    cr_assert_eq(test_interrupt(pid, SIGUSR1), 0);
}

static int be_interrupted(void *count)
{
    const struct sigaction action = {.sa_handler = nothing};

    setup();
    make_and_add(0, *(int *)count);
    child_assert(sigaction(SIGUSR1, &action, NULL) == 0);
    child_assert(shmring_mux_wait(mux, events, EVENTS, for_ever) == -EINTR);
    signal(SIGUSR1, SIG_IGN); /* the test may have sent more signals */
    send_to(0);
    child_assert(shmring_mux_wait(mux, events, EVENTS, for_ever) == 1);
    teardown();
    return 0;
}

Test(mux, a_signal_interrupts)
{
    for (int count = 1; count <= IN_A_GROUP + 1; count += IN_A_GROUP) {
        pid_t pid = test_fork(be_interrupted, &count);
        int sent = 0;
        do { /* until the handler is installed and the child sleeps */
            test_await_sleep(pid);
            sent += kill(pid, 0) == 0;
        } while (sent < 3);
        cr_assert_eq(test_interrupt(pid, SIGUSR1), 0);
    }
}

/* ---- Borrowing, adding and removing ---------------------------------------------------------- */

static void *borrow_until_told(void *argument)
{
    struct thread *t = argument;
    sigset_t told;
    int signal;

    t->result = shmring_mux_wait(mux, &t->event, 1, for_ever);
    sigemptyset(&told);
    sigaddset(&told, SIGUSR1);
    atomic_store(&t->tid, gettid());
    sigwait(&told, &signal);
    shmring_mux_done(mux, t->event.q);
    return NULL;
}

/* Queue 0 has a message, and the thread has borrowed the queue. */
static void start_borrower(struct thread *t)
{
    sigset_t told;

    sigemptyset(&told);
    sigaddset(&told, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &told, NULL);
    send_to(0);
    atomic_store(&t->tid, 0);
    cr_assert_eq(pthread_create(&t->thread, NULL, borrow_until_told, t), 0);
    while (!atomic_load(&t->tid))
        sched_yield();
}

Test(mux, what_is_borrowed_is_given_to_no_other_thread, .init = setup, .fini = teardown)
{
    struct thread t;

    make_and_add(0, 2);
    start_borrower(&t);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &at_once), -ETIMEDOUT);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &moment), -ETIMEDOUT);
    cr_assert_eq(shmring_mux_done(mux, mine[0]), -ENOENT, "it is another thread's");
    send_to(1);
    expect(1);
    pthread_kill(t.thread, SIGUSR1);
    expect(0); /* the thread gives it back during this wait, or before */
    cr_assert_eq(result_of(&t), 1);
}

/* A thread ends: other threads get what it had borrowed, with one queue as with many. */
Test(mux, a_thread_that_ends_gives_back, .init = setup, .fini = teardown)
{
    struct thread t;

    make_and_add(0, 2);
    for (int round = 0; round < 3; round++) {
        send_to(0);
        cr_assert_eq(pthread_create(&t.thread, NULL, wait_once, &t), 0);
        cr_assert_eq(result_of(&t), 1);
        cr_assert_eq(t.event.q, mine[0]);
        expect(0);
        cr_assert_eq(shmring_mux_done(mux, mine[0]), 0);
    }
    send_to(0);
    cr_assert_eq(pthread_create(&t.thread, NULL, wait_once, &t), 0);
    cr_assert_eq(result_of(&t), 1);
    cr_assert_eq(shmring_mux_remove(mux, mine[0]), 0, "it does not wait for the dead thread");
    send_to(1);
    expect(1);
}

static void *wait_on_two(void *argument)
{
    struct thread *t = argument;
    shmring_mux_t *brief;
    struct shmring_mux_event none;

    cr_assert_eq(shmring_mux_create(&brief, NULL), 0);
    t->result = shmring_mux_wait(brief, &none, 1, &at_once);
    shmring_mux_destroy(&brief); /* its record of this thread is freed when the thread ends */
    return wait_once(t);
}

/* A program may destroy a mux before or after a thread that waited on it ends. */
Test(mux, threads_and_muxes_end_in_any_order)
{
    struct thread t;

    setup();
    make_and_add(0, 1);
    send_to(0);
    cr_assert_eq(pthread_create(&t.thread, NULL, wait_on_two, &t), 0);
    cr_assert_eq(result_of(&t), 1);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 1);
    teardown();
    setup(); /* the new mux is most likely at the same address */
    cr_assert_eq(shmring_mux_done(mux, mine[0]), -ENOENT);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, &at_once), -ETIMEDOUT);
    teardown();
}

static void *remove_first(void *argument)
{
    struct thread *t = argument;

    atomic_store(&t->tid, gettid());
    t->result = shmring_mux_remove(mux, mine[0]);
    return NULL;
}

Test(mux, removal_waits_for_a_borrower, .init = setup, .fini = teardown)
{
    struct thread borrower, remover;

    make_and_add(0, 2);
    start_borrower(&borrower);
    start(&remover, remove_first);
    cr_assert_eq(shmring_mux_remove(mux, mine[0]), -ENOENT, "it is being removed");
    pthread_kill(borrower.thread, SIGUSR1);
    cr_assert_eq(result_of(&borrower), 1);
    cr_assert_eq(result_of(&remover), 0);
    shmring_close(&mine[0]);
    send_to(1);
    expect(1);
}

/* A thread may be reading the entry just then: this one is in a read-side section of liburcu. */
Test(mux, removal_waits_for_a_grace_period, .init = setup, .fini = teardown)
{
    struct thread remover;

    make_and_add(0, 1);
    urcu_bp_read_lock();
    atomic_store(&remover.tid, 0);
    cr_assert_eq(pthread_create(&remover.thread, NULL, remove_first, &remover), 0);
    while (!atomic_load(&remover.tid))
        sched_yield();
    for (int i = 0; i < 20; i++) {
        nanosleep(&moment, NULL);
        cr_assert_eq(pthread_tryjoin_np(remover.thread, NULL), EBUSY);
    }
    urcu_bp_read_unlock();
    cr_assert_eq(result_of(&remover), 0);
}

Test(mux, a_borrower_may_remove, .init = setup, .fini = teardown)
{
    make_and_add(0, 3);
    for (int i = 0; i < 3; i++)
        send_to(i);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 3);
    cr_assert_eq(shmring_mux_remove(mux, events[1].q), 0);
    cr_assert_eq(shmring_mux_done(mux, events[1].q), -ENOENT);
    shmring_close((shmring_t **)events[1].data);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 2);
    cr_assert_eq(shmring_mux_remove(mux, events[0].q), 0);
    cr_assert_eq(shmring_mux_add(mux, events[0].q, SHMRING_READABLE, NULL), 0, "again");
    receive(events[1].q, index_of(&events[1]));
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever), 1);
    cr_assert_eq(events[0].data, NULL);
}

/* A thread already sleeps, with `count` queues, when the test adds another one, and then removes
 * it. */
static void check_a_sleeper_gets(int count)
{
    struct thread t;

    make_and_add(0, count);
    make_queue(count);
    start(&t, wait_once);
    cr_assert_eq(shmring_mux_add(mux, mine[count], SHMRING_READABLE, NULL), 0);
    send_to(count);
    cr_assert_eq(result_of(&t), 1);
    cr_assert_eq(t.event.q, mine[count]);
    receive(mine[count], count);

    start(&t, wait_once);
    cr_assert_eq(shmring_mux_remove(mux, mine[count]), 0);
    send_to(count); /* no thread gets that event */
    shmring_close(&mine[count]);
    if (count == 0)
        shmring_mux_wake(mux);
    else
        send_to(0);
    cr_assert_eq(result_of(&t), count ? 1 : 0);
}

Test(mux, a_sleeper_gets_the_first_queue, .init = setup, .fini = teardown)
{
    check_a_sleeper_gets(0);
}

Test(mux, a_sleeper_gets_another_queue, .init = setup, .fini = teardown)
{
    check_a_sleeper_gets(2);
}

Test(mux, a_sleeper_gets_a_queue_of_a_helper, .init = setup, .fini = teardown)
{
    check_a_sleeper_gets(IN_A_GROUP + 20);
}

/* ---- Fork, and what is left ------------------------------------------------------------------ */

static int use_the_parents(void *unused)
{
    (void)unused;
    child_assert(shmring_mux_wait(mux, events, EVENTS, for_ever) == -ENOTCONN);
    child_assert(shmring_mux_add(mux, mine[0], SHMRING_READABLE, NULL) == -ENOTCONN);
    child_assert(shmring_mux_remove(mux, mine[0]) == -ENOTCONN);
    child_assert(shmring_mux_done(mux, mine[0]) == -ENOTCONN);
    child_assert(shmring_mux_wake(mux) == -ENOTCONN);
    shmring_mux_destroy(&mux);
    child_assert(mux == NULL);
    return 0;
}

Test(mux, a_forked_child_gets_an_error, .init = setup, .fini = teardown)
{
    make_and_add(0, IN_A_GROUP + 1);
    send_to(3);
    cr_assert_eq(test_run(use_the_parents, NULL), 0);
    expect(3);
}

static void live_once(void)
{
    enum { COUNT = 2 * IN_A_GROUP };

    setup();
    make_and_add(0, COUNT);
    for (int i = 0; i < COUNT; i++)
        send_to(i);
    cr_assert_eq(shmring_mux_wait(mux, events, EVENTS, for_ever) > 0, 1);
    for (int i = 0; i < COUNT / 2; i++)
        cr_assert_eq(shmring_mux_remove(mux, mine[i]), 0);
    teardown();
}

Test(mux, nothing_is_left)
{
    enum { TIMES = 20, MIB = 1 << 20 };
    live_once();
    struct holdings before = test_holdings();

    for (int i = 0; i < TIMES; i++)
        live_once();
    /* The C library keeps the stacks of ended threads. */
    assert_holds_no_more_than(&before, 64 * MIB);
}

static int add_without_a_thread(void *unused)
{
    pthread_attr_t attributes;

    (void)unused;
    setup();
    make_and_add(0, IN_A_GROUP);
    make_queue(IN_A_GROUP);
    /* No thread finds room for its stack. */
    child_assert(pthread_attr_init(&attributes) == 0);
    child_assert(pthread_attr_setstacksize(&attributes, SIZE_MAX / 4) == 0);
    child_assert(pthread_setattr_default_np(&attributes) == 0);
    child_assert(shmring_mux_add(mux, mine[IN_A_GROUP], SHMRING_READABLE, NULL) == -EAGAIN);
    child_assert(shmring_mux_remove(mux, mine[IN_A_GROUP]) == -ENOENT);
    send_to(1);
    child_assert(shmring_mux_wait(mux, events, EVENTS, for_ever) == 1);
    teardown();
    return 0;
}

Test(mux, no_thread_to_be_had)
{
    cr_assert_eq(test_run(add_without_a_thread, NULL), 0);
}
