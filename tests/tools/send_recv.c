/* SPDX-License-Identifier: MIT */
/* shmring send and shmring recv: every message that is sent arrives, whichever process is killed
 * and whatever is full. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "oracle.h"
#include "tool.h"

TestSuite(send_recv, .init = reset_signals, .timeout = 300);

/* Run shmring on input that may hold NUL bytes. */
static struct outcome run_bytes(const void *input, size_t n, const char *const argv[])
{
    int fd = input_of(input, n);
    struct program program = program_start(fd, -1, argv);
    close(fd);
    return program_finish(&program);
}

#define SEND_BYTES(Input, N, ...)                                                                  \
    run_bytes((Input), (N), (const char *const[]){"tools/shmring", "send", __VA_ARGS__, NULL})

static void expect_bytes(struct outcome outcome, const void *bytes, size_t n)
{
    cr_assert(outcome.status == 0, "exit %d: %s", outcome.status, outcome.err);
    cr_assert(outcome.out_length == n, "%zu bytes, not %zu", outcome.out_length, n);
    cr_assert(memcmp(outcome.out, bytes, n) == 0);
    outcome_free(&outcome);
}

static void write_text(int fd, const char *text)
{
    cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

Test(send_recv, lines)
{
    const char *name = queue_name();
    DO("create", name);
    EXPECT(TOOL("", "send", name), 0, "", "");
    cr_assert(stat_has(name, "\"sent\":0,"));
    static const char input[] = "one\n\ntwo\0three\n \xff\r\nlast without newline";
    static const char output[] = "one\n\ntwo\0three\n \xff\r\nlast without newline\n";
    EXPECT(SEND_BYTES(input, sizeof input - 1, name), 0, "", "");
    cr_assert(stat_has(name, "\"sent\":5,"));
    expect_bytes(TOOL("", "recv", "--count", "5", name), output, sizeof output - 1);
    cr_assert(stat_has(name, "\"depth\":0,"));
}

Test(send_recv, length_prefixed)
{
    const char *name = queue_name();
    DO("create", name);
    static const char messages[] = "\3\0\0\0a\nb"
                                   "\0\0\0\0"
                                   "\1\0\0\0\0";
    EXPECT(SEND_BYTES(messages, sizeof messages - 1, "--length-prefixed", name), 0, "", "");
    cr_assert(stat_has(name, "\"sent\":3,"));
    expect_bytes(TOOL("", "recv", "-l", "--no-wait", name), messages, sizeof messages - 1);
}

Test(send_recv, messages_longer_than_any_buffer)
{
    enum { LONG = 300000 };
    const char *name = queue_name();
    char *input = malloc(2 * LONG + 1);
    cr_assert(input);
    memset(input, 'x', LONG);
    memset(input + LONG, 'y', LONG);
    input[LONG - 1] = '\n';
    input[2 * LONG - 1] = '\n';
    DO("create", name);
    EXPECT(SEND_BYTES(input, 2 * LONG, name), 0, "", "");
    cr_assert(stat_has(name, "\"sent\":2,"));
    expect_bytes(TOOL("", "recv", "--count", "2", name), input, 2 * LONG);

    memcpy(input, (unsigned char[]){LONG & 0xff, LONG >> 8 & 0xff, LONG >> 16, 0}, 4);
    EXPECT(SEND_BYTES(input, LONG + 4, "-l", name), 0, "", "");
    expect_bytes(TOOL("", "recv", "-l", "--count", "1", name), input, LONG + 4);
    free(input);
}

Test(send_recv, a_message_that_is_too_long_stops_it)
{
    const char *name = queue_name();
    DO("create", "--max-message", "4", name);
    EXPECT(TOOL("four\n1\n12345\n2\n", "send", name), 1, "", "line 3: longer than 4 bytes");
    EXPECT(TOOL("", "recv", "--no-wait", name), 0, "four\n1\n", "");
    EXPECT(TOOL("3\n12345", "send", name), 1, "", "line 2: longer than 4 bytes");
    EXPECT(TOOL("", "recv", "--no-wait", name), 0, "3\n", "");

    static const char messages[] = "\4\0\0\0four"
                                   "\5\0\0\0fiver";
    EXPECT(SEND_BYTES(messages, sizeof messages - 1, "-l", name), 1, "",
           "message 2: longer than 4 bytes");
    EXPECT(TOOL("", "recv", "--no-wait", name), 0, "four\n", "");
    EXPECT(SEND_BYTES("\xff\xff\xff\xff", 4, "-l", name), 1, "", "message 1: longer than 4 bytes");
}

Test(send_recv, an_input_that_ends_within_a_message)
{
    const char *name = queue_name();
    DO("create", name);
    static const char messages[] = "\2\0\0\0ok\3\0\0\0no";
    for (size_t n = 6; n <= sizeof messages - 1; n++) {
        struct outcome outcome = SEND_BYTES(messages, n, "-l", name);
        cr_assert(outcome.status == (n == 6 ? 0 : 1), "%zu bytes: exit %d", n, outcome.status);
        cr_assert(n == 6 || strstr(outcome.err, "message 2: the input ends within it"), "%s",
                  outcome.err);
        outcome_free(&outcome);
        EXPECT(TOOL("", "recv", "--no-wait", name), 0, "ok\n", "");
    }
}

Test(send_recv, an_input_that_cannot_be_read)
{
    const char *name = queue_name();
    DO("create", name);
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct program sender = START(directory, -1, "send", name);
    EXPECT(program_finish(&sender), 1, "", "shmring: stdin: cannot read: ");
    close(directory);
}

/* A queue of 4096 bytes with no room for 100 more: 40 messages of 100 bytes take 104 each. */
static const char *full_queue(void)
{
    const char *name = queue_name();
    char lines[40][101];
    memset(lines, 'x', sizeof lines);
    for (int i = 0; i < 40; i++)
        lines[i][100] = '\n';
    DO("create", "--capacity", "4096", name);
    struct outcome outcome = SEND_BYTES(lines, sizeof lines, "--no-wait", name);
    cr_assert(outcome.status == 3 && strstr(outcome.err, "line 40: the queue is full"),
              "exit %d: %s", outcome.status, outcome.err);
    outcome_free(&outcome);
    return name;
}

Test(send_recv, a_full_queue)
{
    const char *name = full_queue();
    cr_assert(stat_has(name, "\"sent\":39,"));
    static const char line[] = "........................................"
                               "............................................................\n";
    EXPECT(TOOL(line, "send", "-n", name), 3, "", "line 1: the queue is full");
    EXPECT(TOOL(line, "send", "--timeout", "0.05", name), 3, "", "line 1: the queue stayed full");
    EXPECT(TOOL(line, "send", "--timeout", "0", name), 3, "", "line 1: the queue stayed full");

    int input = input_of(line, strlen(line));
    struct program sender = START(input, -1, "send", name);
    close(input);
    await_stat(name, "\"role\":\"producer\"");
    cr_assert(program_runs(&sender));
    struct outcome outcome = TOOL("", "recv", "--count", "1", name);
    cr_assert(outcome.status == 0);
    outcome_free(&outcome);
    EXPECT(program_finish(&sender), 0, "", "");
    cr_assert(stat_has(name, "\"sent\":40,"));
}

Test(send_recv, an_empty_queue)
{
    const char *name = queue_name();
    DO("create", name);
    EXPECT(TOOL("", "recv", "--no-wait", name), 3, "", "the queue is empty");
    EXPECT(TOOL("", "recv", "--timeout", "0.05", name), 3, "", "the queue stayed empty");
    EXPECT(TOOL("", "recv", "--count", "0", name), 0, "", "");

    EXPECT(TOOL("1\n2\n3\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--no-wait", "--count", "2", name), 0, "1\n2\n", "");
    EXPECT(TOOL("", "recv", "--no-wait", "--count", "2", name), 3, "3\n", "the queue is empty");
    EXPECT(TOOL("4\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--timeout", "0.05", name), 3, "4\n", "the queue stayed empty");
}

Test(send_recv, recv_writes_at_once_and_goes_on)
{
    const char *name = queue_name();
    DO("create", name);
    struct program reader = START(-1, -1, "recv", name);
    EXPECT(TOOL("first\n", "send", "-w", name), 0, "", "");
    program_await_output(&reader, "first\n");
    EXPECT(TOOL("second\n", "send", name), 0, "", "");
    program_await_output(&reader, "second\n");
    cr_assert(program_runs(&reader));
    KILL(&reader);
}

Test(send_recv, send_sends_at_once)
{
    const char *name = queue_name();
    int input[2];
    test_pipe(input);
    DO("create", name);
    struct program sender = START(input[0], -1, "send", name);
    close(input[0]);
    write_text(input[1], "hel");
    write_text(input[1], "lo\nwor");
    EXPECT(TOOL("", "recv", "--count", "1", name), 0, "hello\n", "");
    write_text(input[1], "ld");
    close(input[1]);
    EXPECT(program_finish(&sender), 0, "", "");
    EXPECT(TOOL("", "recv", "--count", "1", name), 0, "world\n", "");
}

Test(send_recv, waiting_for_the_queue_to_appear)
{
    const char *name = queue_name();
    EXPECT(TOOL("", "recv", "--wait-open", "--timeout", "0.05", name), 3, "", "cannot open: ");
    EXPECT(TOOL("", "send", "--wait-open", "--timeout", "0.05", name), 3, "", "cannot open: ");

    struct program reader = START(-1, -1, "recv", "--wait-open", "--count", "1", name);
    int input = input_of("hello\n", 6);
    struct program sender = START(input, -1, "send", "--wait-open", name);
    close(input);
    DO("create", name);
    EXPECT(program_finish(&sender), 0, "", "");
    EXPECT(program_finish(&reader), 0, "hello\n", "");
}

Test(send_recv, eof_is_when_the_sender_has_left)
{
    const char *name = queue_name();
    int input[2];
    test_pipe(input);
    DO("create", name);
    struct program reader = START(-1, -1, "recv", "--eof", name);
    struct program sender = START(input[0], -1, "send", name);
    close(input[0]);
    write_text(input[1], "one\n");
    program_await_output(&reader, "one\n");
    cr_assert(program_runs(&reader));
    write_text(input[1], "two\n");
    close(input[1]);
    EXPECT(program_finish(&sender), 0, "", "");
    EXPECT(program_finish(&reader), 0, "one\ntwo\n", "");

    EXPECT(TOOL("three\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--eof", "--count", "2", name), 3, "three\n", "empty");
    /* No sender came. */
    EXPECT(TOOL("", "recv", "--eof", "--timeout", "0.2", name), 3, "", "empty");
}

Test(send_recv, a_queue_that_is_removed_ends_the_wait)
{
    const char *name = queue_name(), *full = full_queue();
    DO("create", name);
    int input[2];
    test_pipe(input);
    struct program reader = START(-1, -1, "recv", name);
    struct program sender = START(input[0], -1, "send", full);
    close(input[0]);
    await_stat(name, "\"role\":\"consumer\"");
    await_stat(full, "\"role\":\"producer\"");
    DO("rm", name, full);
    EXPECT(program_finish(&reader), 1, "", "cannot receive: ");
    /* The sender notices that before it sends a message that could not arrive. */
    write_text(input[1], "\n");
    EXPECT(program_finish(&sender), 1, "", "cannot send: ");
    close(input[1]);
}

Test(send_recv, a_queue_that_is_removed_ends_the_wait_for_room)
{
    const char *name = full_queue();
    char line[101];
    memset(line, 'x', 100);
    line[100] = '\n';
    int input = input_of(line, sizeof line);
    struct program sender = START(input, -1, "send", name);
    close(input);
    await_stat(name, "\"role\":\"producer\"");
    DO("rm", name);
    EXPECT(program_finish(&sender), 1, "", "line 1: ");
}

Test(send_recv, a_signal_ends_recv_in_order)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        const char *name = queue_name();
        DO("create", name);
        struct program reader = START(-1, -1, "recv", name);
        EXPECT(TOOL("hello\n", "send", name), 0, "", "");
        program_await_output(&reader, "hello\n");
        kill(reader.pid, signals[i]);
        EXPECT(program_finish(&reader), 128 + signals[i], "hello\n", "");
        cr_assert(stat_has(name, "\"participants\":[]"));
        DO("rm", name);
    }
}

Test(send_recv, a_signal_ends_send_in_order)
{
    const char *name = queue_name(), *full = full_queue();
    int input[2];
    test_pipe(input);
    DO("create", name);
    struct program sender = START(input[0], -1, "send", name);
    close(input[0]);
    write_text(input[1], "whole\npart");
    await_stat(name, "\"sent\":1,");
    kill(sender.pid, SIGTERM);
    EXPECT(program_finish(&sender), 128 + SIGTERM, "", "");
    close(input[1]);
    cr_assert(stat_has(name, "\"participants\":[]"));
    EXPECT(TOOL("", "recv", "--no-wait", name), 0, "whole\n", "");

    char lines[2 * 101];
    memset(lines, 'x', sizeof lines);
    lines[100] = lines[201] = '\n';
    int lines_input = input_of(lines, sizeof lines);
    sender = START(lines_input, -1, "send", full);
    close(lines_input);
    await_stat(full, "\"role\":\"producer\"");
    /* It may not have installed its handlers yet: then the signal kills it, with the same exit
     * code. */
    kill(sender.pid, SIGINT);
    EXPECT(program_finish(&sender), 128 + SIGINT, "", "");
    cr_assert(stat_has(full, "\"sent\":39,"));
}

Test(send_recv, signals_that_were_ignored_stay_so)
{
    const char *name = queue_name();
    DO("create", name);
    signal(SIGINT, SIG_IGN);
    struct program reader = START(-1, -1, "recv", "--count", "2", name);
    EXPECT(TOOL("one\n", "send", name), 0, "", "");
    program_await_output(&reader, "one\n");
    kill(reader.pid, SIGINT);
    EXPECT(TOOL("two\n", "send", name), 0, "", "");
    EXPECT(program_finish(&reader), 0, "one\ntwo\n", "");
}

Test(send_recv, a_reader_that_leaves_takes_no_message_with_it)
{
    const char *name = queue_name();
    int output[2];
    test_pipe(output);
    close(output[0]);
    DO("create", name);
    EXPECT(TOOL("1\n2\n3\n", "send", name), 0, "", "");
    struct program reader = START(-1, output[1], "recv", name);
    close(output[1]);
    EXPECT(program_finish(&reader), 128 + SIGPIPE, NULL, "");
    cr_assert(stat_has(name, "\"depth\":3,") && stat_has(name, "\"participants\":[]"));
    EXPECT(TOOL("", "recv", "--no-wait", name), 0, "1\n2\n3\n", "");
}

/* Messages numbered "000001\n" and so on. */
static char *numbers(int n)
{
    char *text = malloc((size_t)n * 7 + 1);
    cr_assert(text);
    for (int i = 0; i < n; i++)
        snprintf(text + (size_t)i * 7, 8, "%06u\n", (unsigned)i % 1000000);
    return text;
}

/* Read from a pipe to its end, and close it. */
static size_t drain(int fd, char *text, size_t size)
{
    size_t length = 0;
    ssize_t n;
    while ((n = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    cr_assert(n == 0);
    text[length] = '\0';
    close(fd);
    return length;
}

/*
 * A recv that waits because its pipe is full is killed. It has released the messages that it had
 * written whole; the next recv gets the others. In all, each message comes once, except the one
 * that was half written.
 */
static void end_while_stuck(int signo)
{
    enum { N = 20000 };
    const char *name = queue_name();
    int output[2];
    test_pipe(output);
    char *input = numbers(N);
    DO("create", name);
    EXPECT(SEND_BYTES(input, (size_t)N * 7, name), 0, "", "");
    struct program reader = START(-1, output[1], "recv", name);
    close(output[1]);
    /* The recv waits when 65,536 bytes are in the pipe, here in pieces of 448. */
    struct shmring_stat stat = {0};
    shmring_t *q;
    cr_assert(shmring_open(&q, name, SHMRING_OBSERVER) == 0, "%s", shmring_strerror_detail());
    for (struct deadline deadline = {0}; stat.received * 7 < 60000;) {
        pause_until(&deadline, "the pipe to fill up");
        cr_assert(shmring_stat(q, &stat) == 0);
    }
    shmring_close(&q);
    kill(reader.pid, signo);
    EXPECT(program_finish(&reader), 128 + signo, NULL, "");

    char *output_text = malloc((size_t)N * 7 * 2);
    cr_assert(output_text);
    size_t first = drain(output[0], output_text, (size_t)N * 7 * 2) / 7;
    struct outcome rest = TOOL("", "recv", "--no-wait", name);
    cr_assert(rest.status == 0, "%s", rest.err);
    size_t second = rest.out_length / 7;
    cr_assert(first + second >= N, "%zu and %zu", first, second);
    cr_assert(memcmp(output_text, input, first * 7) == 0);
    cr_assert(memcmp(rest.out, input + (N - second) * 7, second * 7) == 0);
    if (signo != SIGKILL)
        cr_assert(first + second == N, "%zu and %zu", first, second);
    outcome_free(&rest);
    free(output_text);
    free(input);
}

Test(send_recv, interrupted_while_stuck)
{
    end_while_stuck(SIGINT);
}

Test(send_recv, killed_while_stuck)
{
    end_while_stuck(SIGKILL);
}

/* The text of a new receiver must be whole lines of numbers without a gap. It may begin with lines
 * that the receiver before it wrote and did not release, but not after those. */
static void expect_numbers(const char *text, struct oracle *oracle, struct oracle_span *written)
{
    struct oracle_reader reader = oracle_reader(true);
    struct oracle_span first = *written;
    for (const char *end, *at = text; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        const uint64_t number = strtoul(at, NULL, 10);
        if (at == text) {
            cr_assert_eq(oracle_resume(&first, number), ORACLE_RIGHT, "begins with %d",
                         (int)number);
            reader.next[0] = number;
        }
        const enum oracle_verdict verdict = oracle_receive(oracle, &reader, number, false);
        cr_assert_eq(verdict, ORACLE_RIGHT, "%d: %s", (int)number, oracle_says(verdict));
        oracle_begin(written, number + 1);
    }
}

Test(send_recv, kill_them_at_any_moment)
{
    enum { N = 200000, ROUNDS = 20 };
    const char *name = queue_name();
    char *input = numbers(N);
    unsigned seed = (unsigned)getpid();
    uint64_t before = 0;
    struct oracle *oracle = oracle_new(1, 0);
    cr_assert_not_null(oracle);
    oracle_settle(&oracle->sent[0], N);
    DO("create", "--capacity", "4096", name);
    for (int round = 0; round < ROUNDS; round++) {
        int fd = input_of(input, (size_t)N * 7);
        struct program sender = START(fd, -1, "send", name);
        struct program reader = START(-1, -1, "recv", name);
        close(fd);
        program_await_output(&reader, "\n");
        nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 5000000}, NULL);
        kill(rand_r(&seed) % 2 ? sender.pid : reader.pid, SIGKILL);
        nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 1000000}, NULL);
        kill(sender.pid, SIGKILL);
        kill(reader.pid, SIGKILL);
        struct outcome sent = program_finish(&sender), received = program_finish(&reader);
        cr_assert(*sent.err == '\0' && *received.err == '\0', "%s%s", sent.err, received.err);

        struct outcome rest = TOOL("", "recv", "--no-wait", name);
        cr_assert(rest.status == 0 || rest.status == 3, "%s", rest.err);
        struct oracle_span written = {0};
        expect_numbers(received.out, oracle, &written);
        expect_numbers(rest.out, oracle, &written);
        outcome_free(&sent);
        outcome_free(&received);
        outcome_free(&rest);

        struct shmring_stat stat;
        shmring_t *q;
        cr_assert(shmring_open(&q, name, SHMRING_OBSERVER) == 0, "%s", shmring_strerror_detail());
        cr_assert(shmring_stat(q, &stat) == 0);
        shmring_close(&q);
        cr_assert(stat.depth == 0 && stat.received == stat.sent);
        cr_assert(stat.sent - before == written.begun, "sent %llu, came %llu",
                  (unsigned long long)(stat.sent - before), (unsigned long long)written.begun);
        before = stat.sent;
    }
    oracle_free(oracle);
    free(input);
}

Test(send_recv, pipelines)
{
    const char *name = queue_name();
    char script[1024];
    DO("create", "--capacity", "64K", name);
    snprintf(script, sizeof script,
             "seq 100000 | $TOOL send %s & $TOOL recv --count 100000 %s | md5sum && wait $!", name,
             name);
    const char *builddir = getenv("builddir");
    char tool[4096];
    snprintf(tool, sizeof tool, "%s/tools/shmring", builddir ? builddir : ".");
    setenv("TOOL", tool, 1);
    struct program through =
        program_start(-1, -1, (const char *const[]){"/bin/sh", "-c", script, NULL});
    struct program direct =
        program_start(-1, -1, (const char *const[]){"/bin/sh", "-c", "seq 100000 | md5sum", NULL});
    struct outcome expected = program_finish(&direct);
    EXPECT(program_finish(&through), 0, expected.out, "");
    outcome_free(&expected);

    /* The producers of the earlier pipeline have left, so --eof alone could end at once. */
    snprintf(script, sizeof script,
             "$TOOL recv --new-producer %s | wc -l & yes | head -n 50000 | $TOOL send %s; wait",
             name, name);
    through = program_start(-1, -1, (const char *const[]){"/bin/sh", "-c", script, NULL});
    EXPECT(program_finish(&through), 0, "50000\n", "");

    /* The process that reads the pipe ends it, also when all lines were written before. */
    snprintf(script, sizeof script, "yes | head -n 5000 | $TOOL send %s; $TOOL recv %s | head -n 2",
             name, name);
    through = program_start(-1, -1, (const char *const[]){"/bin/sh", "-c", script, NULL});
    EXPECT(program_finish(&through), 0, "y\ny\n", "");
}
