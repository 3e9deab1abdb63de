/* SPDX-License-Identifier: MIT */
/* shmring dump and gc: the messages that are left in queues, and the files that are left of
 * queues. */
#include <config.h>

#include <fcntl.h>
#include <shmring/shmring.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

TestSuite(tools_dump_gc, .timeout = 300);

static const char *const kinds[] = {"spsc", "mpmc"};

static const char *queue_of(const char *kind)
{
    const char *name = queue_name();
    DO("create", "--kind", kind, "--capacity", "4096", "--max-message", "100", name);
    return name;
}

/* A consumer that takes a message and is killed. */
static int take_and_die(void *name)
{
    const void *msg;
    shmring_t *q;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_peek(q, &msg, NULL) >= 0);
    raise(SIGKILL);
    return 1;
}

static void kill_a_consumer_of(const char *name)
{
    char copy[TEST_NAME_SIZE];
    strcpy(copy, name);
    cr_assert(test_run(take_and_die, copy) == -SIGKILL);
}

/* ---- dump ------------------------------------------------------------------------------------ */

/* The rows of a dump, without the position, which differs between the kinds. */
#define HELD_ROW    "  held by row %d             1  one\n"
#define WAITING_ROW "          3  waiting                   0  t\\x09o\n"

Test(tools_dump_gc, dump_shows_messages_and_leaves_them)
{
    for (int i = 0; i < 2; i++) {
        const char *name = queue_of(kinds[i]);
        EXPECT(TOOL("", "dump", name), 0, "", "");
        EXPECT(TOOL("", "dump", "--json", name), 0, "[]\n", "");
        EXPECT(TOOL("one\nt\to\n", "send", name), 0, "", "");
        kill_a_consumer_of(name);

        char held[64];
        snprintf(held, sizeof held, HELD_ROW, i == 0);
        for (int again = 0; again < 2; again++) {
            struct outcome outcome = TOOL("", "dump", name);
            cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
            cr_assert(strncmp(outcome.out, "    POSITION ", 13) == 0, "%s", outcome.out);
            cr_assert(strstr(outcome.out, held), "%s", outcome.out);
            cr_assert(strstr(outcome.out, WAITING_ROW), "%s", outcome.out);
            outcome_free(&outcome);
        }
        CHECK_JSON(TOOL("", "dump", "--json", name),
                   "{\"position\":0,\"length\":3,\"state\":\"held\",\"row\":",
                   ",\"deliveries\":1,\"text\":\"one\"}",
                   "\"state\":\"waiting\",\"row\":null,\"deliveries\":0,\"text\":\"t\\u0009o\"}");
        CHECK_JSON(TOOL("", "dump", "--json", "--hex", name), "\"hex\":\"6f6e65\"",
                   "\"hex\":\"74096f\"");
        struct outcome outcome = TOOL("", "dump", "--hex", name);
        cr_assert(strstr(outcome.out, "  6f6e65\n") && strstr(outcome.out, "  74096f\n"), "%s",
                  outcome.out);
        outcome_free(&outcome);
        EXPECT(TOOL("", "recv", "--no-wait", name), 0, i == 0 ? "one\nt\to\n" : "t\to\none\n", "");
    }
}

Test(tools_dump_gc, dump_of_a_nul_and_of_what_is_not_utf8)
{
    static const char message[] = "\3\0\0\0a\0\xff";
    const char *name = queue_of("mpmc");
    int input = input_of(message, sizeof message - 1);
    struct program sender = START(input, -1, "send", "--length-prefixed", name);
    close(input);
    EXPECT(program_finish(&sender), 0, "", "");
    struct outcome outcome = TOOL("", "dump", name);
    cr_assert(strstr(outcome.out, "  a\\x00\\xff\n"), "%s", outcome.out);
    outcome_free(&outcome);
    CHECK_JSON(TOOL("", "dump", "--json", name), "\"length\":3,", "\"text\":\"a\\u0000\\ufffd\"");
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 20];
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, bytes, sizeof bytes);
    cr_assert(fd >= 0 && n > 0 && n < (ssize_t)sizeof bytes, "%s", from);
    close(fd);
    write_file(to, bytes, (size_t)n);
}

Test(tools_dump_gc, dump_of_a_copied_file)
{
    const char *directory = directory_name();
    for (int i = 0; i < 2; i++) {
        const char *name = queue_of(kinds[i]), *copy = path_in(directory, kinds[i]);
        char path[160];
        EXPECT(TOOL("kept\n", "send", name), 0, "", "");
        snprintf(path, sizeof path, "/dev/shm/%s", name);
        copy_file(path, copy);
        DO("rm", name);
        CHECK_JSON(TOOL("", "dump", "--json", as_file_queue(copy)), "\"text\":\"kept\"");
    }
}

Test(tools_dump_gc, dump_of_a_damaged_queue_shows_what_is_good)
{
    static const char longer[] = "\377\377\377\177";
    const char *name = queue_of("spsc");
    char path[160];
    EXPECT(TOOL("one\ntwo\n", "send", name), 0, "", "");
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    long page = sysconf(_SC_PAGESIZE);
    /* The length of the second message. */
    cr_assert(fd >= 0 && pwrite(fd, longer, 4, 4 * page + 8 + 4) == 4);
    close(fd);
    struct outcome outcome = TOOL("", "dump", "--json", name);
    cr_assert(outcome.status == 1 && strstr(outcome.err, "cannot go on: corrupt: "), "%s",
              outcome.err);
    cr_assert(json_is_valid(outcome.out) && strstr(outcome.out, "\"one\""), "%s", outcome.out);
    outcome_free(&outcome);
}

/* ---- gc -------------------------------------------------------------------------------------- */

static bool exists(const char *name)
{
    struct outcome outcome = TOOL("", "stat", name);
    bool found = outcome.status == 0;
    outcome_free(&outcome);
    return found;
}

/* Run gc: it must print this about the queue, and the queue must exist afterwards, or not. */
#define GC(Name, Says, Exists, ...)                                                                \
    do {                                                                                           \
        char line_[256];                                                                           \
        snprintf(line_, sizeof line_, "%s: %s\n", (Name), (Says));                                 \
        EXPECT(TOOL("", "gc", __VA_ARGS__), 0, line_, "");                                         \
        cr_assert(exists(Name) == (Exists));                                                       \
    } while (0)

Test(tools_dump_gc, gc_removes_what_is_empty_and_unused)
{
    for (int i = 0; i < 2; i++) {
        const char *name = queue_of(kinds[i]);
        struct program reader = START(-1, -1, "recv", name);
        await_stat(name, "\"role\":\"consumer\"");
        GC(name, "kept: 1 attached", true, name);
        GC(name, "kept: 1 attached", true, "--all", name);
        KILL(&reader);
        GC(name, "would be removed: no process is attached, 0 messages are in it", true,
           "--dry-run", name);
        GC(name, "removed: no process is attached, 0 messages were in it", false, name);
        EXPECT(TOOL("", "gc", name), 1, "", "cannot open: ");
    }
}

/* A row says FREE and is locked: a process has locked it and not written it yet. */
Test(tools_dump_gc, gc_keeps_what_a_process_attaches_to)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2 * 4096, .l_len = 2};
    char path[TEST_NAME_SIZE + 16], kept[TEST_NAME_SIZE + 64];
    const char *name = queue_of("spsc");

    snprintf(path, sizeof path, "/dev/shm/%s", name);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
    snprintf(kept, sizeof kept,
             "%s: kept: another process attaches to it just now, or removes it\n", name);
    EXPECT(TOOL("", "gc", name), 0, kept, "");
    cr_assert_eq(access(path, F_OK), 0);
    close(fd);

    /* Another gc has locked the file. */
    const int other = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(other >= 0 && flock(other, LOCK_EX | LOCK_NB) == 0);
    EXPECT(TOOL("", "gc", name), 0, kept, "");
    close(other);
    EXPECT(TOOL("", "gc", name), 0, NULL, "");
    cr_assert(access(path, F_OK) < 0);
}

Test(tools_dump_gc, gc_keeps_messages_also_those_in_dead_hands)
{
    for (int i = 0; i < 2; i++) {
        const char *name = queue_of(kinds[i]);
        EXPECT(TOOL("one\n", "send", name), 0, "", "");
        kill_a_consumer_of(name);
        GC(name, "kept: 1 message is in it (--all removes it)", true, name);
        GC(name, "would be removed: no process is attached, 1 message is in it", true, "--all",
           "--dry-run", name);
        GC(name, "removed: no process is attached, 1 message was in it", false, "--all", name);
    }
}

Test(tools_dump_gc, gc_of_a_directory_keeps_what_it_cannot_read)
{
    const char *directory = directory_name();
    const char *damaged = path_in(directory, "damaged"), *empty = path_in(directory, "empty"),
               *letter = path_in(directory, "letter");
    DO("create", as_file_queue(damaged));
    DO("create", as_file_queue(empty));
    write_file(letter, "Dear Sir or Madam", 17);
    int fd = open(damaged, O_WRONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && pwrite(fd, "\1", 1, 60) == 1);
    close(fd);

    struct outcome outcome = TOOL("", "gc", "--all", directory);
    cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
    cr_assert(strstr(outcome.out, "damaged: kept: damaged: "), "%s", outcome.out);
    cr_assert(strstr(outcome.out, "empty: removed: "), "%s", outcome.out);
    cr_assert(!strstr(outcome.out, "letter"), "%s", outcome.out);
    outcome_free(&outcome);
    cr_assert(access(damaged, F_OK) == 0 && access(letter, F_OK) == 0);
    cr_assert(access(empty, F_OK) < 0);
}

/* Wait in poll() for a queue that has no name any more. */
static int poll_what_was_removed(void *name)
{
    shmring_t *q;
    child_assert(shmring_open(&q, name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_fd(q, SHMRING_READABLE) >= 0);
    child_assert(shmring_unlink(name) == 0);
    pause();
    return 1;
}

Test(tools_dump_gc, gc_removes_notifiers_that_no_process_has_open)
{
    char directory[64], queue[128];
    snprintf(directory, sizeof directory, "%s", directory_name());
    snprintf(queue, sizeof queue, "file:%squeue", directory);
    DO("create", queue);
    pid_t pid = test_fork(poll_what_was_removed, queue);
    while (access(queue + strlen("file:"), F_OK) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);

    EXPECT(TOOL("", "ls", directory), 0, "", "");
    EXPECT(TOOL("", "gc", directory), 0, "", "");
    cr_assert(test_count_files(directory) == 1);
    test_kill(pid);
    for (int dry_run = 1; dry_run >= 0; dry_run--) {
        struct outcome outcome =
            dry_run ? TOOL("", "gc", "--dry-run", directory) : TOOL("", "gc", directory);
        cr_assert(outcome.status == 0 && *outcome.err == '\0', "%s", outcome.err);
        cr_assert(strncmp(outcome.out, ".shmring-notifier-", 18) == 0, "%s", outcome.out);
        cr_assert(strstr(outcome.out, dry_run ? ": would be removed: a notifier that no process has"
                                              : ": removed: a notifier that no process has"),
                  "%s", outcome.out);
        outcome_free(&outcome);
        cr_assert(test_count_files(directory) == dry_run);
    }
    EXPECT(TOOL("", "gc", directory), 0, "", "");
}

Test(tools_dump_gc, gc_searches_dev_shm)
{
    const char *name = queue_of("spsc");
    char line[256];
    snprintf(line, sizeof line, "%s: would be removed: ", name);
    /* The queues of other programs are there, too. */
    struct outcome outcome = TOOL("", "gc", "--dry-run");
    cr_assert(strstr(outcome.out, line), "%s", outcome.out);
    outcome_free(&outcome);
    cr_assert(exists(name));
}
