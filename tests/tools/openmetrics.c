/* SPDX-License-Identifier: MIT */
/* shmring stat --openmetrics: valid text about all queues, whatever their names are and whichever
 * process died. */
#include <config.h>

#include <stdio.h>
#include <unistd.h>

#include "openmetrics_check.h"
#include "tool.h"

TestSuite(openmetrics, .timeout = 300);

#define HEAD(Name, Type) "# TYPE " Name " " Type "\n# HELP " Name " x\n"

Test(openmetrics, the_checker_is_strict)
{
    const char *good[] = {
        "# EOF\n",
        HEAD("a", "gauge") "a 1\n# EOF\n",
        HEAD("a", "gauge") "a{b=\"\\\\\\\"\\n\xc3\xa9\",c=\"\"} -1.5e3\na{b=\"y\"} 0\n# EOF\n",
        "# TYPE a_bytes counter\n# UNIT a_bytes bytes\n# HELP a_bytes x\na_bytes_total 1\n# EOF\n",
    };
    const char *bad[] = {
        "",
        "# EOF",
        "# EOF\n\n",
        "a 1\n# EOF\n",
        HEAD("a", "gauge") "a 1\n",
        HEAD("a", "gauge") "b 1\n# EOF\n",
        HEAD("a", "info") "a 1\n# EOF\n",
        HEAD("a", "counter") "a 1\n# EOF\n",
        HEAD("a", "counter") "a_total -1\n# EOF\n",
        HEAD("a_total", "counter") "a_total_total 1\n# EOF\n",
        HEAD("a", "gauge") "a 1\na 2\n# EOF\n",
        HEAD("a", "gauge") "a{b=\"1\"} 1\na{b=\"1\"} 2\n# EOF\n",
        HEAD("a", "gauge") HEAD("a", "gauge") "# EOF\n",
        HEAD("a", "gauge") "a 1\n" HEAD("b", "gauge") "b 1\na{c=\"d\"} 1\n# EOF\n",
        HEAD("a", "gauge") "a  1\n# EOF\n",
        HEAD("a", "gauge") "a nan\n# EOF\n",
        HEAD("a", "gauge") "a 1 \n# EOF\n",
        HEAD("a", "gauge") "a{} 1\n# EOF\n",
        HEAD("a", "gauge") "a{b=\"\\x\"} 1\n# EOF\n",
        HEAD("a", "gauge") "a{b=\"\"\"} 1\n# EOF\n",
        HEAD("a", "gauge") "a{b=\"\xff\"} 1\n# EOF\n",
        HEAD("a", "gauge") "a{1b=\"\"} 1\n# EOF\n",
        HEAD("a", "gauge") "a{b=\"c\" 1\n# EOF\n",
        "# TYPE a gauge\na 1\n# EOF\n",
        "# TYPE a gauge\n# UNIT a bytes\n# HELP a x\n# EOF\n",
        "# HELP a x\n# TYPE a gauge\n# EOF\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_null(openmetrics_wrong(good[i]), "%s: %s", good[i], openmetrics_wrong(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not_null(openmetrics_wrong(bad[i]), "%s", bad[i]);
}

/* The command succeeded, its output is valid, and it has these lines. */
#define CHECK_METRICS(Outcome, Status, ...)                                                        \
    do {                                                                                           \
        struct outcome metrics_ = (Outcome);                                                       \
        const char *lines_[] = {__VA_ARGS__};                                                      \
        cr_assert(metrics_.status == (Status), "exit %d: %s", metrics_.status, metrics_.err);      \
        cr_assert_null(openmetrics_wrong(metrics_.out), "%s", openmetrics_wrong(metrics_.out));    \
        for (size_t i_ = 0; i_ < sizeof lines_ / sizeof lines_[0]; i_++)                           \
            cr_assert(strstr(metrics_.out, lines_[i_]), "no %s in %s", lines_[i_], metrics_.out);  \
        outcome_free(&metrics_);                                                                   \
    } while (0)

/* The sample of this metric of this queue; valid until the second call from now. */
static const char *sample(const char *metric, const char *queue, const char *value)
{
    static char lines[16][512];
    static unsigned used;
    char *line = lines[used++ % 16];
    snprintf(line, sizeof lines[0], "\n%s{queue=\"%s\"} %s\n", metric, queue, value);
    return line;
}

Test(openmetrics, counters_of_an_spsc_queue)
{
    const char *name = queue_name();
    DO("create", "--capacity", "4096", name);
    EXPECT(TOOL("one\nfour\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--count", "1", name), 0, "one\n", "");
    CHECK_METRICS(TOOL("", "stat", "--openmetrics", name), 0,
                  sample("shmring_capacity_bytes", name, "4096"),
                  sample("shmring_depth_messages", name, "1"),
                  sample("shmring_sent_messages_total", name, "2"),
                  sample("shmring_sent_bytes_total", name, "7"),
                  sample("shmring_received_messages_total", name, "1"),
                  sample("shmring_received_bytes_total", name, "3"),
                  sample("shmring_recovered_participants_total", name, "0"),
                  "# TYPE shmring_sent_bytes counter\n# UNIT shmring_sent_bytes bytes\n");
    struct outcome outcome = TOOL("", "stat", "-o", name);
    cr_assert(!strstr(outcome.out, "\nshmring_capacity_messages{"), "%s", outcome.out);
    cr_assert(!strstr(outcome.out, "\nshmring_held_"), "%s", outcome.out);
    outcome_free(&outcome);
}

Test(openmetrics, participants_of_an_mpmc_queue)
{
    const char *name = queue_name();
    DO("create", "--kind", "mpmc", "--capacity", "64", name);
    struct program dies = START(-1, -1, "recv", name), lives = START(-1, -1, "recv", name);
    await_stat(name, "\"alive\":true,"); /* one participant is attached at least */
    struct deadline deadline = {0};
    char two[300];
    snprintf(two, sizeof two, "shmring_participants{queue=\"%s\",state=\"alive\"} 2\n", name);
    for (bool both = false; !both;) {
        struct outcome outcome = TOOL("", "stat", "--openmetrics", name);
        both = strstr(outcome.out, two);
        outcome_free(&outcome);
        pause_until(&deadline, two);
    }
    KILL(&dies);
    char alive[300], dead[300];
    snprintf(alive, sizeof alive, "shmring_participants{queue=\"%s\",state=\"alive\"} 1\n", name);
    snprintf(dead, sizeof dead, "shmring_participants{queue=\"%s\",state=\"dead\"} ", name);
    CHECK_METRICS(TOOL("", "stat", "--openmetrics", name), 0, alive, dead,
                  sample("shmring_capacity_messages", name, "64"),
                  sample("shmring_held_blocks", name, "0"),
                  sample("shmring_held_longest_seconds", name, "0"));
    KILL(&lives);
}

Test(openmetrics, all_queues_and_strange_names)
{
    const char *dir = directory_name(), *plain = queue_name();
    const char *quoted = as_file_queue(path_in(dir, "a\"b")),
               *slashed = as_file_queue(path_in(dir, "a\\b"));
    DO("create", "--capacity", "4096", plain);
    DO("create", "--capacity", "4096", quoted);
    DO("create", "--capacity", "8192", slashed);
    char expect_quoted[300], expect_slashed[300], expect_bytes[300];
    snprintf(expect_quoted, sizeof expect_quoted, "file:%sa\\\"b", dir);
    snprintf(expect_slashed, sizeof expect_slashed, "file:%sa\\\\x5cb", dir);
    DO("create", "--capacity", "16K", as_file_queue(path_in(dir, "\xff\n\xc3\xa9")));
    snprintf(expect_bytes, sizeof expect_bytes, "file:%s\\\\xff\\\\x0a\xc3\xa9", dir);
    CHECK_METRICS(TOOL("", "stat", "--openmetrics", dir), 0,
                  sample("shmring_capacity_bytes", expect_quoted, "4096"),
                  sample("shmring_capacity_bytes", expect_slashed, "8192"),
                  sample("shmring_capacity_bytes", expect_bytes, "16384"));
    /* A queue that is named twice, and is in a directory that is named, is in the output once. */
    CHECK_METRICS(TOOL("", "stat", "--openmetrics", plain, dir, plain), 0,
                  sample("shmring_capacity_bytes", plain, "4096"),
                  sample("shmring_capacity_bytes", expect_quoted, "4096"));
    CHECK_METRICS(TOOL("", "stat", "--openmetrics"), 0,
                  sample("shmring_capacity_bytes", plain, "4096"));
}

Test(openmetrics, what_cannot_be_read_is_reported)
{
    const char *dir = directory_name(), *path = path_in(dir, "damaged");
    DO("create", "--capacity", "4096", as_file_queue(path));
    cr_assert(truncate(path, 4096) == 0);
    char line[300];
    snprintf(line, sizeof line, "shmring_readable{queue=\"file:%s\",kind=\"damaged\"} 0\n", path);
    CHECK_METRICS(TOOL("", "stat", "--openmetrics", dir), 0, line);
    struct outcome outcome = TOOL("", "stat", "--openmetrics", dir);
    cr_assert(!strstr(outcome.out, "shmring_depth_messages{"), "%s", outcome.out);
    outcome_free(&outcome);
    /* A queue that does not exist is an error; the output about the other queues is complete. */
    CHECK_METRICS(TOOL("", "stat", "--openmetrics", dir, "no-such-queue"), 1, line);
}
