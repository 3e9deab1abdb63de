/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "program.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

void pause_until(struct deadline *deadline, const char *what)
{
    if (deadline->ns == 0)
        deadline->ns = now_ns() + PROGRAM_DEADLINE_S * 1000000000LL;
    cr_assert(now_ns() < deadline->ns, "waited %d s for %s", PROGRAM_DEADLINE_S, what);
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static int memory_file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    cr_assert(fd >= 0, "memfd_create: %s", strerror(errno));
    return fd;
}

int input_of(const void *bytes, size_t n)
{
    int fd = memory_file();
    cr_assert(write(fd, bytes, n) == (ssize_t)n);
    cr_assert(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

struct program program_start(int input, int output, const char *const argv[])
{
    struct program program = {.out = output < 0 ? memory_file() : -1, .err = memory_file()};
    const char *builddir = getenv("builddir");
    char path[4096];
    pid_t parent = getpid();

    snprintf(path, sizeof path, "%s/%s", *argv[0] == '/' ? "" : builddir ? builddir : ".", argv[0]);
    program.pid = fork();
    cr_assert(program.pid >= 0, "fork: %s", strerror(errno));
    if (program.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        /* If SIGPIPE is ignored, the shell complains about pipelines whose reader ends. */
        signal(SIGPIPE, SIG_DFL);
        if (input < 0)
            input = open("/dev/null", O_RDONLY);
        dup2(input, STDIN_FILENO);
        dup2(output < 0 ? program.out : output, STDOUT_FILENO);
        dup2(program.err, STDERR_FILENO);
        execv(path, (char *const *)(uintptr_t)argv);
        dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
        _exit(127);
    }
    return program;
}

static char *contents(int fd, size_t *length)
{
    struct stat st = {0};
    if (fd >= 0)
        cr_assert(fstat(fd, &st) == 0);
    char *text = malloc((size_t)st.st_size + 1);
    cr_assert(text);
    ssize_t n = fd >= 0 ? pread(fd, text, (size_t)st.st_size, 0) : 0;
    cr_assert(n >= 0);
    text[n] = '\0';
    *length = (size_t)n;
    return text;
}

char *program_output(const struct program *program)
{
    size_t length;
    return contents(program->out, &length);
}

void program_await_output(const struct program *program, const char *text)
{
    struct deadline deadline = {0};
    for (;;) {
        char *out = program_output(program);
        bool found = strstr(out, text);
        free(out);
        if (found)
            return;
        pause_until(&deadline, text);
    }
}

bool program_runs(const struct program *program)
{
    siginfo_t info = {0};
    cr_assert(waitid(P_PID, (id_t)program->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
    return info.si_pid == 0;
}

struct outcome program_finish(struct program *program)
{
    struct deadline deadline = {0};
    while (program_runs(program))
        pause_until(&deadline, "a program to end");

    struct outcome outcome;
    int status;
    size_t err_length;
    cr_assert(waitpid(program->pid, &status, 0) == program->pid);
    outcome.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    outcome.out = contents(program->out, &outcome.out_length);
    outcome.err = contents(program->err, &err_length);
    if (program->out >= 0)
        close(program->out);
    close(program->err);
    return outcome;
}

void outcome_free(struct outcome *outcome)
{
    free(outcome->out);
    free(outcome->err);
}
