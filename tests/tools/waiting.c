/* SPDX-License-Identifier: MIT */
/* The commands shmring send and shmring recv: what they do while they wait, and when they end. */
#include <config.h>

#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tool.h"

TestSuite(tools_waiting, .timeout = 300, .init = reset_signals);

static const char *const kinds[] = {"spsc", "mpmc"};

static const char *queue_of(const char *kind)
{
    const char *name = queue_name();
    DO("create", "--kind", kind, "--capacity", strcmp(kind, "spsc") == 0 ? "4096" : "8",
       "--max-message", "100", name);
    return name;
}

/* Start a recv, and wait until it is attached and sleeps. */
static struct program sleeping_reader(const char *how, const char *name)
{
    struct program reader = START(-1, -1, "recv", how, name);
    await_stat(name, "\"consumers_asleep\":true");
    return reader;
}

/* ---- recv --eof ------------------------------------------------------------------------------ */

Test(tools_waiting, a_sender_of_nothing_ends_the_reader)
{
    for (int k = 0; k < 2; k++) {
        const char *name = queue_of(kinds[k]);
        EXPECT(TOOL("", "send", name), 0, "", "");
        EXPECT(TOOL("", "recv", "--eof", name), 0, "", "");
        name = queue_of(kinds[k]);
        struct program reader = sleeping_reader("--eof", name);
        EXPECT(TOOL("", "send", name), 0, "", "");
        EXPECT(program_finish(&reader), 0, "", "");
    }
}

Test(tools_waiting, either_side_may_start_first)
{
    for (int k = 0; k < 2; k++) {
        const char *name = queue_of(kinds[k]);
        EXPECT(TOOL("one\ntwo\n", "send", name), 0, "", "");
        EXPECT(TOOL("", "send", name), 0, "", "");
        EXPECT(TOOL("three\n", "send", name), 0, "", "");
        EXPECT(TOOL("", "recv", "--eof", name), 0, "one\ntwo\nthree\n", "");
        name = queue_of(kinds[k]);
        struct program reader = sleeping_reader("--eof", name);
        EXPECT(TOOL("one\ntwo\n", "send", name), 0, "", "");
        EXPECT(program_finish(&reader), 0, "one\ntwo\n", "");
    }
}

/* When a reader has ended at the end of the messages, the next reader waits for another sender. */
Test(tools_waiting, an_spsc_queue_is_used_again_and_again)
{
    const char *name = queue_of("spsc");
    for (int i = 0; i < 3; i++) {
        struct program reader = sleeping_reader("--eof", name);
        EXPECT(TOOL(i == 1 ? "" : "one\n", "send", name), 0, "", "");
        EXPECT(program_finish(&reader), 0, i == 1 ? "" : "one\n", "");
    }
    EXPECT(TOOL("", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--count", "1", "--timeout", "0.01", name), 3, "", "stayed empty");
    /* The last reader did not end because of --eof. */
    EXPECT(TOOL("", "recv", "--eof", name), 0, "", "");
}

/* Every reader of an mpmc queue ends, however late it starts; with --new-producer it waits. */
Test(tools_waiting, all_readers_of_an_mpmc_queue_end)
{
    const char *name = queue_of("mpmc");
    struct program first = sleeping_reader("--eof", name);
    EXPECT(TOOL("one\n", "send", name), 0, "", "");
    EXPECT(program_finish(&first), 0, "one\n", "");
    EXPECT(TOOL("", "recv", "--eof", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--eof", name), 0, "", "");

    EXPECT(TOOL("two\n", "send", name), 0, "", "");
    for (int i = 0; i < 2; i++) {
        struct program reader = START(-1, -1, "recv", "--new-producer", name);
        if (i == 0)
            program_await_output(&reader, "two\n");
        await_stat(name, "\"consumers_asleep\":true");
        cr_assert(program_runs(&reader));
        EXPECT(TOOL(i == 0 ? "three\n" : "", "send", name), 0, "", "");
        EXPECT(program_finish(&reader), 0, i == 0 ? "two\nthree\n" : "", "");
    }
}

/* A producer that is attached when the reader starts counts as new, though it has left before the
 * reader checks for producers. */
Test(tools_waiting, a_sender_that_is_there_already_is_new)
{
    for (int k = 0; k < 2; k++) {
        const char *name = queue_of(kinds[k]);
        int input[2];
        test_pipe(input);
        struct program sender = START(input[0], -1, "send", name);
        close(input[0]);
        await_stat(name, "\"producers_ever\":1,");
        struct program reader = sleeping_reader("--new-producer", name);
        cr_assert_eq(write(input[1], "one\n", 4), 4);
        close(input[1]);
        EXPECT(program_finish(&sender), 0, "", "");
        EXPECT(program_finish(&reader), 0, "one\n", "");
    }
}

Test(tools_waiting, a_killed_sender_has_left)
{
    for (int k = 0; k < 2; k++) {
        for (int reader_first = 0; reader_first < 2; reader_first++) {
            int input[2];
            const char *name = queue_of(kinds[k]);
            struct program reader = {0};
            test_pipe(input);
            if (reader_first)
                reader = sleeping_reader("--eof", name);
            cr_assert_eq(write(input[1], "one\n", 4), 4);
            struct program sender = START(input[0], -1, "send", name);
            await_stat(name, reader_first ? "\"received\":1," : "\"depth\":1,");
            KILL(&sender);
            if (!reader_first)
                reader = START(-1, -1, "recv", "--eof", name);
            EXPECT(program_finish(&reader), 0, "one\n", "");
            close(input[0]);
            close(input[1]);
        }
    }
}

/* It makes no difference that the sender has made the queue, nor that it removes the queue when it
 * has sent all messages. */
Test(tools_waiting, a_queue_that_its_sender_made)
{
    for (int removed = 0; removed < 2; removed++) {
        const char *name = queue_name();
        struct program reader = START(-1, -1, "recv", "--wait-open", "--eof", name);
        shmring_t *q = test_create(name, SHMRING_PRODUCER, 4096);
        await_stat(name, "\"consumers_asleep\":true");
        cr_assert_eq(shmring_send(q, "one", 3), 0);
        if (removed)
            cr_assert_eq(shmring_unlink(name), 0);
        shmring_close(&q);
        EXPECT(program_finish(&reader), 0, "one\n", "");
    }
    const char *name = queue_name();
    shmring_t *q = test_create(name, SHMRING_PRODUCER, 4096);
    shmring_close(&q);
    EXPECT(TOOL("", "recv", "--eof", name), 0, "", "");
    name = queue_name();
    q = test_create(name, SHMRING_CONSUMER, 4096);
    shmring_close(&q);
    EXPECT(TOOL("one\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--eof", name), 0, "one\n", "");
}

Test(tools_waiting, eof_does_not_wait_longer_than_it_shall)
{
    const char *name = queue_of("spsc");
    EXPECT(TOOL("", "recv", "--eof", "--timeout", "0.01", name), 3, "", "stayed empty");
    EXPECT(TOOL("", "recv", "--eof", "--no-wait", name), 3, "", "is empty");
    EXPECT(TOOL("one\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--eof", "--count", "2", name), 3, "one\n", "stayed empty");
}

/* ---- Sleeping -------------------------------------------------------------------------------- */

static void fill(const char *name, const char *lines)
{
    for (bool full = false; !full;) {
        struct outcome outcome = TOOL(lines, "send", "--no-wait", name);
        full = outcome.status != 0;
        outcome_free(&outcome);
    }
}

/* While they sleep, `shmring stat` shows it; a signal, a message or room ends the sleep. */
Test(tools_waiting, asleep)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    char lines[2 * 102 + 1];
    snprintf(lines, sizeof lines, "%0*d\n%0*d\n", 90, 1, 90, 2);
    for (int k = 0; k < 2; k++) {
        const char *name = queue_of(kinds[k]);
        for (int s = 0; s < 3; s++) {
            struct program reader = sleeping_reader("--length-prefixed", name);
            kill(reader.pid, signals[s]);
            EXPECT(program_finish(&reader), 128 + signals[s], "", "");
            /* Notifies it of a message that another one takes. */
            EXPECT(TOOL("x\n", "send", name), 0, "", "");
            EXPECT(TOOL("", "recv", "--count", "1", name), 0, "x\n", "");
        }
        struct program reader = sleeping_reader("--count=1", name);
        EXPECT(TOOL("one\n", "send", name), 0, "", "");
        EXPECT(program_finish(&reader), 0, "one\n", "");

        fill(name, lines);
        int input = input_of(lines, strlen(lines));
        struct program sender = START(input, -1, "send", name);
        await_stat(name, "\"producers_asleep\":true");
        kill(sender.pid, SIGTERM);
        EXPECT(program_finish(&sender), 128 + SIGTERM, "", "");
        EXPECT(TOOL(lines, "send", "--timeout", "0.01", name), 3, "", "stayed full");
        close(input);
        input = input_of(lines, strlen(lines));
        sender = START(input, -1, "send", name);
        EXPECT(TOOL("", "recv", "--no-wait", name), 0, NULL, "");
        EXPECT(program_finish(&sender), 0, "", "");
        close(input);
    }
}
