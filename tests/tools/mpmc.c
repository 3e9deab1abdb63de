/* SPDX-License-Identifier: MIT */
/* The shmring command on mpmc queues: several senders and receivers, who, and recovery after
 * deaths. */
#include <config.h>

#include <errno.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

TestSuite(tools_mpmc, .timeout = 300);

/* A queue of 8 messages of up to 100 bytes. */
static const char *mpmc_queue(void)
{
    const char *name = queue_name();
    DO("create", "--kind", "mpmc", "--capacity", "8", "--max-message", "100", name);
    return name;
}

Test(tools_mpmc, create_takes_every_option)
{
    const char *plain = queue_name(), *made = queue_name();
    DO("create", "--kind", "mpmc", plain);
    CHECK_JSON(TOOL("", "stat", "--json", plain), "\"kind\":\"mpmc\"", "\"capacity\":1024,",
               "\"capacity_unit\":\"messages\"", "\"max_message\":1000,",
               "\"max_participants\":64,", "\"at_most_once\":false");
    DO("create", "--capacity", "16", "--max-message", "50", "--max-participants", "3",
       "--at-most-once", "--kind", "mpmc", made);
    CHECK_JSON(TOOL("", "stat", "--json", made), "\"capacity\":16,", "\"max_message\":50,",
               "\"max_participants\":3,", "\"at_most_once\":true");
    EXPECT(TOOL("", "create", "--max-participants", "3", queue_name()), 1, "", "max_participants");
    EXPECT(TOOL("", "create", "--at-most-once", queue_name()), 1, "", "SHMRING_MPMC");
}

Test(tools_mpmc, stat_and_ls_count_in_messages)
{
    const char *name = mpmc_queue();
    EXPECT(TOOL("one\ntwo\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--count", "1", name), 0, "one\n", "");

    struct outcome outcome = TOOL("", "stat", name);
    cr_assert(outcome.status == 0, "%s", outcome.err);
    const char *lines[] = {
        "  kind             mpmc\n",
        "  capacity         8 messages (8)\n",
        "  waiting          1 message, 128 bytes of the blocks\n",
        " message\n  sent             2 messages, 6 bytes\n",
        "  recovered        0 dead participants\n",
        "  delivered again  0 messages\n",
        "  dropped          0 messages\n",
        "  participants     0 alive, 0 dead, room for 64\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_assert(strstr(outcome.out, lines[i]), "no%sin %s", lines[i], outcome.out);
    outcome_free(&outcome);

    outcome = TOOL("", "ls", name);
    char kind[16], capacity[16], depth[16];
    cr_assert(sscanf(strchr(outcome.out, '\n'), "%*s %15s %15s %*s %15s", kind, capacity, depth) ==
              3);
    cr_assert_str_eq(kind, "mpmc");
    cr_assert_str_eq(capacity, "8msg");
    cr_assert_str_eq(depth, "1");
    outcome_free(&outcome);

    struct program watcher = START(-1, -1, "stat", "--watch", "0.01", name);
    program_await_output(&watcher, " 1  12.5% ");
    KILL(&watcher);
}

Test(tools_mpmc, many_send_and_many_receive)
{
    enum { SENDERS = 3, RECEIVERS = 3, LINES = 300 };
    const char *name = mpmc_queue();
    struct program senders[SENDERS], receivers[RECEIVERS];
    bool came[SENDERS * LINES] = {false};
    /* Counts as a producer until all senders are attached; else two could have left before the
     * third attaches. */
    shmring_t *more;
    cr_assert_eq(shmring_open(&more, name, SHMRING_PRODUCER), 0);
    for (int i = 0; i < RECEIVERS; i++) {
        char attached[64];
        receivers[i] = START(-1, -1, "recv", "--eof", name);
        snprintf(attached, sizeof attached, "\"pid\":%d,", (int)receivers[i].pid);
        await_stat(name, attached);
    }
    for (int i = 0; i < SENDERS; i++) {
        char lines[LINES * 5 + 1];
        for (int line = 0; line < LINES; line++)
            snprintf(lines + line * 5, 6, "%04d\n", i * LINES + line);
        int input = input_of(lines, LINES * 5);
        senders[i] = START(input, -1, "send", name);
        close(input);
    }
    for (int i = 0; i < SENDERS; i++)
        EXPECT(program_finish(&senders[i]), 0, "", "");
    shmring_close(&more);
    for (int i = 0; i < RECEIVERS; i++) {
        struct outcome outcome = program_finish(&receivers[i]);
        cr_assert(outcome.status == 0, "%s", outcome.err);
        for (char *line = strtok(outcome.out, "\n"); line; line = strtok(NULL, "\n")) {
            int number = atoi(line);
            cr_assert(number < SENDERS * LINES && !came[number], "%s", line);
            came[number] = true;
        }
        outcome_free(&outcome);
    }
    for (int i = 0; i < SENDERS * LINES; i++)
        cr_assert(came[i], "%d did not come", i);
}

/* Let the reader go on, and stop it at each system call, until it has attached. */
static void run_until_attached(const struct program *reader, shmring_t *observer)
{
    struct shmring_stat st = {0};
    int status;

    cr_assert_eq(ptrace(PTRACE_INTERRUPT, reader->pid, NULL, NULL), 0);
    for (;;) {
        cr_assert_eq(waitpid(reader->pid, &status, __WALL), reader->pid);
        cr_assert(WIFSTOPPED(status), "it ended");
        cr_assert_eq(shmring_stat(observer, &st), 0);
        if (st.participants == 1)
            return;
        const int how = status >> 8; /* pass a signal on to the reader */
        const long signo = how == (SIGTRAP | 0x80) || how >> 8 != 0 ? 0 : how;
        cr_assert_eq(ptrace(PTRACE_SYSCALL, reader->pid, NULL, signo), 0);
    }
}

/* Messages that were sent and received by others after it attached count, though it saw neither
 * them nor their sender. */
Test(tools_mpmc, eof_comes_also_where_others_were_quicker)
{
    const char *name = queue_name();
    struct program reader = START(-1, -1, "recv", "--wait-open", "--eof", name);
    if (ptrace(PTRACE_SEIZE, reader.pid, NULL, PTRACE_O_TRACESYSGOOD) < 0) {
        KILL(&reader);
        cr_skip_test("ptrace: %s", strerror(errno));
    }
    shmring_t *observer = test_create_mpmc(name, 0, 8, 100);
    run_until_attached(&reader, observer);
    EXPECT(TOOL("one\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--count", "1", name), 0, "one\n", "");
    cr_assert_eq(ptrace(PTRACE_DETACH, reader.pid, NULL, NULL), 0);
    EXPECT(program_finish(&reader), 0, "", "");
    shmring_close(&observer);
}

/* A consumer that has taken two messages and not released them. */
static shmring_t *holder_of_two(const char *name)
{
    shmring_t *q;
    const void *msg;
    cr_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0, "%s", shmring_strerror_detail());
    cr_assert(shmring_peek(q, &msg, NULL) > 0 && shmring_peek(q, &msg, NULL) > 0);
    return q;
}

/* What another consumer holds may come back: --eof waits for it. */
Test(tools_mpmc, eof_is_not_before_the_other_consumers_are_done)
{
    const char *name = mpmc_queue();
    EXPECT(TOOL("one\ntwo\nthree\n", "send", name), 0, "", "");
    shmring_t *q = holder_of_two(name);
    struct program reader = START(-1, -1, "recv", "--eof", name);
    program_await_output(&reader, "three\n");
    EXPECT(TOOL("", "recv", "--eof", "--timeout", "0.3", name), 3, "", "stayed empty");
    cr_assert(program_runs(&reader));
    shmring_close(&q); /* gives both messages back */
    EXPECT(program_finish(&reader), 0, "three\none\ntwo\n", "");
}

Test(tools_mpmc, a_killed_receivers_messages_come_to_another)
{
    const char *name = mpmc_queue();
    int output[2];
    char filler[65536];
    test_pipe(output);
    memset(filler, '.', sizeof filler);
    cr_assert(write(output[1], filler, sizeof filler) == sizeof filler);
    EXPECT(TOOL("one\ntwo\n", "send", name), 0, "", "");
    struct program stuck = START(-1, output[1], "recv", name); /* no process reads from the pipe */
    await_stat(name, "\"depth\":0,");
    KILL(&stuck);
    EXPECT(TOOL("", "recv", "--count", "2", name), 0, "one\ntwo\n", "");
    cr_assert(stat_has(name, "\"redelivered\":2,"));
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

Test(tools_mpmc, who_shows_which_are_alive_stopped_or_dead)
{
    const char *name = mpmc_queue();
    char alive[64], stopped[64], dead[64];
    EXPECT(TOOL("", "who", name), 0, "", "");
    EXPECT(TOOL("", "who", "--json", name), 0, "[]\n", "");
    struct program reader = START(-1, -1, "recv", name);
    snprintf(alive, sizeof alive, "%8d  alive    consumer ", (int)reader.pid);
    snprintf(stopped, sizeof stopped, "%8d  stopped  consumer ", (int)reader.pid);
    snprintf(dead, sizeof dead, "%8d  dead     consumer ", (int)reader.pid);
    await_who(name, alive);
    kill(reader.pid, SIGSTOP);
    await_who(name, stopped);
    CHECK_JSON(TOOL("", "who", "--json", name), "\"alive\":true,", "\"state\":\"stopped\"");
    kill(reader.pid, SIGCONT);
    await_who(name, alive);
    KILL(&reader);
    cr_assert(who_has(name, dead));
    CHECK_JSON(TOOL("", "who", "--json", name), "\"alive\":false,", "\"state\":\"dead\"");
}

Test(tools_mpmc, who_shows_what_each_holds_and_did)
{
    const char *name = mpmc_queue();
    char line[128];
    int row, pid;
    unsigned long long held, sent, received;
    double held_for;
    EXPECT(TOOL("one\ntwo\nthree\n", "send", name), 0, "", "");
    shmring_t *q = holder_of_two(name);
    /* Until its clock shows more than 0; before that the column has "-". */
    await_who(name, " s            3            0  ");
    struct outcome outcome = TOOL("", "who", name);
    cr_assert(sscanf(strchr(outcome.out, '\n'), "%d %d alive consumer %llu %lf s %llu %llu %127s",
                     &row, &pid, &held, &held_for, &sent, &received, line) == 7,
              "%s", outcome.out);
    cr_assert(row == 0 && pid == getpid() && held == 2 && sent == 3 && received == 0, "%s",
              outcome.out);
    outcome_free(&outcome);
    CHECK_JSON(TOOL("", "who", "--json", name), "\"role\":\"consumer\",\"row\":0,", "\"held\":2,",
               "\"held_seconds\":", "\"sent\":3,\"received\":0,");
    shmring_close(&q);

    shmring_open(&q, name, SHMRING_PRODUCER | SHMRING_CONSUMER);
    cr_assert(who_has(name, "  alive    producer+consumer     0          - "));
    shmring_close(&q);

    const char *spsc = queue_name();
    DO("create", spsc);
    q = NULL;
    cr_assert(shmring_open(&q, spsc, SHMRING_PRODUCER) == 0 && shmring_send(q, "x", 1) == 0);
    cr_assert(who_has(spsc, "  alive    producer              -          -            1 "));
    shmring_close(&q);
}

/* Runs in a child of the test: takes two messages and is killed. */
static int killed_holder(const char *name)
{
    pid_t pid = fork();
    if (pid == 0) {
        const void *msg;
        shmring_t *q;
        if (shmring_open(&q, name, SHMRING_CONSUMER) == 0 && shmring_peek(q, &msg, NULL) > 0 &&
            shmring_peek(q, &msg, NULL) > 0)
            raise(SIGKILL);
        _exit(1);
    }
    cr_assert(test_wait(pid) == -SIGKILL);
    return (int)pid;
}

Test(tools_mpmc, recover_says_what_came_back_and_from_whom)
{
    const char *name = mpmc_queue();
    char line[160], json[160];
    EXPECT(TOOL("", "recover", name), 0, "nothing to recover\n", "");
    EXPECT(TOOL("one\ntwo\nthree\n", "send", name), 0, "", "");
    int pid = killed_holder(name);
    snprintf(line, sizeof line, "row 0, pid %d (", pid);
    struct outcome outcome = TOOL("", "recover", name);
    cr_assert(outcome.status == 0 && strncmp(outcome.out, line, strlen(line)) == 0, "%s",
              outcome.out);
    cr_assert(strstr(outcome.out, "2 messages to be delivered again, 0 dropped, 0 blocks freed\n"),
              "%s", outcome.out);
    outcome_free(&outcome);
    cr_assert(stat_has(name, "\"depth\":3,") && stat_has(name, "\"participants\":[]"));

    pid = killed_holder(name);
    snprintf(json, sizeof json, "\"who\":[{\"row\":0,\"pid\":%d,\"comm\":\"", pid);
    CHECK_JSON(TOOL("", "recover", "--json", name),
               "\"participants\":1,\"redelivered\":2,\"dropped\":0,\"freed\":0,", json);
    CHECK_JSON(TOOL("", "recover", "--json", name), "\"participants\":0,", "\"who\":[]}");
}

Test(tools_mpmc, recover_of_an_spsc_queue_frees_the_roles)
{
    const char *name = queue_name();
    DO("create", name);
    EXPECT(TOOL("one\ntwo\nthree\n", "send", name), 0, "", "");
    killed_holder(name);
    CHECK_JSON(TOOL("", "recover", "--json", name), "\"participants\":1,");
    cr_assert(stat_has(name, "\"participants\":[]"));
    EXPECT(TOOL("", "recover", name), 0, "nothing to recover\n", "");
    EXPECT(TOOL("", "recv", "--no-wait", name), 0, "one\ntwo\nthree\n", "");
}
