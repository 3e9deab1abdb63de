/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tool.h"

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
