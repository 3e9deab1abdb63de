/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "step.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __has_feature
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ ||                                 \
    HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

enum { EXIT_UNTRACEABLE = 99 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int wait_for(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
    return status;
}

/* Let the stopped child go on, and return its next stop. */
static int go(pid_t child, enum __ptrace_request request)
{
    if (ptrace(request, child, NULL, NULL) < 0)
        die("ptrace");
    return wait_for(child);
}

static enum step meaning(int status)
{
    if (!WIFSTOPPED(status))
        return STEP_ENDED;
    switch (WSTOPSIG(status)) {
    case SIGTRAP:
        return STEP_INSTRUCTION;
    case SIGTRAP | 0x80: /* PTRACE_O_TRACESYSGOOD */
        return STEP_SYSTEM_CALL;
    case SIGSTOP:
        return STEP_STOPPED;
    default:
        return STEP_FAULT;
    }
}

static void nothing(void *unused)
{
    (void)unused;
}

bool step_possible(void)
{
    pid_t child;

    if (sanitized)
        return false;
    child = fork();
    if (child < 0)
        die("fork");
    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? EXIT_UNTRACEABLE : 0);
    return WEXITSTATUS(wait_for(child)) != EXIT_UNTRACEABLE && step_start(nothing, NULL) == 0;
}

pid_t step_start(void (*body)(void *), void *argument)
{
    pid_t parent = getpid(), child = fork();

    if (child < 0)
        die("fork");
    if (child == 0) {
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGCHLD); /* else the end of a child of its own would stop it */
        sigprocmask(SIG_BLOCK, &signals, NULL);
        /* If a test driver kills the parent, no stopped process must stay behind. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
            ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(EXIT_UNTRACEABLE);
        body(argument);
        _exit(0);
    }
    switch (meaning(wait_for(child))) {
    case STEP_STOPPED:
        break;
    case STEP_ENDED:
        return 0;
    default:
        fprintf(stderr, "the child crashed before it was ready\n");
        exit(1);
    }
    if (ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
        die("ptrace(PTRACE_SETOPTIONS)");
    return child;
}

void step_stop(void)
{
    raise(SIGSTOP);
}

void step_start_line(void)
{
    (void)getppid();
}

enum step step_one(pid_t child)
{
    enum step step = meaning(go(child, PTRACE_SINGLESTEP));
    siginfo_t info;

    /* The kernel, not the processor, makes the trap behind a system call. */
    if (step == STEP_INSTRUCTION && ptrace(PTRACE_GETSIGINFO, child, NULL, &info) == 0 &&
        info.si_code != TRAP_TRACE)
        return STEP_SYSTEM_CALL;
    return step;
}

enum step step_past_system_call(pid_t child)
{
    enum step step = meaning(go(child, PTRACE_SYSCALL)); /* before it */

    return step == STEP_SYSTEM_CALL ? meaning(go(child, PTRACE_SYSCALL)) : step;
}

enum step step_run(pid_t child)
{
    return meaning(go(child, PTRACE_CONT));
}

#if defined __x86_64__

#define COUNTER ((void *)offsetof(struct user, regs.rip))

unsigned long step_where(pid_t child)
{
    return (unsigned long)ptrace(PTRACE_PEEKUSER, child, COUNTER, NULL);
}

/* By a breakpoint; the child's text is its own copy. */
enum step step_run_to(pid_t child, unsigned long where)
{
    errno = 0;
    long code = ptrace(PTRACE_PEEKTEXT, child, (void *)where, NULL);

    if (errno || ptrace(PTRACE_POKETEXT, child, (void *)where, (void *)((code & ~0xffL) | 0xcc)))
        return STEP_FAULT;
    enum step step = step_run(child);
    if (step == STEP_ENDED)
        return step;
    if (ptrace(PTRACE_POKETEXT, child, (void *)where, (void *)code) < 0)
        die("ptrace(PTRACE_POKETEXT)");
    if (step == STEP_INSTRUCTION && ptrace(PTRACE_POKEUSER, child, COUNTER, (void *)where) < 0)
        die("ptrace(PTRACE_POKEUSER)");
    return step;
}

#else

unsigned long step_where(pid_t child)
{
    (void)child;
    return 0;
}

enum step step_run_to(pid_t child, unsigned long where)
{
    (void)child;
    (void)where;
    return STEP_FAULT;
}

#endif

void step_kill(pid_t child)
{
    if (kill(child, SIGKILL) < 0) {
        if (errno == ESRCH) /* it was killed before, and a step has seen that */
            return;
        die("kill");
    }
    while (WIFSTOPPED(wait_for(child)))
        ;
}
