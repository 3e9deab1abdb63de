/* SPDX-License-Identifier: MIT */
/*
 * Static tracepoints for bpftrace, perf or gdb: each is one nop, and a note in the library that
 * says where its arguments are. doc/tracing.md lists them. Put them only where a call is slow
 * anyway, because preparing the arguments may cost an instruction or two. bpftrace takes at most
 * six arguments.
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

/* Names the handle's queue by the name that its creator gave, so that it is the same in all
 * processes. */
#define SHMR_TRACE(probe, q, ...) SHMR_TRACE_NAMED(probe, q, (q)->header.name, __VA_ARGS__)

#endif
