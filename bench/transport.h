/* SPDX-License-Identifier: MIT */
/*
 * What shmring-bench knows about a way to pass messages.
 *
 * A transport connects two processes, the ends, in both directions. It has a file of its own in
 * transports/ and one constant struct transport that is listed in transport.c. The life of a link:
 *
 * parent open() makes it, before the fork
 *   both children     attach()  finishes it, after the fork
 *                     send(), recv()
 *   parent            close()   removes what would outlive the processes
 *
 * If the transport is IN_ONE_PROCESS, one child is forked, whose threads are the ends, each with a
 * copy of the link.
 *
 * Every transport keeps the same promises, so that the figures compare:
 *   - the sender writes every byte of every message (payload_fill()), the receiver reads and checks
 *     every byte (link_check()): in place where the transport lends its memory, else in l->buffer;
 *   - one message is one operation of the transport, unless its name ends in -batch;
 *   - with l->block it sleeps in the kernel, without it calls again until it succeeds.
 */
#ifndef BENCH_TRANSPORT_H
#define BENCH_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload.h"

#ifdef __cplusplus
extern "C" {
#endif

enum side { SIDE_A = 0, SIDE_B = 1 }; /* A sends first, or only A sends */

/* The processes of a measurement: a pair, or many on one queue. Idle members attach, and sleep. */
enum { CREW_MAX = 72, MANY_SIDE_MAX = 32, SUBSCRIBERS_MAX = 64, CONSUMERS_MAX = 16 };
struct crew {
    int producers, consumers, idle;
};

enum {
    CAN_SPIN = 0x1,
    CAN_BLOCK = 0x2,
    IS_LOSSY = 0x4,         /* messages may be lost; they are counted */
    IS_SIGNAL = 0x8,        /* carries no payload: measured once, at size 0 */
    IS_BATCH = 0x10,        /* takes l->batch messages a call: measured for throughput only */
    ONLY_ROUND_TRIP = 0x20, /* has no room for a second message */
    IS_MANY = 0x40,         /* for many producers and consumers: has try_send and try_recv */
    CAN_BE_ALONE = 0x80,    /* one process can be both ends: has try_send and try_recv */
    HAS_CAPACITY = 0x100,   /* holds as many messages as link_slots() says */
    IN_ONE_PROCESS = 0x200, /* cannot be in shared memory: its ends are threads of one process */
    IS_LOCK_FREE = 0x400,   /* a process that stops, at any instruction, does not stop the others */
    IS_UNORDERED = 0x800,   /* among many, a message may come after a later one of its producer */
    IS_INEXACT = 0x1000,    /* among many, a message may come twice and another one never */
    IS_BROADCAST = 0x2000   /* one producer, and each consumer gets every message */
};

enum { BATCH_MAX = 256 }; /* messages a call */

struct link {
    /* set before open() */
    const struct transport *transport;
    size_t size;     /* bytes a message */
    size_t capacity; /* bytes a ring should hold, for transports that choose: see link_slots() */
    size_t messages; /* or, if not 0, messages; a power of two */
    int batch;       /* messages a call: 1 unless the transport IS_BATCH */
    bool block;
    struct crew crew;      /* 0, 0: two processes, the ends */
    bool alone;            /* side A is both ends of the queue it sends into */
    unsigned char *buffer; /* room for batch messages and a long, aligned to 64 */
    /* set by open(); descriptors start as -1, state as NULL */
    struct {
        int in, out;
    } end[2];
    void *state;
    /* set after the fork */
    int member;     /* of the crew, producers first */
    int subscriber; /* IS_BROADCAST: 0, 1, … of the consumers and idle members; else -1 */
    enum side side; /* its end, or the CPU it is pinned to: every second member's */
    int in, out;    /* end[side], for transports made of descriptors */
    uint64_t lost;
    /* why the last call failed */
    bool skip; /* not available here: no failure of the run */
    char error[200];
};

struct transport {
    const char *name;
    const char *group;
    const char *what;
    unsigned flags;
    /* 0, or -1 after link_fail() or link_skip(), and then close() follows too; attach may be NULL
     */
    int (*open)(struct link *l);
    int (*attach)(struct link *l);
    /* Send the messages seq .. seq + n - 1. Returns n, or -1 after link_fail(). */
    long (*send)(struct link *l, uint64_t seq, long n);
    /*
     * Receive at most n messages, the next one being seq. Returns by how many the sequence
     * advanced; -1 after link_fail(). A transport that is not lossy returns n. A lossy one may
     * return less, 0 after LOSSY_TIMEOUT_MS of silence, and more than n when messages before the
     * last were lost.
     */
    long (*recv)(struct link *l, uint64_t seq, long n);
    /*
     * IS_MANY or CAN_BE_ALONE: send at most n of the messages that lie one after the other; receive
     * at most n messages, one after the other. Both return at once: how many it was, 0 when there
     * is no room or no message, or -1 after link_fail(). n is at most l->batch. Who made and who
     * checks the messages is the caller. With l->block they sleep before they return 0, for NAP_MS.
     */
    long (*try_send)(struct link *l, void *messages, long n);
    long (*try_recv)(struct link *l, void *messages, long n);
    /*
     * IS_BROADCAST: these have try_send and try_recv only, for one message of one producer. When
     * try_send returns 0, some subscribers may have the message already: the caller sends the same
     * one again. The number of messages that this subscriber has missed, as the transport says; 0,
     * or -1 after link_fail(). NULL where a transport does not know.
     */
    int (*missed)(struct link *l, uint64_t *missed);
    void (*close)(struct link *l);
};

enum { LOSSY_TIMEOUT_MS = 100, NAP_MS = 10 };

/* All transports, in the order of the table, ended by NULL. */
extern const struct transport *const transports[];

/* Peers that were not installed when this was built, and the Debian packages that have them; ended
 * by NULL. */
struct absent {
    const char *names, *packages;
};
extern const struct absent absent_transports[];

/* Does pattern (a glob, a group or "all") name t? */
bool transport_matches(const struct transport *t, const char *pattern);

/* The number of messages that a ring should hold which needs `bytes` bytes for one: a power of
 * two. */
size_t link_slots(const struct link *l, size_t bytes);

/* Note why a call failed. Both return -1. */
int link_fail(struct link *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
int link_skip(struct link *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The call CALL failed with errno: a skip when the kernel does not have it, does not allow it or
 * runs out of it, and a failure otherwise. Returns -1. */
int link_errno(struct link *l, const char *call);

/* Report a message with a wrong length, or with another content than message seq. Returns -1. */
int link_bad_length(struct link *l, uint64_t seq, long length);
int link_bad_payload(struct link *l, uint64_t seq, const void *payload);

/* Is payload message seq? */
static inline bool link_check(struct link *l, const void *payload, uint64_t seq)
{
    if (__builtin_expect(payload_check(payload, l->size, seq) == 0, 1))
        return true;
    link_bad_payload(l, seq, payload);
    return false;
}

#ifdef __cplusplus
}
#endif

#endif
