/* SPDX-License-Identifier: MIT */
/* The shmring command: what it makes, shows and removes, and what it prints for wrong arguments. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

TestSuite(tools, .timeout = 300);

Test(tools, the_json_checker_is_strict)
{
    const char *good[] = {"{}", "[]", " [1, -0.5e+3, \"\\u00e9\\n\xc3\xa9\", null]\n",
                          "{\"a\":{\"b\":[true,false]}}"};
    const char *bad[] = {"",      "{",         "[1,]",      "{\"a\"}", "{\"a\":1,}", "[01]",
                         "[1] 2", "\"\n\"",    "\"\\x41\"", "[.5]",    "[1.]",       "['a']",
                         "nul",   "\"\\u12\"", "{a:1}",     "[\"a",    "-",          "\"\xc3"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert(json_is_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(!json_is_valid(bad[i]), "%s", bad[i]);
}

Test(tools, help_is_everywhere)
{
    const char *commands[] = {"create", "ls",   "stat",    "top", "who", "send",
                              "recv",   "dump", "recover", "rm",  "gc"};
    struct outcome general = TOOL("", "--help");
    cr_assert(general.status == 0 && strstr(general.out, "Usage: shmring COMMAND"));
    struct outcome none = TOOL("", NULL); /* no argument at all */
    cr_assert(none.status == 2 && strcmp(none.err, general.out) == 0 && none.out[0] == '\0');
    outcome_free(&none);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "Usage: shmring %s ", commands[i]);
        const char *spellings[] = {"--help", "-h"};
        for (int j = 0; j < 2; j++) {
            struct outcome outcome = TOOL("", commands[i], spellings[j]);
            cr_assert(outcome.status == 0 && strstr(outcome.out, expected), "%s", outcome.out);
            cr_assert(*outcome.err == '\0');
            outcome_free(&outcome);
        }
        snprintf(expected, sizeof expected, "\n  %s ", commands[i]);
        cr_assert(strstr(general.out, expected), "%s", commands[i]);
    }
    outcome_free(&general);
}

Test(tools, version)
{
    struct outcome outcome = TOOL("", "--version");
    cr_assert(outcome.status == 0);
    cr_assert(strstr(outcome.out, "shmring " PACKAGE_VERSION ", libshmring " PACKAGE_VERSION "\n"));
    outcome_free(&outcome);
}

Test(tools, wrong_usage_exits_with_2)
{
    static const char *const lines[][5] = {
        {NULL},
        {"frobnicate"},
        {"--frobnicate"},
        {"create"},
        {"create", "a", "b"},
        {"create", "--frobnicate", "a"},
        {"create", "--capacity"},
        {"create", "--capacity", "0", "a"},
        {"create", "--capacity", "-1", "a"},
        {"create", "--capacity", "64X", "a"},
        {"create", "--capacity", "64KB", "a"},
        {"create", "--capacity", "18446744073709551616", "a"},
        {"create", "--capacity", "99999999999G", "a"},
        {"create", "--capacity", "", "a"},
        {"create", "--max-message", "0", "a"},
        {"create", "--max-message", "4G", "a"},
        {"create", "--kind", "mpmc2", "a"},
        {"create", "--max-participants", "0", "a"},
        {"create", "--max-participants", "1025", "a"},
        {"create", "--mode", "0", "a"},
        {"create", "--mode", "1000", "a"},
        {"create", "--mode", "0680", "a"},
        {"create", "--mode", "rw", "a"},
        {"create", "memfd:a"},
        {"ls", "--frobnicate"},
        {"stat"},
        {"stat", "a", "b"},
        {"stat", "--watch", "0", "a"},
        {"stat", "--watch", "-1", "a"},
        {"stat", "--watch", "soon", "a"},
        {"stat", "-x", "a"},
        {"stat", "--json", "--openmetrics", "a"},
        {"stat", "--openmetrics", "--watch", "1", "a"},
        {"top", "--frobnicate"},
        {"top", "--delay", "0.05"},
        {"top", "--delay", "soon"},
        {"top", "--sort", "colour"},
        {"top", "--filter", "a part of a name that is longer than any line for it, by one byte"},
        {"send"},
        {"send", "a", "b"},
        {"send", "--timeout", "1s", "a"},
        {"send", "--timeout", "nan", "a"},
        {"send", "--timeout", "1e99", "a"},
        {"send", "--frobnicate", "a"},
        {"recv"},
        {"recv", "a", "b"},
        {"recv", "--count", "-1", "a"},
        {"recv", "--count", "1K", "a"},
        {"recv", "--timeout", "", "a"},
        {"recv", "--frobnicate", "a"},
        {"rm"},
        {"rm", "--frobnicate", "a"},
        {"who", "a", "b"},
        {"who", "--frobnicate", "a"},
        {"dump"},
        {"dump", "a", "b"},
        {"dump", "--frobnicate", "a"},
        {"recover"},
        {"recover", "a", "b"},
        {"recover", "--frobnicate", "a"},
        {"gc", "--frobnicate"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const char *const *line = lines[i];
        struct outcome outcome = TOOL("", line[0], line[1], line[2], line[3], line[4]);
        cr_assert(outcome.status == 2, "line %zu: exit %d", i, outcome.status);
        cr_assert(*outcome.out == '\0' && strstr(outcome.err, "shmring"), "line %zu", i);
        cr_assert(strstr(outcome.err, " --help"), "line %zu: %s", i, outcome.err);
        outcome_free(&outcome);
    }
}

Test(tools, create_takes_every_option)
{
    const char *plain = queue_name(), *made = queue_name();
    DO("create", plain);
    CHECK_JSON(TOOL("", "stat", "--json", plain), "\"kind\":\"spsc\"", "\"capacity\":1048576,",
               "\"max_message\":1048560,", "\"mode\":\"0600\"", "\"participants\":[]");
    DO("create", "--kind", "spsc", "--capacity", "64k", "--max-message", "1K", "--mode", "0640",
       "--prefault", made);
    CHECK_JSON(TOOL("", "stat", "--json", made), "\"capacity\":65536,", "\"max_message\":1024,",
               "\"mode\":\"0640\"", "\"huge_pages\":false");
}

Test(tools, create_says_what_is_wrong)
{
    const char *name = queue_name();
    DO("create", "--capacity", "4096", name);
    EXPECT(TOOL("", "create", "--capacity", "4096", name), 1, "", name);
    EXPECT(TOOL("", "create", "--or-open", "--capacity", "4096", name), 0, "", "");
    EXPECT(TOOL("", "create", "--or-open", "--capacity", "8192", name), 1, "", "4096");
    EXPECT(TOOL("", "create", "--capacity", "5000", "other"), 1, "", "8192");
    EXPECT(TOOL("", "create", "a/b"), 1, "", "shmring: a/b: cannot create: ");
    EXPECT(TOOL("", "create", ""), 1, "", "empty");
    EXPECT(TOOL("", "create", "file:/nonexistent/q"), 1, "", "/nonexistent");
    EXPECT(TOOL("", "create", "two\nlines\x1b"), 1, "", "shmring: two\\x0alines\\x1b: ");
}

Test(tools, huge_pages_or_the_reason_why_not)
{
    const char *name = queue_name();
    struct outcome outcome = TOOL("", "create", "--huge-pages", "--capacity", "2M", name);
    if (outcome.status == 0)
        cr_assert(stat_has(name, "\"huge_pages\":true"));
    else
        cr_assert(outcome.status == 1 && strstr(outcome.err, "cannot create: "));
    outcome_free(&outcome);
}

Test(tools, what_is_not_there)
{
    const char *name = queue_name();
    char expected[128];
    snprintf(expected, sizeof expected,
             "shmring: %s: cannot open: /dev/shm/%s does not exist: ", name, name);
    char make_it[300], list_them[300];
    snprintf(make_it, sizeof make_it, "%s'shmring create' makes it, --wait-open waits for it\n",
             expected);
    snprintf(list_them, sizeof list_them, "%s'shmring ls' lists the queues\n", expected);
    EXPECT(TOOL("", "create", "file:/nonexistent/queue"), 1, "",
           "No such file or directory: make the directory first\n");
    EXPECT(TOOL("", "create", "file:/tmp"), 1, "",
           "/tmp exists, and is no queue: choose another name\n");
    EXPECT(TOOL("", "stat", name), 1, "", list_them);
    EXPECT(TOOL("", "ls", name), 1, "", list_them);
    EXPECT(TOOL("", "send", name), 1, "", make_it);
    EXPECT(TOOL("", "recv", name), 1, "", make_it);
    EXPECT(TOOL("", "who", name), 1, "", list_them);
    EXPECT(TOOL("", "dump", name), 1, "", list_them);
    EXPECT(TOOL("", "recover", name), 1, "", list_them);
    EXPECT(TOOL("", "gc", name), 1, "", list_them);
    EXPECT(TOOL("", "ls", "/nonexistent/"), 1, "", "/nonexistent/: cannot list: ");
    EXPECT(TOOL("", "rm", name), 1, "", "does not exist: there is nothing to remove\n");
    EXPECT(TOOL("", "rm", "--force", name), 0, "", "");
    EXPECT(TOOL("", "rm", "-f"), 0, "", "");
}

/* Every command, with names that no queue can have, and with files that are no queues. */
Test(tools, what_is_no_queue)
{
    static const char *const commands[] = {"create", "stat",    "ls", "send", "recv", "who",
                                           "dump",   "recover", "rm", "gc",   "top"};
    const char *path = path_in(directory_name(), "text");
    write_file(path, "no queue at all, but a text\n", 28);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const char *command = commands[i], *once = strcmp(command, "top") == 0 ? "--once" : "--";
        const char *const names[] = {"", ".hidden", "file:", as_file_queue(path), "file:/dev/null"};
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
            struct outcome outcome = TOOL("x\n", command, once, names[n]);
            bool listed = *once && strcmp(command, "top") == 0 && outcome.status == 0;
            cr_assert(outcome.status == 1 || listed, "%s '%s': exit %d: %s%s", command, names[n],
                      outcome.status, outcome.out, outcome.err);
            cr_assert(listed ||
                          (strncmp(outcome.err, "shmring: ", 9) == 0 &&
                           strstr(outcome.err, ": cannot ") && !strstr(outcome.err, "create the")),
                      "%s '%s': %s", command, names[n], outcome.err);
            outcome_free(&outcome);
        }
    }
}

/* Each short option in a command's help is accepted, and is the same as the long one. */
Test(tools, short_options)
{
    static const char *const commands[] = {"create", "stat",    "ls", "send", "recv", "who",
                                           "dump",   "recover", "rm", "gc",   "top"};
    const char *name = queue_name();
    DO("create", name);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct outcome outcome = TOOL("", commands[i], "-h");
        cr_assert(outcome.status == 0 && strstr(outcome.out, "Usage: shmring "));
        outcome_free(&outcome);
    }
    EXPECT(TOOL("", "send", "-lwn", "-t", "1", name), 0, "", "");
    EXPECT(TOOL("hi\n", "send", "-wnt1", name), 0, "", "");
    CHECK_JSON(TOOL("", "dump", "-jx", name), "\"hex\":\"");
    EXPECT(TOOL("", "recv", "-lewn", "-t1", "-c1", name), 0, NULL, "");
    EXPECT(TOOL("", "recv", "-pn", name), 3, "", "is empty");
    CHECK_JSON(TOOL("", "stat", "-j", name), "\"name\"");
    EXPECT(TOOL("", "stat", "-o", name), 0, NULL, "");
    CHECK_JSON(TOOL("", "ls", "-j", name), "\"name\"");
    CHECK_JSON(TOOL("", "who", "-j", name), "[]");
    CHECK_JSON(TOOL("", "recover", "-j", name), "\"participants\":0");
    EXPECT(TOOL("", "top", "-o", "-d0.1", "-f", name, "-sdepth", name), 0, NULL, "");
    EXPECT(TOOL("", "gc", "-an", name), 0, NULL, "");
    EXPECT(TOOL("", "rm", "-f", name, name), 0, "", "");
}

Test(tools, rm_goes_on_after_a_failure)
{
    const char *first = queue_name(), *missing = queue_name(), *last = queue_name();
    DO("create", first);
    DO("create", last);
    EXPECT(TOOL("", "rm", first, missing, last), 1, "", missing);
    EXPECT(TOOL("", "stat", first), 1, "", first);
    EXPECT(TOOL("", "stat", last), 1, "", last);
}

Test(tools, rm_leaves_other_files_alone)
{
    const char *path = path_in(directory_name(), "letter");
    write_file(path, "Dear Sir or Madam", 17);
    EXPECT(TOOL("", "rm", "--force", as_file_queue(path)), 1, "", "cannot remove: ");
    cr_assert(access(path, F_OK) == 0);
}

Test(tools, stat_shows_everything)
{
    const char *name = queue_name();
    char line[128];
    DO("create", "--capacity", "4096", name);
    EXPECT(TOOL("one\ntwo\n", "send", name), 0, "", "");
    EXPECT(TOOL("", "recv", "--count", "1", name), 0, "one\n", "");

    struct outcome outcome = TOOL("", "stat", name);
    cr_assert(outcome.status == 0, "%s", outcome.err);
    const char *lines[] = {
        "  kind             spsc\n",
        "  capacity         4096 bytes (4K)\n",
        "  longest message  4080 bytes\n",
        "  mode             0600\n",
        "  waiting          1 message, 8 bytes of the ring\n",
        "  sent             2 messages, 6 bytes\n",
        "  received         1 message, 3 bytes\n",
        "  found full       0 times\n",
        "  participants     0 alive, 0 dead\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_assert(strstr(outcome.out, lines[i]), "no%sin %s", lines[i], outcome.out);
    snprintf(line, sizeof line, "(uid %d, gid %d)\n", (int)geteuid(), (int)getegid());
    cr_assert(strstr(outcome.out, line), "%s", outcome.out);
    outcome_free(&outcome);

    CHECK_JSON(TOOL("", "stat", "--json", name), "\"depth\":1,", "\"depth_bytes\":8,",
               "\"sent\":2,", "\"sent_bytes\":6,", "\"received\":1,", "\"received_bytes\":3,",
               "\"takeovers\":0,", "\"stale\":false", "\"creator\":{\"pid\":", "\"high_water\":",
               "\"full_events\":", "\"empty_events\":", "\"segment_bytes\":", "\"created\":\"20",
               name);
}

/* Create the queue in a pid namespace of its own. Both processes end without _exit(): LeakSanitizer
 * cannot work in a process whose children are in another namespace, nor in those children. */
static int create_in_another_namespace(void *name)
{
    int status = 1;
    if (unshare(CLONE_NEWPID) < 0)
        syscall(SYS_exit_group, 77);
    const pid_t pid = fork();
    if (pid == 0) {
        struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = 4096};
        shmring_t *q;
        syscall(SYS_exit_group, shmring_create(&q, name, &config) < 0);
    }
    waitpid(pid, &status, 0);
    syscall(SYS_exit_group, status != 0);
    return 1;
}

Test(tools, a_creator_of_another_pid_namespace_is_said_to_be_one)
{
    const char *name = queue_name(), *ours = queue_name();
    const int status = test_run(create_in_another_namespace, (void *)(uintptr_t)name);
    if (status == 77)
        cr_skip_test("may not make a pid namespace");
    cr_assert_eq(status, 0);
    struct outcome outcome = TOOL("", "stat", name);
    cr_assert(strstr(outcome.out, " by pid 1 ("), "%s", outcome.out);
    cr_assert(strstr(outcome.out, ") of another pid namespace, uid "), "%s", outcome.out);
    outcome_free(&outcome);
    outcome = TOOL("", "ls", name);
    cr_assert(strstr(outcome.out, ") elsewhere"), "%s", outcome.out);
    outcome_free(&outcome);
    CHECK_JSON(TOOL("", "stat", "--json", name), "\"creator\":{\"pid\":1,\"pid_namespace\":");

    DO("create", ours);
    outcome = TOOL("", "stat", ours);
    cr_assert(!strstr(outcome.out, "another pid namespace"), "%s", outcome.out);
    outcome_free(&outcome);
    outcome = TOOL("", "ls", ours);
    cr_assert(!strstr(outcome.out, "elsewhere"), "%s", outcome.out);
    outcome_free(&outcome);
}

Test(tools, stat_and_ls_show_who_is_attached_and_who_died)
{
    const char *name = queue_name();
    char line[256];
    DO("create", name);
    struct program reader = START(-1, -1, "recv", name);
    await_stat(name, "\"role\":\"consumer\"");
    snprintf(line, sizeof line, "consumer %d (", (int)reader.pid);

    struct outcome outcome = TOOL("", "stat", name);
    cr_assert(strstr(outcome.out, line), "%s", outcome.out);
    cr_assert(strstr(outcome.out, "participants     1 alive, 0 dead\n"), "%s", outcome.out);
    outcome_free(&outcome);
    outcome = TOOL("", "ls", name);
    cr_assert(strstr(outcome.out, line) && strstr(outcome.out, ") alive\n"), "%s", outcome.out);
    outcome_free(&outcome);

    KILL(&reader);
    outcome = TOOL("", "stat", name);
    cr_assert(strstr(outcome.out, line), "%s", outcome.out);
    cr_assert(strstr(outcome.out, "participants     0 alive, 1 dead\n"), "%s", outcome.out);
    outcome_free(&outcome);
    outcome = TOOL("", "ls", name);
    cr_assert(strstr(outcome.out, line) && strstr(outcome.out, ") dead\n"), "%s", outcome.out);
    outcome_free(&outcome);
    snprintf(line, sizeof line, "\"alive\":false,\"pid\":%d,", (int)reader.pid);
    CHECK_JSON(TOOL("", "ls", "--json", name), line, "\"role\":\"consumer\"");
}

Test(tools, a_second_consumer_learns_who_is_the_first)
{
    const char *name = queue_name();
    char pid[32];
    DO("create", name);
    struct program reader = START(-1, -1, "recv", name);
    await_stat(name, "\"role\":\"consumer\"");
    snprintf(pid, sizeof pid, "%d", (int)reader.pid);
    EXPECT(TOOL("", "recv", name), 1, "", pid);
    KILL(&reader);
}

Test(tools, names_of_other_processes_are_escaped)
{
    const char *name = queue_name();
    prctl(PR_SET_NAME, "\033[31m\"\\\xff\xc3\xa9");
    shmring_t *q = test_create(name, SHMRING_PRODUCER, 4096);

    const char *const commands[] = {"ls", "stat"};
    for (int i = 0; i < 2; i++) {
        struct outcome outcome = TOOL("", commands[i], name);
        cr_assert(strstr(outcome.out, "(\\x1b[31m\"\\\\xff\\xc3\\xa9)"), "%s", outcome.out);
        cr_assert(!strchr(outcome.out, '\033'));
        outcome_free(&outcome);
        CHECK_JSON(TOOL("", commands[i], "--json", name), "\\u001b[31m\\\"\\\\\\ufffd\xc3\xa9\"");
    }
    shmring_close(&q);
}

/* A process and a queue with names that contain control sequences for a terminal. */
static int die_of_a_bad_name(void *name)
{
    static const char words[] = "\033]0;title\a\x9b"
                                "2J\xc2\x9b"
                                "2J\r\177";
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = SHMRING_PRODUCER | SHMRING_CONSUMER,
                                          .capacity = 4,
                                          .max_message = sizeof words,
                                          .max_participants = 2};
    const void *msg;
    shmring_t *q;

    prctl(PR_SET_NAME, "\033[31m\n\x9b\xc2\x9b\r\177");
    child_assert(shmring_create(&q, name, &config) == 0);
    for (int i = 0; i < 3; i++)
        child_assert(shmring_send(q, words, sizeof words) == 0);
    child_assert(shmring_peek(q, &msg, NULL) == sizeof words);
    kill(getpid(), SIGKILL);
    return 1;
}

static void assert_is_text(const char *command, const char *text)
{
    for (; *text; text++)
        cr_assert(*text == '\n' || (*text >= ' ' && *text <= '~'), "%s: %d in: %s", command, *text,
                  text);
}

Test(tools, no_control_characters_from_a_segment)
{
    const char *name = as_file_queue(path_in(directory_name(), "a\033[2J\x9b\xc2\x9b"
                                                               "b"));
    const char *const lines[][4] = {{"ls"},           {"stat"},          {"stat", "--openmetrics"},
                                    {"who"},          {"dump"},          {"top", "--once"},
                                    {"ls", "--json"}, {"who", "--json"}, {"gc", "--dry-run"},
                                    {"recover"},      {"gc", "--all"}};

    cr_assert_eq(test_run(die_of_a_bad_name, (void *)(uintptr_t)name), -SIGKILL);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const char *const argv[] = {"tools/shmring", lines[i][0], lines[i][1] ? lines[i][1] : name,
                                    lines[i][1] ? name : NULL, NULL};
        struct outcome outcome = tool_run("", argv);
        cr_assert_eq(outcome.status, 0, "%s: %s", lines[i][0], outcome.err);
        cr_assert(*outcome.out != '\0');
        assert_is_text(lines[i][0], outcome.out);
        outcome_free(&outcome);
    }
    struct outcome gone = TOOL("", "who", name);
    cr_assert_eq(gone.status, 1);
    assert_is_text("who", gone.err);
    outcome_free(&gone);
}

Test(tools, ls_lists_dev_shm)
{
    const char *name = queue_name();
    DO("create", "--capacity", "64K", name);
    struct outcome outcome = TOOL("", "ls");
    cr_assert(outcome.status == 0, "%s", outcome.err);
    cr_assert(strncmp(outcome.out, "NAME ", 5) == 0, "%s", outcome.out);
    const char *row = strstr(outcome.out, name);
    cr_assert(row, "%s", outcome.out);
    char capacity[16], size[16], depth[16], mode[16], creator[32];
    cr_assert(sscanf(row, "%*s spsc %15s %15s %15s %15s %*s %31s", capacity, size, depth, mode,
                     creator) == 5,
              "%s", row);
    cr_assert_str_eq(capacity, "64K");
    cr_assert_str_eq(depth, "0");
    cr_assert_str_eq(mode, "0600");
    cr_assert(atoi(creator) > 1, "%s", creator);
    outcome_free(&outcome);
    CHECK_JSON(TOOL("", "ls", "--json"), name);
}

Test(tools, ls_of_a_directory_passes_over_what_is_no_queue)
{
    const char *directory = directory_name();
    EXPECT(TOOL("", "ls", directory), 0, "", "");
    EXPECT(TOOL("", "ls", "--json", directory), 0, "[]\n", "");

    write_file(path_in(directory, "letter"), "Dear Sir or Madam", 17);
    write_file(path_in(directory, "short"), "SHMRING", 7);
    write_file(path_in(directory, "empty"), "", 0);
    cr_assert(mkdir(path_in(directory, "subdirectory"), 0700) == 0);
    cr_assert(mkfifo(path_in(directory, "fifo"), 0600) == 0);
    const char *queue = as_file_queue(path_in(directory, "queue"));
    DO("create", queue);
    cr_assert(symlink("queue", path_in(directory, "link")) == 0);

    struct outcome outcome = TOOL("", "ls", directory);
    cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
    cr_assert(strstr(outcome.out, queue), "%s", outcome.out);
    const char *header_end = strchr(outcome.out, '\n');
    cr_assert(strchr(header_end + 1, '\n') == strrchr(outcome.out, '\n'), "%s", outcome.out);
    outcome_free(&outcome);
    EXPECT(TOOL("", "ls", as_file_queue(path_in(directory, "letter"))), 1, "", "cannot open: ");
    cr_assert(rmdir(path_in(directory, "subdirectory")) == 0);
}

/* Overwrite bytes of a segment's header. */
static void spoil(const char *path, off_t at, const char *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && pwrite(fd, bytes, n, at) == (ssize_t)n, "%s", path);
    close(fd);
}

Test(tools, ls_lists_what_it_cannot_open_with_the_reason)
{
    const char *directory = directory_name();
    const char *damaged = path_in(directory, "damaged"), *foreign = path_in(directory, "foreign"),
               *truncated = path_in(directory, "truncated"),
               *unfinished = path_in(directory, "unfinished");
    DO("create", as_file_queue(damaged));
    DO("create", as_file_queue(foreign));
    DO("create", "--mode", "0604", as_file_queue(truncated));
    write_file(unfinished, "SHMRING0", 8); /* SHMR_UNFINISHED, see lib/core/layout.h */
    spoil(damaged, 60, "\1", 1);
    spoil(foreign, 8, "\377", 1); /* the layout's version */
    cr_assert(truncate(truncated, 8192) == 0);

    struct outcome outcome = TOOL("", "ls", directory);
    cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
    const char *row = strstr(outcome.out, damaged);
    char kind[16], size[16], mode[16];
    cr_assert(row && sscanf(row, "%*s %15s", kind) == 1, "%s", outcome.out);
    cr_assert_str_eq(kind, "damaged");
    row = strstr(outcome.out, foreign);
    cr_assert(row && sscanf(row, "%*s %15s", kind) == 1, "%s", outcome.out);
    cr_assert_str_eq(kind, "foreign");
    cr_assert(strstr(row, "layout_version 255"), "%s", row);
    row = strstr(outcome.out, truncated);
    cr_assert(row && sscanf(row, "%*s %15s - %15s - %15s", kind, size, mode) == 3, "%s",
              outcome.out);
    cr_assert_str_eq(kind, "damaged");
    cr_assert_str_eq(size, "8K");
    cr_assert_str_eq(mode, "0604");
    outcome_free(&outcome);

    CHECK_JSON(TOOL("", "ls", "--json", directory),
               "\"kind\":null,\"error\":\"damaged\",\"reason\":\"", "\"error\":\"foreign\"",
               "\"error\":\"unfinished\"", "\"segment_bytes\":8192,\"mode\":\"0604\"");
    EXPECT(TOOL("", "ls", as_file_queue(damaged)), 0, NULL, "");
    EXPECT(TOOL("", "ls", as_file_queue(unfinished)), 0, NULL, "");
    EXPECT(TOOL("", "stat", as_file_queue(unfinished)), 3, "", "its creator is at work");
    EXPECT(TOOL("", "stat", as_file_queue(damaged)), 1, "", "cannot open: ");
    EXPECT(TOOL("", "rm", as_file_queue(damaged), as_file_queue(foreign)), 0, "", "");
    cr_assert(access(damaged, F_OK) < 0 && access(foreign, F_OK) < 0);
}

Test(tools, ls_escapes_names)
{
    const char *directory = directory_name();
    DO("create", as_file_queue(path_in(directory, "\033[2J\n\"\xff")));
    struct outcome outcome = TOOL("", "ls", directory);
    cr_assert(strstr(outcome.out, "\\x1b[2J\\x0a\"\\xff"), "%s", outcome.out);
    outcome_free(&outcome);
    CHECK_JSON(TOOL("", "ls", "--json", directory), "\\u001b[2J\\u000a\\\"\\ufffd\"");
}

/* Become root again, so that the test can remove its files. Fails if the process never was root. */
static void be_root_again(void)
{
    if (seteuid(0) < 0)
        cr_assert(errno == EPERM);
}

Test(tools, no_permission, .fini = be_root_again)
{
    const char *name = queue_name(), *directory = directory_name();
    const char *queue = as_file_queue(path_in(directory, "queue"));
    struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = 4096, .mode = 0400};
    shmring_t *q;
    cr_assert(shmring_create(&q, name, &config) == 0, "%s", shmring_strerror_detail());
    shmring_close(&q);
    config.mode = 0200;
    cr_assert(shmring_create(&q, queue, &config) == 0, "%s", shmring_strerror_detail());
    shmring_close(&q);
    cr_assert(chmod(directory, 0755) == 0);
    /* The user may not read it, and it is no queue. */
    cr_assert(mkfifo(path_in(directory, "fifo"), 0) == 0);
    if (geteuid() == 0 && !test_is_root())
        cr_skip_test("root of a user namespace");
    if (geteuid() == 0) { /* root may read every file: become the user nobody */
        char path[128];
        snprintf(path, sizeof path, "/dev/shm/%s", name);
        cr_assert(chown(path, 65534, 65534) == 0);
        cr_assert(chown(path_in(directory, "queue"), 65534, 65534) == 0);
        cr_assert(setresgid(65534, 65534, 0) == 0 && setresuid(65534, 65534, 0) == 0);
    }
    struct outcome outcome = TOOL("", "--version");
    if (outcome.status == 126 || outcome.status == 127)
        cr_skip_test("only root can reach the build tree");
    outcome_free(&outcome);

    EXPECT(TOOL("", "stat", name), 0, NULL, "");
    EXPECT(TOOL("", "send", name), 1, "", "cannot open: ");
    EXPECT(TOOL("", "recv", name), 1, "", "cannot open: ");
    EXPECT(TOOL("", "stat", queue), 1, "", "cannot open: ");
    const char *const arguments[] = {directory, queue};
    for (int i = 0; i < 2; i++) {
        outcome = TOOL("", "ls", arguments[i]);
        cr_assert(outcome.status == 0, "%s", outcome.err);
        cr_assert(strstr(outcome.out, "queue  no-access  -  "), "%s", outcome.out);
        cr_assert(strstr(outcome.out, "  0200  "), "%s", outcome.out);
        cr_assert(!strstr(outcome.out, "fifo"), "%s", outcome.out);
        outcome_free(&outcome);
    }
    EXPECT(TOOL("", "ls", as_file_queue(path_in(directory, "other"))), 1, "", "does not exist");
    EXPECT(TOOL("", "rm", queue), 1, "", "cannot remove: ");
}

Test(tools, stat_watches)
{
    const char *name = queue_name();
    DO("create", "--capacity", "4096", name);
    struct program watcher = START(-1, -1, "stat", "--watch", "0.01", name);
    struct program reporter = START(-1, -1, "stat", "--watch", "0.01", "--json", name);
    /* The output is eight columns of rates; after 4 messages the rate was more than 0 once. */
    program_await_output(&watcher, "empty/s\n");
    program_await_output(&reporter, "\"sent\":0,");
    EXPECT(TOOL("1\n2\n3\n4\n", "send", name), 0, "", "");
    program_await_output(&watcher, " 4   0.8% ");
    program_await_output(&reporter, "\"sent\":4,");
    DO("rm", name);
    struct outcome outcome = program_finish(&watcher);
    cr_assert(outcome.status == 1 && strstr(outcome.err, "removed"), "%s", outcome.err);
    outcome_free(&outcome);

    outcome = program_finish(&reporter);
    cr_assert(outcome.status == 1, "%s", outcome.err);
    int lines = 0;
    for (char *line = strtok(outcome.out, "\n"); line; line = strtok(NULL, "\n"), lines++)
        cr_assert(json_is_valid(line), "%s", line);
    cr_assert(lines >= 2);
    outcome_free(&outcome);
}

Test(tools, an_output_that_cannot_be_written_is_a_failure)
{
    const char *name = queue_name();
    DO("create", name);
    EXPECT(TOOL("kept\n", "send", name), 0, "", "");
    static const char *const commands[][3] = {
        {"--help"},
        {"ls"},
        {"ls", "--json"},
        {"stat"},
        {"stat", "--json"},
        {"recv", "--count", "1"},
        {"dump"},
        {"dump", "--json"},
        {"who", "--json"},
        {"recover"},
        {"gc", "--dry-run"},
    };
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_assert(full >= 0);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const char *argv[6] = {"tools/shmring"};
        int n = 1;
        for (int j = 0; j < 3 && commands[i][j]; j++)
            argv[n++] = commands[i][j];
        argv[n] = i == 0 ? NULL : name;
        struct program program = program_start(-1, full, argv);
        struct outcome outcome = program_finish(&program);
        cr_assert(outcome.status == 1, "%s: exit %d", argv[1], outcome.status);
        cr_assert(strstr(outcome.err, "stdout: cannot write: "), "%s", outcome.err);
        outcome_free(&outcome);
    }
    close(full);
    EXPECT(TOOL("", "recv", "--count", "1", name), 0, "kept\n", "");
}
