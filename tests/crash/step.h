/* SPDX-License-Identifier: MIT */
/*
 * A child process that its parent runs instruction by instruction (ptrace). Knows nothing about
 * queues.
 */
#ifndef STEP_H
#define STEP_H

#include <stdbool.h>
#include <sys/types.h>

enum step {
    STEP_INSTRUCTION, /* one instruction, or one round of a string instruction */
    STEP_SYSTEM_CALL, /* one system call, whole */
    STEP_STOPPED,     /* it called step_stop() */
    STEP_ENDED,       /* it is gone, and was waited for */
    STEP_FAULT        /* a signal such as SIGSEGV is about to kill it */
};

/* Can and should processes be traced here? A container may forbid it; and under a sanitizer most
 * instructions are the sanitizer's. */
bool step_possible(void);
#define STEP_IMPOSSIBLE "processes may not be traced here (ptrace), or a sanitizer is in the way"

/* Fork a child that calls body(argument) and then exits. Returns when it has called step_stop(), or
 * 0 when it ended before. */
pid_t step_start(void (*body)(void *), void *argument);

/* In the child: wait for the parent. */
void step_stop(void);

/* In the child: a system call that does nothing, to be run to. */
void step_start_line(void);

/* One instruction, or a system call. */
enum step step_one(pid_t child);

/* As fast as it goes to behind its next system call. */
enum step step_past_system_call(pid_t child);

/* As fast as it goes to its next step_stop(). */
enum step step_run(pid_t child);

/*
 * Where its next instruction is, and running there as fast as it goes: an instruction that it will
 * come to before it stops or ends. Zero, and STEP_FAULT, where this is not known how to do.
 */
unsigned long step_where(pid_t child);
enum step step_run_to(pid_t child, unsigned long where);

/* Kill it where it is; when this returns the kernel has taken its mappings and locks away. */
void step_kill(pid_t child);

#endif
