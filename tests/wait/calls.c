/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait, in one process and between two. No test depends on how long a step takes: if the
 * event does not end a wait, the test fails by its time limit.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/wait/sleep.h"
#include "waiting.h"

TestSuite(wait, .timeout = 600);

/* ---- Timeouts and errors --------------------------------------------------------------------- */

static void check_what_is_there_returns_at_once(void)
{
    char buf[100];
    const void *msg;
    void *place;

    cr_assert_eq(shmring_send_wait(q, "one", 3, for_ever), 0);
    cr_assert_eq(shmring_wait(q, SHMRING_READABLE, for_ever), SHMRING_READABLE);
    cr_assert_eq(shmring_wait(q, SHMRING_WRITABLE, for_ever), SHMRING_WRITABLE);
    cr_assert_eq(shmring_wait(q, SHMRING_READABLE | SHMRING_WRITABLE, for_ever),
                 SHMRING_READABLE | SHMRING_WRITABLE);
    cr_assert_eq(shmring_recv_wait(q, buf, sizeof buf, for_ever), 3);
    cr_assert_arr_eq(buf, "one", 3);
    cr_assert_eq(shmring_reserve_wait(q, 3, &place, for_ever), 0);
    memcpy(place, "two", 3);
    cr_assert_eq(shmring_commit(q, place, 3), 0);
    cr_assert_eq(shmring_peek_wait(q, &msg, NULL, for_ever), 3);
    cr_assert_arr_eq(msg, "two", 3);
    cr_assert_eq(shmring_release(q, msg), 0);
}

Test(wait, what_is_there_returns_at_once, .init = setup_spsc, .fini = teardown)
{
    check_what_is_there_returns_at_once();
}

Test(wait, what_is_there_returns_at_once_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_what_is_there_returns_at_once();
}

static void check_time_is_over(const struct timespec *timeout)
{
    struct timespec from, to;
    char buf[100];
    const void *msg;
    void *place;

    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_refused(shmring_recv_wait(q, buf, sizeof buf, timeout), ETIMEDOUT, "in time");
    clock_gettime(CLOCK_MONOTONIC, &to);
    cr_assert((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec >=
              timeout->tv_nsec);
    assert_refused(shmring_peek_wait(q, &msg, NULL, timeout), ETIMEDOUT, "in time");
    assert_refused(shmring_wait(q, SHMRING_READABLE, timeout), ETIMEDOUT, "in time");
    fill(q);
    assert_refused(shmring_send_wait(q, buf, 64, timeout), ETIMEDOUT, "in time");
    assert_refused(shmring_reserve_wait(q, 64, &place, timeout), ETIMEDOUT, "in time");
    assert_refused(shmring_wait(q, SHMRING_WRITABLE, timeout), ETIMEDOUT, "in time");
    cr_assert_eq(shmring_wait(q, SHMRING_READABLE | SHMRING_WRITABLE, timeout), SHMRING_READABLE);
    while (shmring_recv(q, buf, sizeof buf) > 0) /* no message was lost */
        cr_assert_str_eq(buf, "full");
}

/* Start enough spinning processes for every CPU to have some. They are killed when this process
 * ends. */
static void keep_every_cpu_busy(pid_t *spinners, int n)
{
    const pid_t parent = getpid();

    for (int i = 0; i < n; i++) {
        spinners[i] = fork();
        cr_assert_geq(spinners[i], 0);
        if (spinners[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (getppid() == parent)
                continue;
            _exit(0);
        }
    }
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A wait ends, however late the process gets the CPU, and never before its timeout. */
static void check_the_time_is_over_under_load(uint32_t spin_ns)
{
    const struct shmring_waiting waiting = {.spin_ns = spin_ns, .recheck_ms = 1};
    const int n = 2 * (int)sysconf(_SC_NPROCESSORS_ONLN);
    pid_t spinners[n];
    char buf[64];

    cr_assert_eq(shmring_set_waiting(q, &waiting), 0);
    keep_every_cpu_busy(spinners, n);
    for (long ns = 100000; ns < 20000000; ns *= 3) {
        const struct timespec timeout = {.tv_nsec = ns};
        int64_t from = now_ns();
        assert_refused(shmring_recv_wait(q, buf, sizeof buf, &timeout), ETIMEDOUT, "in time");
        cr_assert_geq(now_ns() - from, ns, "too early");
    }
    fill(q);
    for (long ns = 100000; ns < 20000000; ns *= 3) {
        const struct timespec timeout = {.tv_nsec = ns};
        int64_t from = now_ns();
        assert_refused(shmring_send_wait(q, buf, sizeof buf, &timeout), ETIMEDOUT, "in time");
        cr_assert_geq(now_ns() - from, ns, "too early");
    }
    for (int i = 0; i < n; i++) {
        kill(spinners[i], SIGKILL);
        waitpid(spinners[i], NULL, 0);
    }
}

Test(wait, the_time_is_over_under_load, .init = setup_spsc, .fini = teardown)
{
    check_the_time_is_over_under_load(0);
}

Test(wait, the_time_is_over_under_load_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_the_time_is_over_under_load(50000);
}

Test(wait, the_time_is_over, .init = setup_spsc, .fini = teardown)
{
    check_time_is_over(&moment);
    check_time_is_over(&at_once);
    cr_assert_eq(shmring_set_waiting(q, &sleepy), 0);
    check_time_is_over(&moment);
}

Test(wait, the_time_is_over_mpmc, .init = setup_mpmc, .fini = teardown)
{
    check_time_is_over(&moment);
    check_time_is_over(&at_once);
    cr_assert_eq(shmring_set_waiting(q, &sleepy), 0);
    check_time_is_over(&moment);
}

Test(wait, time_that_is_none, .init = setup_spsc, .fini = teardown)
{
    const struct timespec none[] = {{.tv_sec = -1}, {.tv_nsec = -1}, {.tv_nsec = 1000000000}};
    char buf[10];

    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_refused(shmring_recv_wait(q, buf, sizeof buf, &none[i]), EINVAL, "timeout");
        assert_refused(shmring_wait(q, SHMRING_READABLE, &none[i]), EINVAL, "timeout");
    }
    cr_assert_eq(shmring_wait(q, SHMRING_WRITABLE, &(struct timespec){.tv_sec = INT64_MAX / 2}),
                 SHMRING_WRITABLE);
}

Test(wait, events_that_are_none, .init = setup_spsc, .fini = teardown)
{
    struct shmring_futex futex;

    assert_refused(shmring_wait(q, 0, for_ever), EINVAL, "events");
    assert_refused(shmring_wait(q, 4, for_ever), EINVAL, "events");
    assert_refused(shmring_futex_arm(q, 0, &futex), EINVAL, "events");
    assert_refused(shmring_futex_arm(q, SHMRING_READABLE | SHMRING_WRITABLE, &futex), EINVAL,
                   "call twice");
    assert_refused(shmring_futex_arm(q, SHMRING_READABLE, NULL), EINVAL, "NULL");
    assert_refused(shmring_wait(NULL, SHMRING_READABLE, for_ever), EBADF, "NULL");
    assert_refused(shmring_set_waiting(NULL, NULL), EBADF, "NULL");
}

Test(wait, events_of_the_other_role, .init = setup)
{
    char buf[10];

    q = test_create(name, 0, 4096);
    shmring_t *producer = open_role(SHMRING_PRODUCER), *consumer = open_role(SHMRING_CONSUMER);

    assert_refused(shmring_wait(producer, SHMRING_READABLE, for_ever), EPERM, "consumer");
    assert_refused(shmring_wait(consumer, SHMRING_WRITABLE, for_ever), EPERM, "producer");
    assert_refused(shmring_wait(q, SHMRING_READABLE, for_ever), EPERM, "consumer");
    assert_refused(shmring_recv_wait(producer, buf, sizeof buf, for_ever), EPERM, "consumer");
    assert_refused(shmring_send_wait(consumer, buf, sizeof buf, for_ever), EPERM, "producer");
    shmring_close(&producer);
    shmring_close(&consumer);
    shmring_close(&q);
}

Test(wait, what_does_not_get_better_is_not_waited_for, .init = setup_mpmc, .fini = teardown)
{
    char buf[101];

    assert_refused(shmring_send_wait(q, buf, 101, for_ever), EMSGSIZE, "101");
    cr_assert_eq(shmring_send(q, buf, 50), 0);
    assert_refused(shmring_recv_wait(q, buf, 10, for_ever), EMSGSIZE, "10");
}

Test(wait, settings_that_are_none, .init = setup_spsc, .fini = teardown)
{
    struct shmring_waiting w = {.flags = 0x80};

    assert_refused(shmring_set_waiting(q, &w), EINVAL, "flags");
    w = (struct shmring_waiting){.reserved = {[3] = 1}};
    assert_refused(shmring_set_waiting(q, &w), EINVAL, "reserved");
    cr_assert_eq(shmring_set_waiting(q, NULL), 0);
}

static void note_signal(int number)
{
    (void)number;
}

static int sleep_until_a_signal(void *unused)
{
    char buf[10];
    (void)unused;
    shmring_t *consumer = child_open(SHMRING_CONSUMER);
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};

    sigaction(SIGUSR1, &action, NULL);
    child_refused(shmring_recv_wait(consumer, buf, sizeof buf, for_ever), EINTR, "signal");
    return 0;
}

Test(wait, a_signal_ends_it, .init = setup)
{
    q = test_create(name, SHMRING_PRODUCER, 4096);
    pid_t pid = test_fork(sleep_until_a_signal, NULL);

    test_await_sleep(pid);
    cr_assert_eq(test_interrupt(pid, SIGUSR1), 0);
    shmring_close(&q);
}

/* ---- Being woken ----------------------------------------------------------------------------- */

static void send_hello_in_a_batch(void)
{
    struct iovec batch = {"hello", 5};

    cr_assert_eq(shmring_send_batch(q, &batch, 1), 1);
}

static void commit_hello(void)
{
    void *place;

    cr_assert_eq(shmring_reserve(q, 5, &place), 0);
    memcpy(place, "hello", 5);
    cr_assert_eq(shmring_commit(q, place, 5), 0);
}

static void check_each_way_to_send_wakes(void)
{
    void (*const ways[])(void) = {send_hello, send_hello_in_a_batch, commit_hello};

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        pid_t pid = test_fork(receive_one, (void *)&sleepy);
        test_await_sleep(pid);
        ways[i]();
        cr_assert_eq(test_wait(pid), 0);
    }
    shmring_close(&q);
}

Test(wait, each_way_to_send_wakes, .init = setup)
{
    q = test_create(name, SHMRING_PRODUCER, 4096);
    check_each_way_to_send_wakes();
}

Test(wait, each_way_to_send_wakes_mpmc, .init = setup)
{
    q = test_create_mpmc(name, SHMRING_PRODUCER, 4, 100);
    check_each_way_to_send_wakes();
}

Test(wait, each_way_to_send_wakes_without_a_fence, .init = setup)
{
    q = test_create(name, SHMRING_PRODUCER | SHMRING_ASYMMETRIC_FENCE, 4096);
    check_each_way_to_send_wakes();
}

static int send_one(void *length)
{
    shmring_t *producer = child_open(SHMRING_PRODUCER);
    char message[4096] = "x";

    child_assert(shmring_set_waiting(producer, &sleepy) == 0);
    child_assert(shmring_send_wait(producer, message, *(size_t *)length, for_ever) == 0);
    shmring_close(&producer);
    return 0;
}

static void receive_by_copy(shmring_t *consumer)
{
    char buf[100];

    cr_assert_eq(shmring_recv(consumer, buf, sizeof buf), 64);
}

static void receive_by_batch(shmring_t *consumer)
{
    char buf[100];
    struct iovec batch = {buf, sizeof buf};

    cr_assert_eq(shmring_recv_batch(consumer, &batch, 1), 1);
}

static void receive_in_place(shmring_t *consumer)
{
    const void *msg;

    cr_assert_eq(shmring_peek(consumer, &msg, NULL), 64);
    cr_assert_eq(shmring_release(consumer, msg), 0);
}

/* The queue is full; q is a consumer; the producer has left. */
static void check_each_way_to_receive_wakes(size_t length, int messages)
{
    void (*const ways[])(shmring_t *) = {receive_by_copy, receive_by_batch, receive_in_place};

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        shmring_t *producer = open_role(SHMRING_PRODUCER);
        fill(producer);
        shmring_close(&producer);
        pid_t pid = test_fork(send_one, &length);
        for (int n = 0; n < messages; n++) {
            test_await_sleep(pid);
            ways[i](q);
        }
        cr_assert_eq(test_wait(pid), 0);
        for (char buf[4096]; shmring_recv(q, buf, sizeof buf) > 0;)
            continue;
    }
    shmring_close(&q);
}

Test(wait, each_way_to_receive_wakes, .init = setup)
{
    q = test_create(name, SHMRING_CONSUMER, 4096);
    check_each_way_to_receive_wakes(64, 1);
}

/* 4096 - 8 bytes are 56 records of 72 bytes and 56 bytes more. After 4 records are released, 300
 * bytes fit. */
Test(wait, a_long_message_waits_for_enough_room, .init = setup)
{
    q = test_create(name, SHMRING_CONSUMER, 4096);
    check_each_way_to_receive_wakes(300, 4);
}

Test(wait, each_way_to_receive_wakes_mpmc, .init = setup)
{
    q = test_create_mpmc(name, SHMRING_CONSUMER, 4, 100);
    check_each_way_to_receive_wakes(64, 1);
}

Test(wait, a_cancelled_reservation_wakes, .init = setup)
{
    size_t length = 64;
    void *place[4];

    q = test_create_mpmc(name, SHMRING_PRODUCER, 4, 100);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(shmring_reserve(q, 10, &place[i]), 0);
    pid_t pid = test_fork(send_one, &length);
    test_await_sleep(pid);
    cr_assert_eq(shmring_cancel(q, place[2]), 0);
    cr_assert_eq(test_wait(pid), 0);
    shmring_close(&q);
}

/* The only free block is far from where the search begins; all others are held. */
Test(wait, the_one_free_block_is_found, .init = setup)
{
    enum { N = 1024 };
    static const void *held[N];
    shmring_t *consumers[N / 64];

    q = test_create_mpmc(name, SHMRING_PRODUCER, N, 100);
    for (int i = 0; i < N; i++)
        cr_assert_eq(shmring_send(q, "x", 1), 0);
    for (int i = 0; i < N; i++) {
        if (i % 64 == 0)
            consumers[i / 64] = open_role(SHMRING_CONSUMER);
        cr_assert_eq(shmring_peek(consumers[i / 64], &held[i], NULL), 1);
    }
    cr_assert_eq(shmring_set_waiting(q, &sleepy), 0);
    for (int i = 0; i < N; i += 337) {
        assert_refused(shmring_send_wait(q, "y", 1, &moment), ETIMEDOUT, "in time");
        cr_assert_eq(shmring_release(consumers[i / 64], held[i]), 0);
        cr_assert_eq(shmring_send_wait(q, "y", 1, for_ever), 0);
    }
    for (int i = 0; i < N / 64; i++)
        shmring_close(&consumers[i]);
    shmring_close(&q);
}

static int wait_for_either(void *expected)
{
    shmring_t *both = child_open(BOTH);

    child_assert(shmring_set_waiting(both, &sleepy) == 0);
    fill(both); /* also sets what the handle notes when a send is refused */
    for (char buf[100]; shmring_recv(both, buf, sizeof buf) > 0;)
        continue;
    child_assert(shmring_wait(both, SHMRING_READABLE, &at_once) == -ETIMEDOUT);
    child_assert(shmring_wait(both, SHMRING_READABLE | SHMRING_WRITABLE, for_ever) ==
                 *(int *)expected);
    return 0;
}

/* Another handle holds all blocks: the queue is neither writable nor readable. */
Test(wait, either_event_wakes, .init = setup)
{
    for (int i = 0; i < 2; i++) {
        const int event = i ? SHMRING_WRITABLE : SHMRING_READABLE;
        void *place[4];
        q = test_create_mpmc(name, SHMRING_PRODUCER | SHMRING_OPEN_OR_CREATE, 4, 100);
        for (int n = 0; n < 4; n++)
            cr_assert_eq(shmring_reserve(q, 10, &place[n]), 0);
        pid_t pid = test_fork(wait_for_either, (void *)&event);
        test_await_sleep(pid);
        if (event == SHMRING_WRITABLE)
            cr_assert_eq(shmring_cancel(q, place[0]), 0);
        else
            cr_assert_eq(shmring_commit(q, place[0], 10), 0);
        cr_assert_eq(test_wait(pid), 0);
        shmring_close(&q);
        cr_assert_eq(shmring_unlink(name), 0);
    }
}

/* ---- Several sleepers ------------------------------------------------------------------------ */

enum { SLEEPERS = 4 };

static int hold_one_until_told(void *ends)
{
    const int *end = ends;
    shmring_t *consumer = child_open(SHMRING_CONSUMER);
    const void *msg;

    child_assert(shmring_set_waiting(consumer, &sleepy) == 0);
    child_assert(shmring_peek_wait(consumer, &msg, NULL, for_ever) == 1);
    test_tell(end[1]);
    pause(); /* holds the message, so that each sleeper needs a wake-up of its own */
    return 0;
}

static void check_all_wake(void (*send)(void))
{
    pid_t pid[SLEEPERS];
    int ends[2];

    q = test_create_mpmc(name, SHMRING_PRODUCER, 8, 100);
    test_pipe(ends);
    for (int i = 0; i < SLEEPERS; i++) {
        pid[i] = test_fork(hold_one_until_told, ends);
        test_await_sleep(pid[i]);
    }
    send();
    for (int i = 0; i < SLEEPERS; i++)
        test_hear(ends[0]);
    for (int i = 0; i < SLEEPERS; i++)
        test_kill(pid[i]);
    shmring_close(&q);
}

static void send_one_by_one(void)
{
    for (int i = 0; i < SLEEPERS; i++)
        cr_assert_eq(shmring_send(q, "x", 1), 0);
}

static void send_all_in_a_batch(void)
{
    struct iovec batch[SLEEPERS];

    for (int i = 0; i < SLEEPERS; i++)
        batch[i] = (struct iovec){"x", 1};
    cr_assert_eq(shmring_send_batch(q, batch, SLEEPERS), SLEEPERS);
}

Test(wait, a_message_each_wakes_all, .init = setup)
{
    check_all_wake(send_one_by_one);
}

Test(wait, a_batch_wakes_as_many, .init = setup)
{
    check_all_wake(send_all_in_a_batch);
}

/* ---- The futex ------------------------------------------------------------------------------- */

Test(wait, arming_the_futex, .init = setup_spsc, .fini = teardown)
{
    struct shmring_futex futex = {0};
    char buf[100];

    cr_assert_eq(shmring_futex_arm(q, SHMRING_READABLE, &futex), 0);
    cr_assert_eq(*futex.word, futex.value);
    cr_assert(futex.limit_ns > 0 && futex.limit_ns <= 50000000);
    send_hello();
    cr_assert_neq(*futex.word, futex.value, "the announced sleeper does not sleep");
    cr_assert_eq(shmring_futex_arm(q, SHMRING_READABLE, &futex), 1);
    cr_assert_eq(shmring_recv(q, buf, sizeof buf), 5);
    cr_assert_eq(shmring_futex_arm(q, SHMRING_READABLE, &futex), 0);

    cr_assert_eq(shmring_futex_arm(q, SHMRING_WRITABLE, &futex), 1);
    fill(q);
    cr_assert_eq(shmring_futex_arm(q, SHMRING_WRITABLE, &futex), 0);
    cr_assert_eq(*futex.word, futex.value);
    cr_assert_eq(shmring_recv(q, buf, sizeof buf), 64);
    cr_assert_neq(*futex.word, futex.value);
    cr_assert_eq(shmring_futex_arm(q, SHMRING_WRITABLE, &futex), 1);
}

/* Another sleeper sets the flag again before the first one sleeps; the count still tells the first
 * one that it was notified. */
Test(wait, a_notified_participant_does_not_sleep, .init = setup_mpmc, .fini = teardown)
{
    shmring_t *other = open_role(SHMRING_CONSUMER);
    struct shmring_futex mine, others;
    char buf[100];

    cr_assert_eq(shmring_futex_arm(q, SHMRING_READABLE, &mine), 0);
    send_hello();
    cr_assert_eq(shmring_recv(other, buf, sizeof buf), 5);
    cr_assert_eq(shmring_futex_arm(other, SHMRING_READABLE, &others), 0);
    cr_assert_eq(mine.word != others.word, 1, "each handle has a mapping of its own");
    cr_assert_eq(*mine.word, *others.word);
    cr_assert_eq(*others.word, others.value);
    cr_assert_neq(*mine.word, mine.value);
    shmring_close(&other);
}

/* A sleeper cannot be sure that all publishers have seen its announcement until it has slept for
 * SHMR_RECHECK_NS: arming twice is not enough, nor is another sleeper that was first. */
Test(wait, first_sleeps_are_short, .init = setup_mpmc, .fini = teardown)
{
    shmring_t *other = open_role(SHMRING_CONSUMER), *late;
    shmring_t *const handles[] = {q, other, q, other};
    struct shmring_futex futex;

    cr_assert_eq(shmring_set_waiting(q, &sleepy), 0);
    cr_assert_eq(shmring_set_waiting(other, &sleepy), 0);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(shmring_futex_arm(handles[i], SHMRING_READABLE, &futex), 0);
        cr_assert_eq(futex.limit_ns, 50000000);
        cr_assert_eq(futex.flags, SHMRING_FUTEX_UNSURE);
    }
    nanosleep(&(struct timespec){.tv_nsec = futex.limit_ns}, NULL);
    cr_assert_eq(shmring_futex_arm(other, SHMRING_READABLE, &futex), 0);
    cr_assert_eq(futex.limit_ns, INT64_C(3600000000000));
    cr_assert_eq(futex.flags, 0);
    late = open_role(SHMRING_CONSUMER);
    cr_assert_eq(shmring_set_waiting(late, &sleepy), 0);
    cr_assert_eq(shmring_futex_arm(late, SHMRING_READABLE, &futex), 0);
    cr_assert_eq(futex.flags, 0, "the other has left a note");
    shmring_close(&late);
    shmring_close(&other);
}

/* So many waits in vain that the learned time is near 0 again, even if one wait was long because
 * other processes ran. */
#define LESSONS 100

/* The time to spin is learnt from waits that lasted longer than the least spin. */
Test(wait, what_a_wait_teaches, .init = setup_spsc, .fini = teardown)
{
    const struct shmring_waiting patient = {.spin_ns = 1000000000}, hasty = {.spin_ns = 1000};
    uint32_t *usual = &q->waiting.usual[SHMR_READABLE];

    cr_assert_eq(shmring_set_waiting(q, &patient), 0);
    for (int i = 0; i < LESSONS && *usual < moment.tv_nsec / 8; i++) {
        q->waiting.waits[SHMR_READABLE] = 1; /* not the one in 16 that spins for the full limit */
        assert_refused(shmring_wait(q, SHMRING_READABLE, &moment), ETIMEDOUT, "in time");
    }
    cr_assert_geq(*usual, moment.tv_nsec / 8, "it slept, and need not have");

    const uint32_t before = *usual;
    cr_assert_eq(shmring_send(q, "there", 5), 0);
    cr_assert_eq(shmring_wait(q, SHMRING_READABLE, for_ever), SHMRING_READABLE);
    cr_assert_eq(*usual, before, "what was there at once teaches nothing");
    cr_assert_eq(shmring_recv(q, (char[8]){0}, 8), 5);

    cr_assert_eq(shmring_set_waiting(q, &hasty), 0);
    for (int i = 0; i < LESSONS && *usual != 700; i++) {
        *usual = 800;
        assert_refused(shmring_wait(q, SHMRING_READABLE, &moment), ETIMEDOUT, "in time");
    }
    cr_assert_eq(*usual, 700, "a long one is a reason to sleep sooner");
}

/* A woken handle that is about to take the only message, or block, does not pass the wake-up on. */
Test(wait, only_what_is_left_is_passed_on, .init = setup_mpmc, .fini = teardown)
{
    static const unsigned events[SHMR_EVENTS] = {SHMRING_READABLE, SHMRING_WRITABLE};
    struct shmring_futex futex;
    char buf[100];

    for (int e = 0; e < SHMR_EVENTS; e++) {
        if (e == SHMR_WRITABLE)
            fill(q);
        for (uint32_t there = 1; there <= 2; there++) {
            cr_assert_geq(e == SHMR_WRITABLE ? shmring_recv(q, buf, sizeof buf)
                                             : shmring_send(q, "one", 3),
                          0);
            uint32_t before = atomic_load(&q->waitword[e]->word);
            cr_assert_eq(shmring_futex_arm(q, events[e], &futex), 1);
            uint32_t notified = (atomic_load(&q->waitword[e]->word) - before) / SHMR_WAITWORD_STEP;
            cr_assert_eq(notified, there - 1, "%u notifications for %u in the queue", notified,
                         there);
            atomic_fetch_and(&q->waitword[e]->word, ~SHMR_WAITWORD_SLEEPERS); /* no handle sleeps */
        }
    }
}
