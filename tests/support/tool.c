/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tool.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST = 8 };

const char *queue_name(void)
{
    static char names[MOST][TEST_NAME_SIZE];
    static int used;
    cr_assert(used < MOST);
    test_name(names[used]);
    return names[used++];
}

const char *directory_name(void)
{
    static char names[MOST][TEST_NAME_SIZE + 1];
    static int used;
    cr_assert(used < MOST);
    test_directory(names[used]);
    strcat(names[used], "/");
    return names[used++];
}

struct outcome tool_run(const char *input, const char *const argv[])
{
    int fd = input_of(input, strlen(input));
    struct program program = program_start(fd, -1, argv);
    close(fd);
    return program_finish(&program);
}

void reset_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}

bool stat_has(const char *name, const char *part)
{
    struct outcome outcome = TOOL("", "stat", "--json", name);
    cr_assert(outcome.status == 0, "stat %s: %s", name, outcome.err);
    bool found = strstr(outcome.out, part);
    outcome_free(&outcome);
    return found;
}

void await_stat(const char *name, const char *part)
{
    struct deadline deadline = {0};
    while (!stat_has(name, part))
        pause_until(&deadline, part);
}

void write_file(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n, "%s", path);
    close(fd);
}

const char *path_in(const char *directory, const char *file)
{
    static char paths[4][256];
    static unsigned used;
    char *path = paths[used++ % 4];
    snprintf(path, sizeof paths[0], "%s%s", directory, file);
    return path;
}

const char *as_file_queue(const char *path)
{
    static char names[4][256];
    static unsigned used;
    char *name = names[used++ % 4];
    snprintf(name, sizeof names[0], "file:%s", path);
    return name;
}
