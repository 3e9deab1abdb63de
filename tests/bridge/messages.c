/* SPDX-License-Identifier: MIT */
/* shmring-bridge with a real nats-server: it passes on every message, whichever process is killed
 * meanwhile. */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bridged.h"
#include "tap.h"

TestSuite(bridge, .init = nats_needed, .timeout = 600);

/* ---- Passing messages on --------------------------------------------------------------------- */

static void there_and_back(uint32_t kind)
{
    struct outcome who;

    nats_start(&server, "");
    prepare(kind, "", "");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    bridge_await(&bridge, "ready");
    for (uint64_t n = 0; n < 3000; n += 300) {
        put(n, 300);
        receive(n, 300);
    }
    for (int i = 0; i < 2; i++) {
        who = TOOL("", "who", i ? to : from);
        cr_assert_not_null(strstr(who.out, "shmring-bridge"));
        outcome_free(&who);
    }
    bridge_stop(&bridge);
    assert_nothing_more();
    finish();
}

Test(bridge, there_and_back_spsc)
{
    there_and_back(SHMRING_SPSC);
}

Test(bridge, there_and_back_mpmc)
{
    there_and_back(SHMRING_MPMC);
}

/* Each message has its id, unless the route has message-ids = no. */
Test(bridge, message_ids)
{
    for (int without = 0; without < 2; without++) {
        struct tap tap;
        nats_start(&server, "");
        prepare(SHMRING_SPSC, without ? "message-ids=no" : "", "");
        tap_start(&tap, &server);
        struct program out = bridge_start_at(tap.url, "-r", out_route, NULL);
        struct program in = bridge_start(&server, "-r", in_route, NULL);
        put(0, 100);
        receive(0, 100);
        bridge_stop(&in);
        bridge_stop(&out);
        cr_assert_eq(tap_heard(&tap, "\r\nPUB s.x"), without);
        cr_assert_eq(tap_heard(&tap, "\r\nHPUB s.x"), !without);
        cr_assert_eq(tap_heard(&tap, "\r\nNats-Msg-Id: "), !without);
        tap_stop(&tap);
        finish();
    }
}

/* Messages that were sent before the first bridge ran, and stored before the second one ran. */
Test(bridge, one_after_the_other)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    put(0, 100);
    struct program out = bridge_start(&server, "-r", out_route, NULL);
    for (struct shmring_stat st = {0}; st.received < 100;)
        cr_assert_eq(shmring_stat(producer, &st), 0);
    bridge_stop(&out);
    struct program in = bridge_start(&server, "-r", in_route, NULL);
    receive(0, 100);
    bridge_stop(&in);
    in = bridge_start(&server, "-r", in_route, NULL);
    bridge_await(&in, "ready");
    bridge_stop(&in);
    assert_nothing_more();
    finish();
}

/* When the queue is full, the bridge stops pulling and drops no message. */
Test(bridge, a_full_queue_holds_the_stream_back)
{
    struct shmring_stat st = {0};

    nats_start(&server, "");
    prepare(SHMRING_MPMC, "", "window=64");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    put(0, 2000);
    while (st.depth < MESSAGES)
        cr_assert_eq(shmring_stat(consumer, &st), 0);
    /* Three times the ack-wait: the server delivers them again, and the bridge recognises them. */
    usleep(1500000);
    receive(0, 2000);
    assert_nothing_more();
    bridge_stop(&bridge);
    finish();
}

/* ---- A server that ends ---------------------------------------------------------------------- */

Test(bridge, the_server_is_away_for_longer_than_the_queue_can_buffer)
{
    uint64_t n = 0;

    nats_start(&server, "");
    prepare(SHMRING_MPMC, "storage=file window=100", "");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    put(n, 200);
    receive(0, 200);
    nats_kill(&server);
    bridge_await(&bridge, "disconnected");
    for (n = 200; shmring_send(producer, &n, sizeof n) == 0; n++)
        continue;
    cr_assert_eq(n, 200 + MESSAGES);
    nats_start_again(&server);
    put(n, 1000);
    receive_all(200, MESSAGES + 1000);
    assert_nothing_more();
    bridge_stop(&bridge);
    finish();
}

/* With one message in flight no two messages can change places. */
Test(bridge, one_at_a_time_keeps_the_order)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "storage=file window=1 ack-wait=1000", "window=1");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    for (uint64_t n = 0; n < 200; n += 50) {
        put(n, 50);
        receive(n, 25);
        nats_kill(&server);
        nats_start_again(&server);
        receive(n + 25, 25);
    }
    bridge_stop(&bridge);
    assert_nothing_more();
    finish();
}

Test(bridge, it_may_start_before_the_server)
{
    nats_start(&server, "");
    nats_kill(&server);
    prepare(SHMRING_SPSC, "", "");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    bridge_await(&bridge, "no server at");
    put(0, 100);
    nats_start_again(&server);
    receive(0, 100);
    bridge_stop(&bridge);
    finish();
}

/* ---- A bridge that dies ---------------------------------------------------------------------- */

static int receive_message_0(void *unused)
{
    shmring_t *q;
    uint64_t number;

    (void)unused;
    child_assert(shmring_open(&q, to, SHMRING_CONSUMER) == 0);
    child_assert(shmring_recv_wait(q, &number, sizeof number, NULL) == 8 && number == 0);
    shmring_close(&q);
    return 0;
}

/*
 * Send message 0, and kill the bridge at its first system call after it has put the message into
 * the queue. The consumer sleeps, so that call is the one that wakes it. The state file does not
 * yet say that the message is in the queue.
 */
static void kill_before_it_is_noted(struct program *bridge, shmring_t *observer)
{
    struct shmring_stat st = {0};
    int status;

    if (ptrace(PTRACE_SEIZE, bridge->pid, NULL, NULL) < 0)
        cr_skip_test("ptrace: %s", strerror(errno));
    cr_assert_eq(ptrace(PTRACE_INTERRUPT, bridge->pid, NULL, NULL), 0);
    put(0, 1);
    for (;;) {
        cr_assert_eq(waitpid(bridge->pid, &status, __WALL), bridge->pid);
        cr_assert(WIFSTOPPED(status));
        cr_assert_eq(shmring_stat(observer, &st), 0);
        if (st.sent == 1)
            break;
        cr_assert_eq(ptrace(PTRACE_SYSCALL, bridge->pid, NULL, NULL), 0);
    }
    kill(bridge->pid, SIGKILL);
    struct outcome outcome = program_finish(bridge);
    cr_assert_eq(outcome.status, 128 + SIGKILL);
    outcome_free(&outcome);
}

/* A bridge from the queue, and a bridge to the queue that was killed after it had passed on message
 * 0. */
static struct program pass_on_and_kill(uint32_t kind)
{
    struct shmring_stat st = {0};
    struct deadline deadline = {0};
    shmring_t *observer;

    nats_start(&server, "");
    prepare(kind, "", "");
    shmring_close(&consumer);
    cr_assert_eq(shmring_open(&observer, to, SHMRING_OBSERVER), 0);
    struct program out = bridge_start(&server, "-r", out_route, NULL);
    bridge_await(&out, "ready");
    struct program in = bridge_start(&server, "-r", in_route, NULL);
    bridge_await(&in, "ready");
    pid_t receiver = test_fork(receive_message_0, NULL);
    while ((st.asleep & SHMRING_READABLE) == 0) {
        pause_until(&deadline, "the consumer to sleep");
        cr_assert_eq(shmring_stat(observer, &st), 0);
    }
    kill_before_it_is_noted(&in, observer);
    cr_assert_eq(test_wait(receiver), 0);
    shmring_close(&observer);
    return out;
}

static void killed_before_it_is_noted(uint32_t kind)
{
    struct program out = pass_on_and_kill(kind);
    const char *path = metrics_file();

    struct program in =
        bridge_start(&server, "-r", in_route, "-l", "debug", "--openmetrics", path, NULL);
    bridge_await(&in, "message 1 came again");
    cr_assert_eq(shmring_open(&consumer, to, SHMRING_CONSUMER), 0);
    put(1, 1);
    receive(1, 1);
    bridge_stop(&in);
    cr_assert_geq(metric(path, "redelivered_total", "to-queue"), 1);
    bridge_stop(&out);
    assert_nothing_more();
    finish();
}

Test(bridge, killed_before_it_is_noted_spsc)
{
    killed_before_it_is_noted(SHMRING_SPSC);
}

Test(bridge, killed_before_it_is_noted_mpmc)
{
    killed_before_it_is_noted(SHMRING_MPMC);
}

/* The bridge cannot know then what the dead one has sent, and its log says so. */
Test(bridge, killed_before_it_is_noted_and_its_row_was_taken)
{
    enum { PRODUCERS = 8 }; /* one of these has the dead bridge's row */
    struct program out = pass_on_and_kill(SHMRING_MPMC);
    shmring_t *others[PRODUCERS];

    for (int i = 0; i < PRODUCERS; i++)
        cr_assert_eq(shmring_open(&others[i], to, SHMRING_PRODUCER), 0);
    struct program in = bridge_start(&server, "-r", in_route, NULL);
    bridge_await(&in, "message 1 may be in the queue already, and comes again");
    cr_assert_eq(shmring_open(&consumer, to, SHMRING_CONSUMER), 0);
    receive(0, 1); /* the message comes again */
    put(1, 1);
    receive(1, 1);
    bridge_stop(&in);
    bridge_stop(&out);
    assert_nothing_more();
    for (int i = 0; i < PRODUCERS; i++)
        shmring_close(&others[i]);
    finish();
}

/* ---- The state file -------------------------------------------------------------------------- */

/* The state file stays as long as its queue. */
Test(bridge, the_state_file_goes_with_the_queue)
{
    char path[TEST_NAME_SIZE + 16];

    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    snprintf(path, sizeof path, "%s/state", server.directory);
    for (int removed = 0; removed < 2; removed++) {
        struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
        bridge_await(&bridge, "ready");
        if (removed)
            DO("rm", to);
        bridge_stop(&bridge);
        cr_assert_eq(access(path, F_OK) == 0, !removed);
    }
    shmring_close(&producer);
    shmring_close(&consumer);
    DO("rm", from);
    nats_stop(&server);
}

/* ---- A bridge that ends ---------------------------------------------------------------------- */

/* The bridge ends after it has given back its messages; libnats does not call back after that. */
Test(bridge, messages_come_while_it_ends)
{
    struct tap tap;

    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    struct program out = bridge_start(&server, "-r", out_route, NULL);
    bridge_await(&out, "ready");
    tap_start(&tap, &server);
    struct program in = bridge_start_at(tap.url, "-r", in_route, NULL);
    put(0, 10);
    receive(0, 10);
    tap_say_more(&tap, 100);
    bridge_stop(&in);
    cr_assert_geq(tap_said(&tap), 100); /* it has heard at least the answer to its last flush */
    tap_stop(&tap);
    bridge_stop(&out);
    finish();
}

/* ---- Messages that cannot be passed on ------------------------------------------------------- */

Test(bridge, what_is_too_long_for_the_server_goes_to_the_dead_letters)
{
    char more[200], message[1024] = "long";
    const char *dead = queue_name();
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};

    nats_start(&server, "max_payload: 1024");
    shmring_t *letters = test_create(dead, SHMRING_CONSUMER, CAPACITY);
    snprintf(more, sizeof more, "dead-letter=%s", dead);
    prepare(SHMRING_SPSC, more, "");
    const char *path = metrics_file();
    struct program bridge =
        bridge_start(&server, "-r", out_route, "-r", in_route, "--openmetrics", path, NULL);
    put(0, 10);
    cr_assert_eq(shmring_send(producer, message, sizeof message), 0);
    put(10, 10);
    receive(0, 20);
    cr_assert_eq(shmring_recv_wait(letters, message, sizeof message, &patience), sizeof message);
    bridge_await(&bridge, "a message of 1024 bytes goes to");
    bridge_stop(&bridge);
    expect_metric(path, "dead_lettered_total", "to-subject", 1);
    shmring_close(&letters);
    DO("rm", dead);
    finish();
}

Test(bridge, without_dead_letters_it_stays_and_the_route_stops)
{
    char message[1024] = "long";
    struct shmring_stat st;

    nats_start(&server, "max_payload: 1024");
    prepare(SHMRING_SPSC, "", "");
    put(0, 10);
    cr_assert_eq(shmring_send(producer, message, sizeof message), 0);
    put(10, 10);
    struct program bridge = bridge_start(&server, "-r", out_route, NULL);
    EXPECT(program_finish(&bridge), 1, "", "which stays where it is: the server takes at most");
    cr_assert_eq(shmring_stat(producer, &st), 0);
    cr_assert_geq(st.depth, 11);
    finish();
}

Test(bridge, what_is_too_long_for_the_queue_goes_to_the_dead_letters)
{
    char more[200], message[LONGEST + 1] = "long";
    const char *dead = queue_name();
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};

    nats_start(&server, "");
    shmring_t *letters = test_create(dead, SHMRING_CONSUMER, CAPACITY);
    snprintf(more, sizeof more, "dead-letter=%s", dead);
    prepare(SHMRING_MPMC, "", more);
    shmring_close(&producer);
    DO("rm", from);
    producer = test_create(from, SHMRING_PRODUCER, CAPACITY);
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    cr_assert_eq(shmring_send(producer, message, sizeof message), 0);
    put(0, 10);
    receive(0, 10);
    cr_assert_eq(shmring_recv_wait(letters, message, sizeof message, &patience), sizeof message);
    bridge_stop(&bridge);
    shmring_close(&letters);
    DO("rm", dead);
    finish();
}

/* The stream keeps the message, for a bridge that has a dead-letter queue. */
Test(bridge, without_dead_letters_it_stays_in_the_stream)
{
    char more[200], message[LONGEST + 1] = "long";
    const char *dead = queue_name();
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};

    nats_start(&server, "");
    prepare(SHMRING_MPMC, "", "");
    struct program out = bridge_start(&server, "-r", out_route, NULL);
    bridge_await(&out, "ready");
    memset(message, 'x', LONGEST);
    message[LONGEST] = '\0';
    nats_publish(&server, "s.x", message);
    char longer[LONGEST + 2];
    snprintf(longer, sizeof longer, "%sx", message);
    nats_publish(&server, "s.x", longer);
    struct program in = bridge_start(&server, "-r", in_route, NULL);
    EXPECT(program_finish(&in), 1, "", "a message of 201 bytes, which stays where it is");
    shmring_t *letters = test_create(dead, SHMRING_CONSUMER, CAPACITY);
    snprintf(more, sizeof more, " dead-letter=%s", dead);
    strncat(in_route, more, sizeof in_route - strlen(in_route) - 1);
    in = bridge_start(&server, "-r", in_route, NULL);
    cr_assert_eq(shmring_recv_wait(letters, longer, sizeof longer, &patience), LONGEST + 1);
    cr_assert_eq(shmring_recv_wait(consumer, message, sizeof message, &patience), LONGEST);
    bridge_stop(&in);
    bridge_stop(&out);
    assert_nothing_more();
    shmring_close(&letters);
    DO("rm", dead);
    finish();
}

/* The limit is that of the stream; the bridge learns it only from the stream's answer. */
Test(bridge, what_is_too_long_for_the_stream_goes_to_the_dead_letters)
{
    char more[200], message[LONGEST] = "long";
    const char *dead = queue_name();
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};

    nats_start(&server, "");
    nats_publish(&server, "$JS.API.STREAM.CREATE.S",
                 "{\"name\":\"S\",\"subjects\":[\"s.x\"],\"storage\":\"memory\",\"retention\":"
                 "\"limits\",\"discard\":\"old\",\"max_msg_size\":100}");
    shmring_t *letters = test_create(dead, SHMRING_CONSUMER, CAPACITY);
    snprintf(more, sizeof more, "dead-letter=%s", dead);
    prepare(SHMRING_SPSC, more, "");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    put(0, 10);
    cr_assert_eq(shmring_send(producer, message, sizeof message), 0);
    put(10, 10);
    receive(0, 20);
    cr_assert_eq(shmring_recv_wait(letters, message, sizeof message, &patience), LONGEST);
    bridge_stop(&bridge);
    shmring_close(&letters);
    DO("rm", dead);
    finish();
}
