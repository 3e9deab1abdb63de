/* SPDX-License-Identifier: MIT */
/* shmring top: as text, and on a terminal of 80 x 24, on which the test presses keys. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "terminal.h"
#include "tool.h"

TestSuite(top, .init = reset_signals, .timeout = 300);

#define ONCE(...) TOOL("", "top", "--once", "--delay", "0.1", __VA_ARGS__)

/* The line of the table about this queue, from the output; to be freed. */
static char *line_of(const char *table, const char *queue)
{
    const char *line = strstr(table, queue);
    cr_assert(line, "no %s in %s", queue, table);
    return strndup(line, strcspn(line, "\n"));
}

/* Compare words of a line: name, kind, bar (which may be missing), percent and so on, with one
 * space between two of them. */
static void assert_words(const char *line, const char *expected)
{
    char words[512] = "";
    size_t n = 0;
    for (const char *c = line; *c && n < sizeof words - 1; c++)
        if (*c != ' ' || (n > 0 && words[n - 1] != ' '))
            words[n++] = *c;
    cr_assert(strstr(words, expected), "%s is not in %s", expected, words);
}

Test(top, once_shows_every_queue)
{
    const char *spsc = queue_name(), *mpmc = queue_name();
    DO("create", "--capacity", "4096", spsc);
    DO("create", "--kind", "mpmc", "--capacity", "4", mpmc);
    EXPECT(TOOL("1\n2\n3\n4\n5\n", "send", "--no-wait", mpmc), 3, "", "full");
    struct outcome outcome = ONCE(spsc, mpmc);
    cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
    cr_assert(strncmp(outcome.out, "NAME ", 5) == 0, "%s", outcome.out);
    char *line = line_of(outcome.out, spsc);
    assert_words(line, " spsc 0% 0% 0 0 0 0 - 0 0 -");
    free(line);
    line = line_of(outcome.out, mpmc);
    assert_words(line, " mpmc ||||||100% 100% 0 0 1 0 - 0 0 -");
    free(line);
    outcome_free(&outcome);
}

Test(top, rates_come_from_two_readings)
{
    const char *name = queue_name();
    DO("create", "--capacity", "1M", name); /* room for all messages */
    const struct timespec moment = {.tv_nsec = 5000000};
    int ends[2];
    cr_assert(pipe2(ends, O_CLOEXEC) == 0);
    struct program sender = START(ends[0], -1, "send", name), top;
    await_stat(name, "\"alive\":true");
    top = START(-1, -1, "top", "--once", "--delay", "1.5", name);
    /* The sender sends until top has ended, so some messages come between top's two readings. */
    while (program_runs(&top)) {
        cr_assert(write(ends[1], "0123456789\n", 11) == 11);
        nanosleep(&moment, NULL);
    }
    struct outcome outcome = program_finish(&top);
    char *line = line_of(outcome.out, name);
    double messages, bytes;
    char unit[2] = "";
    const char *percents =
        strchr(strchr(line, '%') + 1, '%') + 1; /* behind the two percentages: now, and at most */
    cr_assert(sscanf(percents, "%lf %lf%1[kK]", &messages, &bytes, unit) >= 2, "%s", line);
    bytes *= *unit ? 1024 : 1;
    cr_assert(messages > 0 && bytes > 8 * messages && bytes < 12 * messages, "%s", line);
    free(line);
    outcome_free(&outcome);
    KILL(&sender);
    close(ends[0]);
    close(ends[1]);
}

Test(top, once_sorts_and_filters)
{
    const char *dir = directory_name();
    const char *a = as_file_queue(path_in(dir, "a")), *b = as_file_queue(path_in(dir, "b"));
    DO("create", "--capacity", "4096", a);
    DO("create", "--capacity", "4096", b);
    EXPECT(TOOL("x\n", "send", b), 0, "", "");
    struct outcome outcome = ONCE(dir);
    cr_assert(strstr(outcome.out, a) < strstr(outcome.out, b), "%s", outcome.out);
    outcome_free(&outcome);
    outcome = ONCE("--sort", "depth", dir);
    cr_assert(strstr(outcome.out, a) > strstr(outcome.out, b), "%s", outcome.out);
    outcome_free(&outcome);
    outcome = ONCE("--filter", "/b", dir);
    cr_assert(!strstr(outcome.out, a) && strstr(outcome.out, b), "%s", outcome.out);
    outcome_free(&outcome);
}

Test(top, dead_participants_and_who_holds_blocks)
{
    const char *name = queue_name();
    DO("create", "--kind", "mpmc", "--capacity", "4", name);
    shmring_t *q;
    const void *msg;
    cr_assert(shmring_open(&q, name, SHMRING_PRODUCER | SHMRING_CONSUMER) == 0);
    cr_assert(shmring_send(q, "x", 1) == 0 && shmring_peek(q, &msg, NULL) == 1);
    char expected[200];
    snprintf(expected, sizeof expected, "%s: pid %d (", name, getpid());
    struct outcome outcome = ONCE(name);
    cr_assert(strstr(outcome.out, expected), "%s", outcome.out);
    cr_assert(strstr(outcome.out, ", alive, holds 1 block, for "), "%s", outcome.out);
    outcome_free(&outcome);
    cr_assert(shmring_release(q, msg) == 0);
    shmring_close(&q);

    struct program dies = START(-1, -1, "recv", name);
    await_stat(name, "\"alive\":true");
    KILL(&dies);
    outcome = ONCE(name);
    char *line = line_of(outcome.out, name);
    assert_words(line, " 0 1 -");
    free(line);
    outcome_free(&outcome);
}

Test(top, what_cannot_be_read_is_a_line)
{
    const char *dir = directory_name(), *path = path_in(dir, "damaged");
    DO("create", "--capacity", "4096", as_file_queue(path));
    cr_assert(truncate(path, 4096) == 0);
    struct outcome outcome = ONCE(dir, "no-such-queue", "./no-such-directory");
    cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
    cr_assert(strstr(outcome.out, "damaged: "), "%s", outcome.out);
    cr_assert(strstr(outcome.out, "no-such-queue "), "%s", outcome.out);
    cr_assert(strstr(outcome.out, "gone: "), "%s", outcome.out);
    cr_assert(strstr(outcome.out, "./no-such-directory "), "%s", outcome.out);
    outcome_free(&outcome);
}

/* The sleeping participant is shown, and top neither wakes it nor changes anything. */
Test(top, those_asleep)
{
    const char *name = queue_name();
    shmring_t *q = test_create(name, SHMRING_CONSUMER, 4096);
    struct shmring_stat st;
    struct timespec moment = {.tv_nsec = 1000000};
    cr_assert(shmring_stat(q, &st) == 0 && st.asleep == 0);
    do { /* its timeout may be over before it sleeps */
        assert_refused(shmring_wait(q, SHMRING_READABLE, &moment), ETIMEDOUT, "time");
        cr_assert(shmring_stat(q, &st) == 0);
    } while (st.asleep == 0);
    cr_assert(st.asleep == SHMRING_READABLE);
    cr_assert(stat_has(name, "\"consumers_asleep\":true,\"producers_asleep\":false,"));
    struct outcome outcome = ONCE(name);
    char *line = line_of(outcome.out, name);
    assert_words(line, " c 1 0 -");
    free(line);
    outcome_free(&outcome);
    EXPECT(TOOL("x\n", "send", name), 0, "", "");
    cr_assert(shmring_stat(q, &st) == 0 && st.asleep == 0);
    shmring_close(&q);
}

#ifdef HAVE_NCURSES

#define SHOW(Terminal, ...)                                                                        \
    terminal_start(                                                                                \
        (Terminal), "vt100", 24, 80,                                                               \
        (const char *const[]){"tools/shmring", "top", "--delay", "0.1", __VA_ARGS__, NULL})

/* top ends with that status, and leaves the terminal as it was. */
static void finish(struct terminal *t, int status)
{
    int ended = terminal_finish(t);
    cr_assert(ended == status, "ended with %d, not %d", ended, status);
    cr_assert(terminal_is_restored(t));
    terminal_close(t);
}

Test(top, a_screen_that_follows)
{
    const char *dir = directory_name();
    const char *first = as_file_queue(path_in(dir, "1")),
               *second = as_file_queue(path_in(dir, "2"));
    struct terminal t;
    SHOW(&t, dir);
    terminal_await(&t, "0 queues, 0 unreadable");
    terminal_await(&t, "(there are none)");
    DO("create", "--capacity", "4096", first);
    terminal_await(&t, "1 queue,");
    terminal_await_line(&t, 1, "NAME           KIND DEPTH");
    DO("create", "--kind", "mpmc", "--capacity", "4", second);
    terminal_await(&t, "2 queues");
    EXPECT(TOOL("1\n2\n3\n", "send", second), 0, "", "");
    terminal_await(&t, "|||||  75%  75%");
    terminal_await_line(&t, 23, "q quit");
    DO("rm", second);
    terminal_await(&t, "1 queue,");
    cr_assert(truncate(path_in(dir, "1"), 4096) == 0);
    terminal_await(&t, "1 queue, 1 unreadable");
    terminal_await(&t, "damaged: ");
    terminal_type(&t, "q");
    finish(&t, 0);
    cr_assert(!t.colours);
}

/* Change to that directory: there the names are short enough not to be cut. */
static void go_to(const char *dir)
{
    const char *builddir = getenv("builddir");
    char *path = realpath(builddir ? builddir : ".", NULL);
    cr_assert(path && setenv("builddir", path, 1) == 0 && chdir(dir) == 0);
    free(path);
}

Test(top, sorting_filter_and_detail)
{
    const char *dir = directory_name();
    go_to(dir);
    DO("create", "--capacity", "4096", "file:aa");
    DO("create", "--kind", "mpmc", "--capacity", "8", "file:bb");
    EXPECT(TOOL("x\n", "send", "file:bb"), 0, "", "");
    struct program consumer = START(-1, -1, "recv", "file:aa");
    await_stat("file:aa", "\"alive\":true");

    struct terminal t;
    SHOW(&t, "file:aa", "file:bb");
    terminal_await_line(&t, 2, "file:aa ");
    terminal_type(&t, "d");
    terminal_await(&t, "by depth");
    terminal_await_line(&t, 2, "file:bb ");
    terminal_type(&t, "n");
    terminal_await(&t, "by name");
    terminal_await_line(&t, 2, "file:aa ");

    terminal_type(&t, "/bb");
    terminal_await(&t, "filter: bb_");
    terminal_await_gone(&t, "file:aa");
    terminal_type(&t, "\177q"); /* a backspace; then q, a letter of the filter */
    terminal_await(&t, "filter: bq_");
    terminal_await(&t, "0 queues");
    terminal_type(&t, "\033");
    terminal_await(&t, "2 queues");
    terminal_await_gone(&t, "filter:");

    terminal_type(&t, "j\r");
    terminal_await_line(&t, 0, "shmring top   file:bb");
    terminal_await(&t, "mpmc, for 8 messages of at most 1000 bytes");
    terminal_await(&t, "(no process is attached)");
    terminal_type(&t, "\033");
    terminal_await(&t, "2 queues");
    terminal_type(&t, "k\r");
    terminal_await(&t, "spsc, for 4K bytes of messages");
    terminal_await(&t, "alive   consumer     -      -       0       0  shmring");
    KILL(&consumer);
    terminal_await(&t, "dead    consumer");
    DO("rm", "file:aa");
    terminal_await(&t, "does not exist");
    terminal_type(&t, "q");
    finish(&t, 0);
}

Test(top, a_narrow_screen_shows_lag_and_missed)
{
    const char *dir = directory_name();
    go_to(dir);
    DO("create", "--kind", "broadcast", "--capacity", "4096", "file:cast");
    shmring_t *consumer;
    cr_assert_eq(shmring_open(&consumer, "file:cast", SHMRING_CONSUMER), 0);
    EXPECT(TOOL("1\n2\n3\n4\n5\n6\n7\n", "send", "file:cast"), 0, "", "");

    struct terminal t;
    SHOW(&t, "file:cast");
    terminal_await(&t, "HELD    LAG MISSED");
    terminal_await(&t, "-      7      0");
    terminal_await_gone(&t, "FULL EMPTY");
    terminal_resize(&t, 24, 120);
    terminal_await(&t, "FULL EMPTY SL LIVE DEAD  HELD    LAG MISSED");
    terminal_type(&t, "q");
    finish(&t, 0);
    shmring_close(&consumer);
}

Test(top, many_queues_scroll_and_the_screen_changes_its_size)
{
    const char *dir = directory_name();
    go_to(dir);
    for (int i = 0; i < 30; i++) {
        char name[32];
        snprintf(name, sizeof name, "file:q%02d", i);
        shmring_t *q = test_create(name, SHMRING_OBSERVER, 4096);
        shmring_close(&q);
    }
    struct terminal t;
    SHOW(&t, "./");
    terminal_await(&t, "30 queues");
    terminal_await(&t, "q19 ");
    terminal_await_line(&t, 23, "q quit");
    terminal_type(&t, "G");            /* a key that does nothing */
    terminal_type(&t, "\033[B\033OB"); /* down, in both of a terminal's modes */
    terminal_resize(&t, 40, 120);
    terminal_await(&t, "q29 ");
    terminal_await_line(&t, 39, "q quit");
    terminal_resize(&t, 10, 60); /* narrower than the table: lines are cut */
    terminal_await_gone(&t, "q29 ");
    terminal_await_line(&t, 9, "q quit");
    terminal_resize(&t, 2, 10);
    terminal_await_line(&t, 1, "NAME");
    terminal_resize(&t, 24, 80);
    for (int i = 0; i < 40; i++)
        terminal_type(&t, "j");
    terminal_await(&t, "q29 ");
    terminal_type(&t, "q");
    finish(&t, 0);
}

Test(top, signals_restore_the_terminal)
{
    const char *dir = directory_name();
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct terminal t;
        SHOW(&t, dir);
        terminal_await(&t, "(there are none)");
        cr_assert(!terminal_is_restored(&t));
        kill(t.pid, signals[i]);
        finish(&t, 128 + signals[i]);
    }
    struct terminal t;
    SHOW(&t, dir);
    terminal_await(&t, "(there are none)");
    terminal_type(&t, "\003"); /* Ctrl-C */
    finish(&t, 128 + SIGINT);
}

/* top ends when its terminal is gone, also if no signal tells it. */
Test(top, a_terminal_that_is_gone)
{
    const char *dir = directory_name();
    struct deadline deadline = {0};
    struct terminal t;
    int status;
    signal(SIGHUP, SIG_IGN); /* as nohup does */
    SHOW(&t, dir);
    terminal_await(&t, "(there are none)");
    terminal_close(&t);
    while (waitpid(t.pid, &status, WNOHANG) == 0)
        pause_until(&deadline, "the program to end");
    cr_assert(WIFEXITED(status));
}

/* Dead participants are red on a terminal with colours, but not if NO_COLOR is set. */
Test(top, colours)
{
    const char *dir = directory_name(), *path = path_in(dir, "damaged");
    DO("create", "--capacity", "4096", as_file_queue(path_in(dir, "a")));
    DO("create", "--capacity", "4096", as_file_queue(path));
    cr_assert(truncate(path, 4096) == 0);
    for (int without = 0; without < 2; without++) {
        struct terminal t;
        if (without)
            setenv("NO_COLOR", "1", 1);
        else
            unsetenv("NO_COLOR");
        terminal_start(&t, "linux", 24, 80,
                       (const char *const[]){"tools/shmring", "top", "--delay", "0.1", dir, NULL});
        terminal_await(&t, "1 unreadable");
        terminal_await_line(&t, 23, "q quit");
        terminal_type(&t, "q");
        cr_assert(terminal_finish(&t) == 0);
        cr_assert(t.colours == !without);
        terminal_close(&t);
    }
}

Test(top, no_terminal)
{
    EXPECT(TOOL("", "top"), 1, "", "shmring top --once");
    struct terminal t;
    terminal_start(&t, "no-such-kind", 24, 80, (const char *const[]){"tools/shmring", "top", NULL});
    terminal_await(&t, "shmring: no-such-kind: no terminal of this kind is known: try 'shmring");
    cr_assert(terminal_finish(&t) == 1);
    terminal_close(&t);
}

#else

Test(top, says_that_it_has_no_screen)
{
    EXPECT(TOOL("", "top"), 1, "", "built without ncurses");
}

#endif
