/* SPDX-License-Identifier: MIT */
/* shmring-bridge as its administrator sees it: its errors, configuration, metrics and log, and the
 * example. */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bridged.h"

TestSuite(bridge_program, .init = nats_needed, .timeout = 600);

/* ---- Errors ---------------------------------------------------------------------------------- */

static struct outcome run(const char *const argv[])
{
    struct program program = program_start(-1, -1, argv);

    return program_finish(&program);
}
#define RUN(...) run((const char *const[]){"bridge/shmring-bridge", __VA_ARGS__, NULL})

Test(bridge_program, a_stream_that_is_missing)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    EXPECT(RUN("-s", server.url, "-r", out_route), 1, "", "stream S: Not Found");
    EXPECT(RUN("-s", server.url, "-r", in_route), 1, "", "stream S: Not Found");
    finish();
}

Test(bridge_program, wrong_credentials)
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

/* The bridge connects with a certificate that its configuration trusts, and not without. */
Test(bridge_program, tls)
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

Test(bridge_program, queues_that_are_missing_or_taken)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    EXPECT(RUN("-s", server.url, "-r",
               "direction=to-subject queue=there-is-none stream=S subject=s.x wait=no"),
           1, "", "error: route 1: there-is-none: /dev/shm/there-is-none does not exist\n");
    EXPECT(RUN("-s", server.url, "-r",
               "direction=to-queue queue=there-is-none stream=S consumer=c wait=no"),
           1, "", "error: route 1: there-is-none: /dev/shm/there-is-none does not exist\n");
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    bridge_await(&bridge, "ready");
    EXPECT(RUN("-s", server.url, "-r", out_route), 1, "", "shmring-bridge");
    bridge_stop(&bridge);
    finish();
}

static void check_removed_and_made_again(uint32_t kind)
{
    char state[TEST_NAME_SIZE + 16];

    nats_start(&server, "");
    prepare(kind, "", "");
    snprintf(state, sizeof state, "%s/state", server.directory);
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    bridge_await(&bridge, "ready");
    for (int i = 0; i < 3; i++) {
        put(10 * (uint64_t)i, 10);
        receive(10 * (uint64_t)i, 10);
        remove_queues();
        bridge_await_times(&bridge, "was removed: waiting for another one of that name", 2 * i + 2);
        while (access(state, F_OK) == 0) /* the state file says nothing about another queue */
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        make_queues(kind);
        bridge_await_times(&bridge, " is there\n", 2 * i + 2);
    }
    put(30, 10);
    receive(30, 10);
    assert_nothing_more();
    bridge_stop(&bridge);
    finish();
}

Test(bridge_program, queues_that_are_removed_and_made_again, .timeout = 120)
{
    check_removed_and_made_again(SHMRING_SPSC);
}

Test(bridge_program, queues_that_are_removed_and_made_again_mpmc, .timeout = 120)
{
    check_removed_and_made_again(SHMRING_MPMC);
}

/* At boot the queues are not there yet. The bridge tells the service manager all the same that it
 * is ready. */
Test(bridge_program, queues_that_come_later)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    remove_queues();
    struct program bridge = bridge_start(&server, "-r", out_route, "-r", in_route, NULL);
    bridge_await_times(&bridge, "does not exist: waiting for it", 2);
    bridge_await(&bridge, "info: ready");
    make_queues(SHMRING_SPSC);
    put(0, 10);
    receive(0, 10);
    bridge_stop(&bridge);
    finish();
}

/* Many producers may send into an mpmc queue, but only one bridge may use a consumer of a
 * stream. */
Test(bridge_program, the_same_route_twice)
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

Test(bridge_program, configuration, .init = NULL)
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

Test(bridge_program, command_line, .init = NULL)
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

/* ---- Supervising it -------------------------------------------------------------------------- */

static void await_metric(const char *path, const char *name, const char *direction, uint64_t value)
{
    for (struct deadline deadline = {0}; metric(path, name, direction) != value;)
        pause_until(&deadline, name);
}

/* The metrics of a bridge that has failed do not say that it is up. */
Test(bridge_program, metrics_of_a_bridge_that_fails)
{
    nats_start(&server, "");
    prepare(SHMRING_SPSC, "", "");
    const char *path = metrics_file();
    struct program bridge = bridge_start(&server, "-r", out_route, "--openmetrics", path, NULL);
    bridge_await(&bridge, "ready");
    await_metric(path, "up", "to-subject", 1);
    bridge_stop(&bridge);
    expect_metric(path, "up", "to-subject", 0);
    EXPECT(RUN("-s", server.url, "-r",
               "direction=to-subject queue=none stream=S subject=s.x wait=no", "--openmetrics",
               path),
           1, "", "does not exist");
    expect_metric(path, "up", "to-subject", 0);
    strstr(out_route, "stream=S")[7] = 'T';
    bridge = program_start(-1, -1,
                           (const char *const[]){"bridge/shmring-bridge", "-s", server.url, "-r",
                                                 out_route, "--openmetrics", path, NULL});
    EXPECT(program_finish(&bridge), 1, "", "no route is left");
    expect_metric(path, "up", "to-subject", 0);
    finish();
}

Test(bridge_program, metrics)
{
    nats_start(&server, "");
    /* No message comes again during the test. */
    prepare(SHMRING_SPSC, "ack-wait=600000", "ack-wait=600000");
    const char *path = metrics_file();
    const time_t before = time(NULL);
    struct program bridge =
        bridge_start(&server, "-r", out_route, "-r", in_route, "--openmetrics", path, NULL);
    bridge_await(&bridge, "ready");
    await_metric(path, "up", "to-subject", 1);
    await_metric(path, "up", "to-queue", 1);
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
        expect_metric(path, "up", directions[i], 0); /* the bridge has ended */
    }
    cr_assert_geq(metric(path, "written_seconds", NULL), (uint64_t)before);
    expect_metric(path, "in_flight", "to-subject", 0);
    cr_assert_leq(metric(path, "in_flight", "to-queue"), 4096);
    expect_metric(path, "reconnects_total", NULL, 0);
    finish();
}

Test(bridge_program, metrics_of_a_server_that_goes)
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

Test(bridge_program, log_levels)
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

Test(bridge_program, the_service_manager_is_notified)
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

/* ---- The example ----------------------------------------------------------------------------- */

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

Test(bridge_program, two_machines_as_namespaces)
{
    two_machines("namespaces", "machines A and B: two network namespaces\n");
}

Test(bridge_program, two_machines_as_directories)
{
    two_machines("directories", "machines A and B: two directories of this one\n");
}
