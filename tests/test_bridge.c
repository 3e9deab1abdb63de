/* SPDX-License-Identifier: MIT */
/* shmring-bridge with a real nats-server: what it does, and what it says when it cannot. */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nats.h"
#include "tap.h"
#include "tool.h"

TestSuite(bridge, .init = nats_needed, .timeout = 600);

enum { CAPACITY = 1 << 16, LONGEST = 200 };

static struct nats server;
static const char *from, *to;
static shmring_t *producer, *consumer;
static char out_route[400], in_route[400];

static shmring_t *make(const char *name, uint32_t kind, unsigned role)
{
    return kind == SHMRING_SPSC ? test_create(name, role, CAPACITY)
                                : test_create_mpmc(name, role, 512, LONGEST);
}

/* Two queues, and a route from one to a stream and back to the other. */
static void prepare(uint32_t kind, const char *more_out, const char *more_in)
{
    from = queue_name();
    to = queue_name();
    producer = make(from, kind, SHMRING_PRODUCER);
    consumer = make(to, kind, SHMRING_CONSUMER);
    snprintf(out_route, sizeof out_route,
             "direction=to-subject queue=%s stream=S subject=s.x storage=memory %s", from,
             more_out);
    snprintf(
        in_route, sizeof in_route,
        "direction=to-queue queue=%s stream=S consumer=c subject=s.x ack-wait=500 state=%s/state "
        "%s",
        to, server.directory, more_in);
}

static void finish(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
    DO("rm", from, to);
    nats_stop(&server);
}

static void put(uint64_t first, uint64_t count)
{
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};

    for (uint64_t i = first; i < first + count; i++)
        cr_assert_eq(shmring_send_wait(producer, &i, sizeof i, &patience), 0, "message %d", (int)i);
}

static void receive(uint64_t first, uint64_t count)
{
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};
    uint64_t number;

    for (uint64_t i = first; i < first + count; i++) {
        cr_assert_eq(shmring_recv_wait(consumer, &number, sizeof number, &patience), 8,
                     "waiting for message %d: %s", (int)i, shmring_strerror_detail());
        cr_assert_eq(number, i);
    }
}

/* In whatever order: those that were under way when a connection broke may have changed places. */
static void receive_all(uint64_t first, uint64_t count)
{
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};
    bool *seen = calloc(count, sizeof *seen);
    uint64_t number;

    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(shmring_recv_wait(consumer, &number, sizeof number, &patience), 8,
                     "after %d: %s", (int)i, shmring_strerror_detail());
        cr_assert(number - first < count && !seen[number - first], "%d once more", (int)number);
        seen[number - first] = true;
    }
    free(seen);
}

static const char *metrics_file(void)
{
    static char path[TEST_NAME_SIZE + 16];

    snprintf(path, sizeof path, "%smetrics", directory_name());
    return path;
}

/* The sample of that name; direction NULL: the one of all routes. */
static uint64_t metric(const char *path, const char *name, const char *direction)
{
    char text[8192] = "", start[64], end[64] = "";
    FILE *file = fopen(path, "re");

    cr_assert_not_null(file);
    cr_assert_gt(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    cr_assert_not_null(strstr(text, "\n# EOF\n"));
    snprintf(start, sizeof start, "shmring_bridge_%s%s", name, direction ? "{route=\"" : " ");
    if (direction)
        snprintf(end, sizeof end, ",direction=\"%s\"} ", direction);
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
        const char *tail = strstr(line, end);
        if (strncmp(line, start, strlen(start)) == 0 && tail)
            return strtoull(tail + (direction ? strlen(end) : strlen(start)), NULL, 10);
    }
    cr_assert_fail("no %s of %s", name, direction ? direction : "all");
    return 0;
}

static void expect_metric(const char *path, const char *name, const char *direction, uint64_t value)
{
    cr_assert_eq(metric(path, name, direction), value, "%s of %s: %d, not %d", name,
                 direction ? direction : "all", (int)metric(path, name, direction), (int)value);
}

static void assert_nothing_more(void)
{
    cr_assert_eq(shmring_recv(consumer, &(uint64_t){0}, 8), -EAGAIN);
}

/* ---- Passing on ---------------------------------------------------------------------------------
 */

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

/* Each message has its id, unless the route does without. */
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

/* What was sent while there was no bridge, and what was stored while there was no other one. */
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

/* A queue that is full makes it stop pulling; nothing is dropped. */
Test(bridge, a_full_queue_holds_the_stream_back)
{
    struct shmring_stat st = {0};

    nats_start(&server, "");
    prepare(SHMRING_MPMC, "", "window=64");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    put(0, 2000);
    while (st.depth < 512)
        cr_assert_eq(shmring_stat(consumer, &st), 0);
    usleep(1500000); /* as long as three times its ack-wait: so they come again, and are known */
    receive(0, 2000);
    assert_nothing_more();
    bridge_stop(&bridge);
    finish();
}

/* ---- A server that goes -------------------------------------------------------------------------
 */

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
    cr_assert_eq(n, 200 + 512);
    nats_start_again(&server);
    put(n, 1000);
    receive_all(200, 1512);
    assert_nothing_more();
    bridge_stop(&bridge);
    finish();
}

/* With one message in flight nothing can change places. */
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

/* ---- A bridge that dies -------------------------------------------------------------------------
 */

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
 * Send message 0, and kill the bridge at its first system call after it has put it into the queue.
 * As the consumer sleeps, that is the call to wake it, and the state file does not say yet that the
 * message is in the queue.
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

/* A bridge out, and one in that was killed when it had passed on message 0. */
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

/* Nobody knows then what the dead one has sent; and so it says. */
Test(bridge, killed_before_it_is_noted_and_its_row_was_taken)
{
    enum { PRODUCERS = 8 }; /* one of them has it */
    struct program out = pass_on_and_kill(SHMRING_MPMC);
    shmring_t *others[PRODUCERS];

    for (int i = 0; i < PRODUCERS; i++)
        cr_assert_eq(shmring_open(&others[i], to, SHMRING_PRODUCER), 0);
    struct program in = bridge_start(&server, "-r", in_route, NULL);
    bridge_await(&in, "message 1 may be in the queue already, and comes again");
    cr_assert_eq(shmring_open(&consumer, to, SHMRING_CONSUMER), 0);
    receive(0, 1); /* once more */
    put(1, 1);
    receive(1, 1);
    bridge_stop(&in);
    bridge_stop(&out);
    assert_nothing_more();
    for (int i = 0; i < PRODUCERS; i++)
        shmring_close(&others[i]);
    finish();
}

/* ---- The state file -----------------------------------------------------------------------------
 */

/* It stays as long as its queue. */
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

/* ---- A bridge that ends -------------------------------------------------------------------------
 */

/* After it has given back what it had, and until it hears no more. */
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
    cr_assert_geq(tap_said(&tap), 100); /* with the answer to its last flush */
    tap_stop(&tap);
    bridge_stop(&out);
    finish();
}

/* ---- What cannot be passed on -------------------------------------------------------------------
 */

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

/* The stream keeps it, for a bridge that knows where to put it. */
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

/* The limit is the stream's own, which only its answer tells. */
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

/* ---- What it says when it cannot ----------------------------------------------------------------
 */

static struct outcome run(const char *const argv[])
{
    struct program program = program_start(-1, -1, argv);

    return program_finish(&program);
}
#define RUN(...) run((const char *const[]){"bridge/shmring-bridge", __VA_ARGS__, NULL})

Test(bridge, a_stream_that_is_missing)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    EXPECT(RUN("-s", server.url, "-r", out_route), 1, "", "stream S: Not Found");
    EXPECT(RUN("-s", server.url, "-r", in_route), 1, "", "stream S: Not Found");
    finish();
}

Test(bridge, wrong_credentials)
{
    char words[200];

    nats_start(&server, "authorization: {user: a, password: b}");
    prepare(SHMRING_SPSC, "", "");
    EXPECT(RUN("-s", server.url, "-r", out_route), 1, "", "cannot connect");
    snprintf(words, sizeof words, "%s user=a password=c", server.url);
    EXPECT(RUN("-s", words, "-r", out_route), 1, "", "cannot connect");
    snprintf(words, sizeof words, "%s credentials=/nowhere/creds", server.url);
    EXPECT(RUN("-s", words, "-r", out_route), 1, "", "cannot connect");
    snprintf(words, sizeof words, "%s user=a password=b", server.url);
    struct program bridge =
        program_start(-1, -1,
                      (const char *const[]){"bridge/shmring-bridge", "--create-stream", "-s", words,
                                            "-r", out_route, NULL});
    bridge_await(&bridge, "ready");
    bridge_stop(&bridge);
    finish();
}

/* With a certificate that it is told to trust, and not without. */
Test(bridge, tls)
{
    char command[800], lines[400], words[300];
    const char *directory = directory_name();

    snprintf(
        command, sizeof command,
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout %skey -out %scert 2>/dev/null",
        directory, directory);
    if (system(command) != 0)
        cr_skip_test("openssl cannot make a certificate");
    snprintf(lines, sizeof lines, "tls: {cert_file: \"%scert\", key_file: \"%skey\"}", directory,
             directory);
    nats_start(&server, lines);
    prepare(SHMRING_SPSC, "", "");
    snprintf(words, sizeof words, "%s tls=yes", server.url);
    EXPECT(RUN("-s", words, "-r", out_route), 1, "", "cannot connect");
    EXPECT(RUN("-s", "tls-ca=/nowhere", "-r", out_route), 1, "", "cannot connect");
    snprintf(words, sizeof words, "%s tls-ca=%scert", server.url, directory);
    struct program bridge =
        program_start(-1, -1,
                      (const char *const[]){"bridge/shmring-bridge", "--create-stream", "-s", words,
                                            "-r", out_route, "-r", in_route, NULL});
    put(0, 100);
    receive(0, 100);
    bridge_stop(&bridge);
    finish();
}

Test(bridge, queues_that_are_missing_or_taken)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    EXPECT(RUN("-s", server.url, "-r",
               "direction=to-subject queue=there-is-none stream=S subject=s.x"),
           1, "", "there-is-none");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    bridge_await(&bridge, "ready");
    EXPECT(RUN("-s", server.url, "-r", out_route), 1, "", "shmring-bridge");
    bridge_stop(&bridge);
    finish();
}

/* Of an mpmc queue there may be many producers, but one only for each consumer of a stream. */
Test(bridge, the_same_route_twice)
{
    nats_start(&server, "");
    prepare(SHMRING_MPMC, "", "");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    bridge_await(&bridge, "ready");
    EXPECT(RUN("-s", server.url, "-r", in_route), 1, "", "another bridge runs this route");
    bridge_stop(&bridge);
    finish();
}

static void expect_complaint(const char *text, const char *complaint)
{
    char path[TEST_NAME_SIZE + 16], words[300];
    static const char *directory;

    if (!directory)
        directory = directory_name();
    snprintf(path, sizeof path, "%sconfig", directory);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
    snprintf(words, sizeof words, *complaint == ':' ? "%s%s" : "%.0s%s", path, complaint);
    if (*complaint)
        EXPECT(RUN("--check", path), 2, "", words);
    else
        EXPECT(RUN("--check", path), 0, "", "");
}

Test(bridge, configuration, .init = NULL)
{
    static const char good[] =
        "# all of it\n[server]\nurl = nats://host:1, nats://other:2\n"
        "user=a\npassword = b = c\nname=me\n\n[route one]\n"
        "direction = to-subject\nqueue=file:/srv/a b\nstream=S\nsubject=s.x\n"
        "window=10\n[route two]\ndirection=to-queue\nqueue=q\nstream=S\n"
        "consumer=c\nack-wait=1000\n";
    expect_complaint(good, "");
    expect_complaint("", "no route");
    expect_complaint("url=x\n", ":1: a KEY = VALUE before the first [section]");
    expect_complaint("[server]\nurl\n", ":2: a line is KEY = VALUE");
    expect_complaint("[server]\n\nurl=\n", ":3: the value is empty");
    expect_complaint("[server\n", ":1: a section ends with ']'");
    expect_complaint("[rout x]\n", ":1: a section is [server] or [route NAME]");
    expect_complaint("[route x]\n[route x]\n", ":2: there is a route of this name already");
    expect_complaint("[server]\nqueue=x\n", ":2: no such key in [server]");
    expect_complaint("[route x]\nurl=x\n", ":2: no such key in [route]");
    expect_complaint("[route x]\ndirection=up\n", ":2: the value is neither to-subject nor");
    expect_complaint("[route x]\nwindow=0\n", ":2: the value is no number from 1 to 65536");
    expect_complaint("[route x]\nwindow=10x\n", ":2: the value is no number");
    expect_complaint("[route x]\ncreate-stream=maybe\n", ":2: the value is neither yes nor no");
    expect_complaint("[route x]\nmessage-ids=some\n", ":2: the value is neither yes nor no");
    expect_complaint("[route x]\nstorage=tape\n", ":2: the value is neither file nor memory");
    expect_complaint("[route x]\nstream=a.b\n", ":2: the name of a stream");
    expect_complaint("[route x]\nsubject=a..b\n", ":2: a subject is words");
    expect_complaint("[route x]\nqueue=q\n", "route x: direction is missing");
    expect_complaint("[route x]\ndirection=to-subject\nqueue=q\nstream=s\n",
                     "route x: subject is missing");
    expect_complaint("[route x]\ndirection=to-queue\nqueue=q\nstream=s\n",
                     "route x: consumer is missing");
    expect_complaint("[route x]\ndirection=to-subject\nqueue=q\nstream=s\nsubject=a.*\n",
                     "one cannot publish to the pattern");
    expect_complaint("[server]\nuser=a\n[route x]\ndirection=to-subject\nqueue=q\nstream=s\n"
                     "subject=a\n",
                     "user and password belong together");
}

Test(bridge, command_line, .init = NULL)
{
    EXPECT(RUN("/nowhere/config"), 2, "", "/nowhere/config: No such file");
    EXPECT(RUN("--route", "queue"), 2, "", "a word is not KEY=VALUE");
    EXPECT(RUN("--route", "queue=q colour=red"), 2, "", "no such key in [route]");
    EXPECT(RUN("--server", "queue=q"), 2, "", "no such key in [server]");
    EXPECT(RUN("--log-level", "loud"), 2, "", "a level is");
    EXPECT(RUN("--colour"), 2, "", "unrecognized option");
    EXPECT(RUN("--create-stream"), 2, "", "no route");
    EXPECT(RUN("--check", "-r", "direction=to-queue queue=q stream=s consumer=c"), 0, "", "");
    struct outcome outcome = RUN("--help");
    cr_assert_eq(outcome.status, 0);
    cr_assert_not_null(strstr(outcome.out, "--create-stream"));
    outcome_free(&outcome);
}

/* ---- Those who look after it --------------------------------------------------------------------
 */

Test(bridge, metrics)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "ack-wait=600000", "ack-wait=600000"); /* nothing comes again */
    const char *path = metrics_file();
    struct program bridge =
        bridge_start(&server, "-r", out_route, "-r", in_route, "--openmetrics", path, NULL);
    put(0, 50);
    receive(0, 50);
    bridge_stop(&bridge);
    static const char *const directions[] = {"to-subject", "to-queue"};
    for (int i = 0; i < 2; i++) {
        expect_metric(path, "messages_total", directions[i], 50);
        expect_metric(path, "bytes_total", directions[i], 400);
        expect_metric(path, "redelivered_total", directions[i], 0);
        expect_metric(path, "dead_lettered_total", directions[i], 0);
        expect_metric(path, "lag", directions[i], 0);
        expect_metric(path, "up", directions[i], 1);
    }
    expect_metric(path, "in_flight", "to-subject", 0);
    cr_assert_leq(metric(path, "in_flight", "to-queue"), 4096);
    expect_metric(path, "reconnects_total", NULL, 0);
    finish();
}

Test(bridge, metrics_of_a_server_that_goes)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "storage=file", "");
    const char *path = metrics_file();
    struct program bridge =
        bridge_start(&server, "-r", out_route, "-r", in_route, "--openmetrics", path, NULL);
    put(0, 10);
    receive(0, 10);
    nats_kill(&server);
    bridge_await(&bridge, "disconnected");
    nats_start_again(&server);
    put(10, 10);
    receive(10, 10);
    nats_kill(&server);
    bridge_await_times(&bridge, "disconnected", 2);
    put(20, 10);
    bridge_stop(&bridge);
    expect_metric(path, "reconnects_total", NULL, 1);
    expect_metric(path, "lag", "to-subject", 10);
    expect_metric(path, "up", "to-subject", 0);
    expect_metric(path, "up", "to-queue", 0);
    nats_start_again(&server);
    finish();
}

Test(bridge, log_levels)
{
    static const char *const levels[] = {"error", "warning", "info"};

    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    for (int i = 0; i < 3; i++) {
        struct program bridge =
            bridge_start(&server, "-r", out_route, "-r", in_route, "-l", levels[i], NULL);
        put(10 * (uint64_t)i, 10);
        receive(10 * (uint64_t)i, 10);
        kill(bridge.pid, SIGTERM);
        struct outcome outcome = program_finish(&bridge);
        cr_assert_eq(outcome.status, 0);
        cr_assert_eq(strstr(outcome.err, "shmring-bridge: info: ready\n") != NULL, i == 2);
        cr_assert(i == 2 || !strstr(outcome.err, "info:"));
        cr_assert(i > 0 || !strstr(outcome.err, "warning:"));
        outcome_free(&outcome);
    }
    finish();
}

Test(bridge, the_service_manager_is_told)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char told[64] = "";
    int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    snprintf(address.sun_path, sizeof address.sun_path, "%sreadiness", directory_name());
    cr_assert_eq(bind(manager, (void *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    struct program bridge = bridge_start(&server, "-r", out_route, NULL);
    cr_assert_eq(recv(manager, told, sizeof told - 1, 0), 7);
    cr_assert_str_eq(told, "READY=1");
    bridge_stop(&bridge);
    cr_assert_gt(recv(manager, told, sizeof told - 1, 0), 0);
    cr_assert_eq(strncmp(told, "STOPPING=1", 10), 0);
    close(manager);
    finish();
}

/* ---- The example --------------------------------------------------------------------------------
 */

static void two_machines(const char *machines, const char *said)
{
    const char *source = getenv("srcdir"), *build = getenv("builddir");
    char script[4096], path[3 * 4096];
    char *here = realpath(build ? build : ".", NULL),
         *there = realpath(source ? source : ".", NULL);

    snprintf(script, sizeof script, "%s/examples/bridge_two_machines", there);
    snprintf(path, sizeof path, "%s/tools:%s/bridge:%s", here, here, getenv("PATH"));
    setenv("PATH", path, 1);
    if (access(script, X_OK) < 0)
        cr_skip_test("%s is not here: set srcdir", script);
    struct program program =
        program_start(-1, -1, (const char *const[]){script, "5", machines, NULL});
    struct outcome outcome = program_finish(&program);
    if (strcmp(machines, "namespaces") == 0 && strncmp(outcome.out, said, strlen(said)) != 0)
        cr_skip_test("no network namespaces here: %s", outcome.err);
    cr_assert_eq(outcome.status, 0, "%s", outcome.err);
    cr_assert_eq(strncmp(outcome.out, said, strlen(said)), 0, "%s", outcome.out);
    for (int i = 1; i <= 10; i++) {
        char line[64];
        snprintf(line, sizeof line, "\norder %d of producer %d\n", (i + 1) / 2, i % 2 + 1);
        cr_assert_not_null(strstr(outcome.out, line), "no %s in %s", line, outcome.out);
    }
    outcome_free(&outcome);
    free(here);
    free(there);
}

Test(bridge, two_machines_as_namespaces)
{
    two_machines("namespaces", "machines A and B: two network namespaces\n");
}

Test(bridge, two_machines_as_directories)
{
    two_machines("directories", "machines A and B: two directories of this one\n");
}
