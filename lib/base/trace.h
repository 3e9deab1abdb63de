/* SPDX-License-Identifier: MIT */
/*
 * Static tracepoints, for those who watch a program from outside with bpftrace, perf or gdb: each
 * is one nop, and a note in the library that says where its arguments are. doc/tracing.md lists
 * them.
 * Only where a call is slow anyway: getting the arguments ready may cost an instruction or two,
 * and bpftrace takes six at most.
 */
#ifndef SHMR_TRACE_H
#define SHMR_TRACE_H

#include <config.h>

#ifdef HAVE_TRACEPOINTS
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define SHMR_TRACE_NAMED(probe, q, name, ...)                                                      \
    STAP_PROBEV(shmring, probe, (const void *)(q), (const char *)(name), __VA_ARGS__)
#else
#define SHMR_TRACE_NAMED(probe, q, name, ...) (void)0
#endif

/* The handle's queue is named as its creator did, so that it has one name in all processes. */
#define SHMR_TRACE(probe, q, ...) SHMR_TRACE_NAMED(probe, q, (q)->header.name, __VA_ARGS__)

#endif
