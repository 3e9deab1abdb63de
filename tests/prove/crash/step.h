/* SPDX-License-Identifier: MIT */
/*
 * A child process that its parent runs instruction by instruction (ptrace). This file knows nothing
 * about queues.
 */
#ifndef STEP_H
#define STEP_H

#include <stdbool.h>
#include <sys/types.h>

enum step {
    STEP_INSTRUCTION, /* one instruction, or one round of a string instruction */
    STEP_SYSTEM_CALL, /* one system call, whole */
    STEP_STOPPED,     /* it called step_stop() */
    STEP_ENDED,       /* it has ended, and was waited for */
    STEP_FAULT        /* a signal such as SIGSEGV is about to kill it */
};

/* Can and should processes be traced here? A container may forbid it, and in a build with a
 * sanitizer most instructions are the sanitizer's. */
bool step_possible(void);
#define STEP_IMPOSSIBLE "processes may not be traced here (ptrace), or a sanitizer is in the way"

/* Fork a child that calls body(argument) and then exits. Returns when it has called step_stop(), or
 * 0 when it ended before. */
pid_t step_start(void (*body)(void *), void *argument);

/* In the child: stop until the parent lets it go on. */
void step_stop(void);

/* In the child: make a system call that does nothing, to which the parent can run the child. */
void step_start_line(void);

/* Run the child for one instruction, or one system call. */
enum step step_one(pid_t child);

/* Run the child at full speed to behind its next system call. */
enum step step_past_system_call(pid_t child);

/* Run the child at full speed to its next step_stop(). */
enum step step_run(pid_t child);

/*
 * step_where() returns the address of the child's next instruction. step_run_to() runs the child
 * there at full speed; the child must reach that instruction before it stops or ends. On an
 * architecture without support they return 0 and STEP_FAULT.
 */
unsigned long step_where(pid_t child);
enum step step_run_to(pid_t child, unsigned long where);

/* Kill the child where it is. When this returns, the kernel has removed its mappings and locks. */
void step_kill(pid_t child);

#endif
