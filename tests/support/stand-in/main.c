/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

/* ThreadSanitizer makes the code that much slower. */
#define STAND_IN_SLOWDOWN 10

enum outcome { PASSED, FAILED, CRASHED, SKIPPED, OUTCOMES };
enum { EXIT_FAILED = 101, EXIT_SKIPPED = 102 };

static struct stand_in_test *tests;
static struct stand_in_test **last = &tests;

void stand_in_register(struct stand_in_test *test)
{
    *last = test;
    last = &test->next;
}

void stand_in_fail(const char *file, int line, const char *what, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "[----] %s:%d: Assertion failed: %s:", file, line, what);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(EXIT_FAILED);
}

void stand_in_skip(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "[SKIP]");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(EXIT_SKIPPED);
}

static enum outcome run(const struct stand_in_test *test)
{
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return CRASHED;
    if (pid == 0) {
        if (test->options.timeout > 0)
            alarm((unsigned)(test->options.timeout * STAND_IN_SLOWDOWN) + 1);
        if (test->options.init)
            test->options.init();
        test->body();
        if (test->options.fini)
            test->options.fini();
        exit(0); /* not _exit(): ThreadSanitizer reports its findings in the exit code */
    }
    if (waitpid(pid, &status, 0) != pid)
        return CRASHED;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == test->options.signal ? PASSED : CRASHED;
    if (WEXITSTATUS(status) == EXIT_SKIPPED)
        return SKIPPED;
    return WEXITSTATUS(status) == test->options.exit_code && !test->options.signal ? PASSED
                                                                                   : FAILED;
}

int main(void)
{
    static const char *const words[OUTCOMES] = {"PASS", "FAIL", "CRASH", "SKIP"};
    unsigned count[OUTCOMES] = {0};

    for (const struct stand_in_test *test = tests; test; test = test->next) {
        enum outcome outcome = run(test);

        count[outcome]++;
        printf("[%s] %s::%s\n", words[outcome], test->suite, test->name);
        fflush(stdout);
    }
    printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
           count[PASSED] + count[FAILED] + count[CRASHED], count[PASSED], count[FAILED],
           count[CRASHED]);
    return count[FAILED] || count[CRASHED];
}
