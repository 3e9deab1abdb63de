/* SPDX-License-Identifier: MIT */
/* The shmring command on broadcast queues: taps, reliable receivers, and what they miss. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openmetrics_check.h"
#include "tool.h"

TestSuite(tools_broadcast, .init = reset_signals, .timeout = 300);

enum { PIPE_SIZE = 65536, NUMBERS = 5000 /* ten times what the ring has room for */ };

static const char *broadcast_queue(void)
{
    const char *name = queue_name();
    DO("create", "--kind", "broadcast", "--capacity", "4096", name);
    return name;
}

/* The numbers from first to last, a line each; valid until the next call. */
static const char *numbers(int first, int last)
{
    static char lines[NUMBERS * 5 + 1];
    char *end = lines;
    for (int i = first; i <= last; i++)
        end += sprintf(end, "%04d\n", i);
    return lines;
}

static bool who_has(const char *name, const char *part)
{
    struct outcome outcome = TOOL("", "who", name);
    cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
    bool found = strstr(outcome.out, part);
    outcome_free(&outcome);
    return found;
}

static void await_who(const char *name, const char *part)
{
    for (struct deadline deadline = {0}; !who_has(name, part);)
        pause_until(&deadline, part);
}

/* A pipe that is full, so that a receiver that writes to it does not go on. */
static void full_pipe(int ends[2])
{
    char filler[PIPE_SIZE];
    test_pipe(ends);
    memset(filler, '.', sizeof filler);
    cr_assert(write(ends[1], filler, sizeof filler) == sizeof filler);
}

/* All that comes out of it behind the filler, until its other end is closed; to be freed. */
static char *drained(int ends[2])
{
    char *text = NULL, piece[4096];
    size_t size;
    FILE *out = open_memstream(&text, &size);
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], piece, sizeof piece)) > 0;)
        fwrite(piece, 1, (size_t)n, out);
    close(ends[0]);
    fclose(out);
    cr_assert(size >= PIPE_SIZE);
    memmove(text, text + PIPE_SIZE, size - PIPE_SIZE + 1);
    return text;
}

/* The lines are numbers that grow. Returns how many they are, and *last. */
static int count_lines(char *lines, int *last)
{
    int count = 0;
    *last = 0;
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n"), count++) {
        cr_assert(strlen(line) == 4 && atoi(line) > *last, "%s after %d", line, *last);
        *last = atoi(line);
    }
    return count;
}

Test(tools_broadcast, create_takes_its_options)
{
    const char *plain = queue_name(), *none = queue_name();
    DO("create", "--kind", "broadcast", plain);
    CHECK_JSON(TOOL("", "stat", "--json", plain), "\"kind\":\"broadcast\"", "\"capacity\":1048576,",
               "\"capacity_unit\":\"bytes\"", "\"missed\":0,");
    DO("create", "--kind", "broadcast", "--or-open", plain);
    DO("create", "--max-participants", "0", "--kind", "broadcast", "--max-message", "100", none);
    CHECK_JSON(TOOL("", "stat", "--json", none), "\"max_message\":100,");
    EXPECT(TOOL("", "recv", "--no-wait", "--reliable", none), 1, "", "max_participants 0");
    EXPECT(TOOL("", "recv", "--no-wait", none), 3, "", "empty");
    EXPECT(TOOL("", "create", "--kind", "mpmc", "--max-participants", "0", queue_name()), 2, "",
           "--max-participants is 0 for a broadcast queue only");
    EXPECT(TOOL("", "create", "--kind", "broadcast", "--max-message", "1M", queue_name()), 1, "",
           "quarter");
    EXPECT(TOOL("", "create", "--kind", "multicast", queue_name()), 2, "",
           "--kind is spsc, mpmc or broadcast, not 'multicast'");
}

Test(tools_broadcast, a_tap_takes_nothing_from_others)
{
    const char *name = broadcast_queue();
    struct program taps[2];
    for (int i = 0; i < 2; i++) {
        char attached[64];
        taps[i] = START(-1, -1, "recv", "--eof", name);
        snprintf(attached, sizeof attached, "\"pid\":%d,", (int)taps[i].pid);
        await_stat(name, attached);
    }
    EXPECT(TOOL(numbers(1, 100), "send", "--no-wait", name), 0, "", "");
    for (int i = 0; i < 2; i++)
        EXPECT(program_finish(&taps[i]), 0, numbers(1, 100), "");
    for (int i = 0; i < 2; i++)
        EXPECT(TOOL("", "recv", "--no-wait", "--from", "oldest", name), 0, numbers(1, 100), "");
    EXPECT(TOOL("", "recv", "--from", "oldest", "--count", "2", name), 0, numbers(1, 2), "");
}

Test(tools_broadcast, where_a_tap_begins)
{
    const char *name = broadcast_queue();
    EXPECT(TOOL("", "recv", "--no-wait", "--from", "key", name), 3, "", "empty");
    EXPECT(TOOL("one\n", "send", name), 0, "", "");
    EXPECT(TOOL("two\nthree\n", "send", "--key", name), 0, "", "");
    EXPECT(TOOL("four\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--no-wait", name), 3, "", "empty");
    EXPECT(TOOL("", "recv", "--no-wait", "--from", "newest", name), 3, "", "empty");
    EXPECT(TOOL("", "recv", "--no-wait", "-f", "key", name), 0, "three\nfour\n", "");
    EXPECT(TOOL("", "recv", "--no-wait", "-f", "key", "-f", "oldest", name), 0,
           "one\ntwo\nthree\nfour\n", "");
    EXPECT(TOOL("", "recv", "--no-wait", "-l", "-f", "oldest", "-c", "0", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--from", "now", name), 2, "", "--from is newest, oldest or key");

    const char *spsc = queue_name();
    DO("create", spsc);
    EXPECT(TOOL("one\n", "send", "--key", spsc), 1, "", "line 1: ");
    EXPECT(TOOL("", "recv", "--from", "oldest", spsc), 1, "", "cannot open: ");
    EXPECT(TOOL("", "recv", "--no-wait", "--from", "newest", spsc), 3, "", "empty");
}

/* The receiver cannot write while the producer goes round ten times. */
Test(tools_broadcast, what_a_tap_misses_is_said_with_its_number)
{
    const char *name = broadcast_queue();
    int output[2], last;
    full_pipe(output);
    struct program tap = START(-1, output[1], "recv", "--eof", name);
    await_stat(name, "\"role\":\"consumer\"");
    EXPECT(TOOL(numbers(1, NUMBERS), "send", "--no-wait", name), 0, "", "");
    char *lines = drained(output);
    const int received = count_lines(lines, &last);
    free(lines);
    struct outcome outcome = program_finish(&tap);
    cr_assert(outcome.status == 4, "exit %d: %s", outcome.status, outcome.err);
    char *said = strstr(outcome.err, ", ");
    int missed = 0;
    for (; said; said = strstr(said + 1, ", ")) /* the last line has the sum of all */
        cr_assert(sscanf(said, ", %d in all: the producer was faster\n", &missed) == 1, "%s",
                  outcome.err);
    cr_assert(last == NUMBERS && missed > 0 && received + missed == NUMBERS, "%d and %d: %s",
              received, missed, outcome.err);
    char expected[64];
    snprintf(expected, sizeof expected, "\"missed\":%d,", missed);
    cr_assert(stat_has(name, expected));
    outcome_free(&outcome);
}

/* It is overtaken twice within a second: the second time is said at the end. */
Test(tools_broadcast, all_that_a_tap_misses_is_said)
{
    const char *name = broadcast_queue();
    unsigned said = 0, sum = 0, part, all;
    char stopped[64], missed[64];
    struct program tap = START(-1, -1, "recv", name);
    snprintf(stopped, sizeof stopped, "%8d  stopped  consumer ", (int)tap.pid);
    await_stat(name, "\"role\":\"consumer\"");
    for (int round = 0; round < 2; round++) {
        kill(tap.pid, SIGSTOP);
        await_who(name, stopped);
        EXPECT(TOOL(numbers(1, NUMBERS), "send", name), 0, "", "");
        kill(tap.pid, SIGCONT);
        await_stat(name, "\"lag\":0,");
    }
    kill(tap.pid, SIGTERM);
    struct outcome outcome = program_finish(&tap);
    cr_assert(outcome.status == 128 + SIGTERM, "exit %d", outcome.status);
    for (const char *line = outcome.err; (line = strstr(line, "missed ")); line++, said++) {
        cr_assert(sscanf(line, "missed %u messages, %u in all", &part, &all) == 2, "%s", line);
        sum += part;
        cr_assert(sum == all, "%s", outcome.err);
    }
    snprintf(missed, sizeof missed, "\"missed\":%u,", sum);
    cr_assert(said >= 2 && stat_has(name, missed), "%s", outcome.err);
    cr_assert(outcome.out_length + 5 * (size_t)sum == (size_t)2 * 5 * NUMBERS, "%s", outcome.err);
    outcome_free(&outcome);
}

/* Its output is a pipe that has room for a third of the message, so the rest is written after the
 * producer has gone round. */
Test(tools_broadcast, a_message_is_whole_though_it_is_overwritten_while_it_is_written)
{
    enum { LONG = 200000, LAP = 8 };
    static char message[LONG], line[LONG + 1];
    const char *name = queue_name();
    shmring_t *q;
    int output[2];
    DO("create", "--kind", "broadcast", "--capacity", "1048576", name);
    cr_assert_eq(shmring_open(&q, name, SHMRING_PRODUCER), 0);
    test_pipe(output);
    struct program tap = START(-1, output[1], "recv", "--count", "1", name);
    await_stat(name, "\"role\":\"consumer\"");
    memset(message, 'a', LONG);
    cr_assert_eq(shmring_send(q, message, LONG), 0);
    cr_assert_eq(poll(&(struct pollfd){.fd = output[0], .events = POLLIN}, 1, -1), 1);
    for (int i = 0; i < LAP; i++) {
        memset(message, 'b' + i, LONG);
        cr_assert_eq(shmring_send(q, message, LONG), 0);
    }
    close(output[1]);
    for (size_t have = 0; have < sizeof line;) {
        ssize_t n = read(output[0], line + have, sizeof line - have);
        cr_assert(n > 0);
        have += (size_t)n;
    }
    for (int i = 0; i < LONG; i++)
        cr_assert(line[i] == 'a', "byte %d: %c", i, line[i]);
    cr_assert(line[LONG] == '\n');
    close(output[0]);
    EXPECT(program_finish(&tap), 0, NULL, "");
    shmring_close(&q);
}

Test(tools_broadcast, a_reliable_receiver_misses_nothing)
{
    const char *name = broadcast_queue();
    int output[2], last;
    full_pipe(output);
    struct program receiver = START(-1, output[1], "recv", "--reliable", "--eof", name);
    await_stat(name, "\"reliable\":true");
    int input = input_of(numbers(1, NUMBERS), strlen(numbers(1, NUMBERS)));
    struct program sender = START(input, -1, "send", name);
    close(input);
    await_stat(name, "\"producers_asleep\":true");
    EXPECT(TOOL("", "recv", "--no-wait", "--reliable", "--count", "0", name), 0, "", "");
    char *lines = drained(output);
    cr_assert(count_lines(lines, &last) == NUMBERS && last == NUMBERS);
    free(lines);
    EXPECT(program_finish(&sender), 0, "", "");
    EXPECT(program_finish(&receiver), 0, NULL, "");
}

/* A stopped one holds the producer, and who and top name it; a dead one does not. */
Test(tools_broadcast, who_holds_the_producer_and_by_how_much)
{
    const char *name = broadcast_queue();
    char line[256];
    struct program receiver = START(-1, -1, "recv", "--reliable", name);
    await_stat(name, "\"reliable\":true");
    kill(receiver.pid, SIGSTOP);
    await_who(name, "stopped  reliable consumer ");
    EXPECT(TOOL(numbers(1, NUMBERS), "send", "--no-wait", name), 3, "", "full");

    struct shmring_stat stat;
    shmring_t *q;
    cr_assert(shmring_open(&q, name, SHMRING_OBSERVER) == 0 && shmring_stat(q, &stat) == 0);
    shmring_close(&q);
    cr_assert(stat.sent > 0 && stat.depth == stat.sent);
    snprintf(line, sizeof line, "%8d  stopped  reliable consumer %10" PRIu64 " %12d ",
             (int)receiver.pid, stat.sent, 0);
    struct outcome outcome = TOOL("", "who", name);
    cr_assert(strstr(outcome.out, line), "no %s in %s", line, outcome.out);
    cr_assert(strstr(outcome.out, "        LAG       MISSED "), "%s", outcome.out);
    outcome_free(&outcome);
    snprintf(line, sizeof line, "\"lag\":%" PRIu64 ",\"missed\":0,\"reliable\":true}", stat.sent);
    CHECK_JSON(TOOL("", "who", "--json", name), "\"state\":\"stopped\"", line);

    snprintf(line, sizeof line,
             ": pid %d (shmring), reliable, stopped, lags by %" PRIu64 " messages\n",
             (int)receiver.pid, stat.sent);
    outcome = TOOL("", "top", "--once", "--delay", "0.1", "--sort", "lag", name);
    cr_assert(strstr(outcome.out, line), "no %s in %s", line, outcome.out);
    cr_assert(strstr(outcome.out, " cast ") && strstr(outcome.out, "  HELD    LAG MISSED\n"), "%s",
              outcome.out);
    snprintf(line, sizeof line, "     - %6" PRIu64 "      0\n", stat.sent);
    cr_assert(strstr(outcome.out, line), "no %s in %s", line, outcome.out);
    outcome_free(&outcome);

    snprintf(line, sizeof line, "\nshmring_lag_messages{queue=\"%s\"} %" PRIu64 "\n", name,
             stat.sent);
    outcome = TOOL("", "stat", "--openmetrics", name);
    cr_assert(strstr(outcome.out, line), "no %s in %s", line, outcome.out);
    outcome_free(&outcome);

    int input = input_of("more\n", 5);
    struct program sender = START(input, -1, "send", name);
    close(input);
    await_stat(name, "\"producers_asleep\":true");
    kill(receiver.pid, SIGKILL);
    EXPECT(program_finish(&sender), 0, "", "");
    EXPECT(program_finish(&receiver), 128 + SIGKILL, NULL, "");
}

Test(tools_broadcast, figures_of_what_was_missed)
{
    const char *name = broadcast_queue(), *spsc = queue_name();
    char line[256];
    struct shmring_participant rows[2];
    shmring_t *q;
    DO("create", spsc);
    cr_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    EXPECT(TOOL(numbers(1, NUMBERS), "send", name), 0, "", "");
    char buf[100];
    assert_refused(shmring_recv(q, buf, sizeof buf), EOVERFLOW, "missed");
    cr_assert(shmring_participants(q, rows, 2) == 1 && rows[0].missed > 0 && rows[0].lag > 0);

    snprintf(line, sizeof line, " alive    consumer          %10" PRIu64 " %12" PRIu64 " ",
             rows[0].lag, rows[0].missed);
    cr_assert(who_has(name, line), "%s", line);
    snprintf(line, sizeof line, "\n  missed           %" PRIu64 " messages\n", rows[0].missed);
    struct outcome outcome = TOOL("", "stat", name);
    cr_assert(strstr(outcome.out, line), "no %s in %s", line, outcome.out);
    cr_assert(strstr(outcome.out, " of the ring, for the slowest reliable consumer\n"), "%s",
              outcome.out);
    outcome_free(&outcome);

    outcome = TOOL("", "stat", "--openmetrics", name, spsc);
    cr_assert_null(openmetrics_wrong(outcome.out), "%s", openmetrics_wrong(outcome.out));
    snprintf(line, sizeof line, "\nshmring_missed_messages_total{queue=\"%s\"} %" PRIu64 "\n", name,
             rows[0].missed);
    cr_assert(strstr(outcome.out, line), "no %s in %s", line, outcome.out);
    snprintf(line, sizeof line, "\nshmring_missed_messages_total{queue=\"%s\"}", spsc);
    cr_assert(!strstr(outcome.out, line), "%s", outcome.out);
    snprintf(line, sizeof line, "\nshmring_lag_messages{queue=\"%s\"}", spsc);
    cr_assert(!strstr(outcome.out, line), "%s", outcome.out);
    outcome_free(&outcome);
    cr_assert(!stat_has(spsc, "\"missed\"") && stat_has(name, "\"missed\""));
    shmring_close(&q);
}

Test(tools_broadcast, dump_gc_and_recover)
{
    const char *name = broadcast_queue();
    EXPECT(TOOL("", "gc", "--dry-run", name), 0, NULL, "");
    EXPECT(TOOL("one\ntwo\n", "send", name), 0, "", "");
    for (int again = 0; again < 2; again++)
        CHECK_JSON(TOOL("", "dump", "--json", name), "\"text\":\"one\"", "\"text\":\"two\"",
                   "\"state\":\"waiting\"");
    struct program receiver = START(-1, -1, "recv", name);
    await_stat(name, "\"role\":\"consumer\"");
    struct outcome outcome = TOOL("", "gc", "--all", name);
    cr_assert(strstr(outcome.out, ": kept: 1 attached\n"), "%s", outcome.out);
    outcome_free(&outcome);
    KILL(&receiver);
    CHECK_JSON(TOOL("", "recover", "--json", name), "\"participants\":1,");
    EXPECT(TOOL("", "recover", name), 0, "nothing to recover\n", "");
    outcome = TOOL("", "gc", name);
    cr_assert(strstr(outcome.out, ": kept: 2 messages are in it"), "%s", outcome.out);
    outcome_free(&outcome);
    outcome = TOOL("", "gc", "--all", name);
    cr_assert(strstr(outcome.out, ": removed: "), "%s", outcome.out);
    outcome_free(&outcome);
}

static void be_root_again(void)
{
    if (seteuid(0) < 0)
        cr_assert(errno == EPERM);
}

Test(tools_broadcast, permission_to_read_is_enough_to_receive, .fini = be_root_again)
{
    const char *directory = directory_name();
    const char *path = path_in(directory, "queue"), *queue = as_file_queue(path);
    DO("create", "--kind", "broadcast", "--capacity", "4096", queue);
    EXPECT(TOOL("one\ntwo\n", "send", queue), 0, "", "");
    cr_assert(chmod(directory, 0755) == 0 && chmod(path, 0444) == 0);
    shmring_t *producer = NULL;
    if (geteuid() == 0 && !test_is_root())
        cr_skip_test("root of a user namespace");
    if (geteuid() == 0) { /* whom nothing is forbidden: be nobody */
        cr_assert(shmring_open(&producer, queue, SHMRING_PRODUCER) == 0);
        cr_assert(setresgid(65534, 65534, 0) == 0 && setresuid(65534, 65534, 0) == 0);
    }
    struct outcome outcome = TOOL("", "--version");
    if (outcome.status == 126 || outcome.status == 127)
        cr_skip_test("only root can reach the build tree");
    outcome_free(&outcome);

    EXPECT(TOOL("", "send", queue), 1, "", "cannot open: ");
    EXPECT(TOOL("", "recv", "--reliable", queue), 1, "", "cannot open: ");
    EXPECT(TOOL("", "recv", "--no-wait", "--from", "oldest", queue), 0, "one\ntwo\n", "");
    EXPECT(TOOL("", "record", "--no-wait", "--from", "oldest", queue, "-"), 0, NULL, "");
    if (producer) {
        struct program tap = START(-1, -1, "recv", "--from", "oldest", "--eof", queue);
        program_await_output(&tap, "two\n");
        cr_assert(!stat_has(queue, "\"role\":\"consumer\""));
        cr_assert(shmring_send(producer, "three", 5) == 0);
        program_await_output(&tap, "three\n");
        shmring_close(&producer);
        EXPECT(program_finish(&tap), 0, "one\ntwo\nthree\n", "");
    }
}
