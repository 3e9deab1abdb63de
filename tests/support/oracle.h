/* SPDX-License-Identifier: MIT */
/*
 * The judge of numbered messages: which may come, in which order, how often, and flagged as
 * redelivered or not.
 *
 * Each sender, together with its successors, is a stream and counts its messages from 0. A message
 * begins with its name, which is its stream and its number; the bytes after it follow from the
 * name. A sender notes the numbers that it is about to send, and after the call those that it has
 * sent. Of a killed sender the numbers between the two may come or not, all others before them
 * must.
 *
 * There are two sorts of receivers. One that gets EVERY message, as the only consumer of a queue or
 * one of many to which a queue broadcasts, gets them in order and without a gap. Where the queue
 * itself says that it has missed n, n may be missing. Receivers that compete for the messages get
 * those of a stream in order, with gaps; together they get all. Messages that come again, flagged,
 * have no place in the order of those.
 *
 * No function fails or prints: each returns a verdict, so that tests, their threads and children,
 * and processes under a stepper can all use them. The notes are in memory that these processes
 * share, and true after a death at any instruction.
 */
#ifndef TEST_ORACLE_H
#define TEST_ORACLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ORACLE_STREAMS = 8 };

enum oracle_verdict {
    ORACLE_RIGHT,
    ORACLE_TORN,       /* these bytes are no message */
    ORACLE_NOWHERE,    /* nobody has begun to send it */
    ORACLE_TWICE,      /* it came before, and is not flagged */
    ORACLE_EARLY,      /* a message sent before it comes later, or not at all */
    ORACLE_LATE,       /* a message sent after it has come before */
    ORACLE_FLAGGED,    /* it is flagged, and nobody who died can have had it */
    ORACLE_LOST,       /* it was sent and never came */
    ORACLE_MISCOUNTED, /* the queue has told of more missed messages than are missing */
};

/* The verdict in words. */
const char *oracle_says(enum oracle_verdict verdict);

/* In a child or a thread, with support.h: end unless the verdict is ORACLE_RIGHT, and say why. */
#define child_judge(Verdict)                                                                       \
    do {                                                                                           \
        const enum oracle_verdict verdict_ = (Verdict);                                            \
        if (verdict_ != ORACLE_RIGHT)                                                              \
            test_child_failed(__FILE__, __LINE__, oracle_says(verdict_));                          \
    } while (0)

/* ---- Messages -------------------------------------------------------------------------------- */

static inline uint64_t oracle_name(uint32_t stream, uint64_t number)
{
    return (uint64_t)stream << 56 | number;
}

static inline uint32_t oracle_stream(uint64_t name)
{
    return (uint32_t)(name >> 56);
}

static inline uint64_t oracle_number(uint64_t name)
{
    return name & (UINT64_MAX >> 8);
}

/* A length from 8 to LONGEST for that message; short ones are more likely. */
uint32_t oracle_length(uint64_t name, uint32_t longest);

/* The first LENGTH bytes of that message, at least 8. */
void oracle_write(uint64_t name, void *to, size_t length);

/* Which message is this? LONGEST: its length must be the one of oracle_length(); 0: any. */
enum oracle_verdict oracle_read(uint64_t *name, const void *bytes, size_t length, uint32_t longest);

/* ---- Notes ----------------------------------------------------------------------------------- */

/* How far a process has got: certainly to `done`, at most to `begun`. */
struct oracle_span {
    _Atomic uint64_t done, begun;
};

/* It is about to go as far as END; it has; the call has returned, and it is exactly there. */
void oracle_begin(struct oracle_span *s, uint64_t end);
void oracle_reach(struct oracle_span *s, uint64_t end);
void oracle_settle(struct oracle_span *s, uint64_t end);

/* A successor finds that the queue has got to END: not before `done`, not after `begun`. */
enum oracle_verdict oracle_resume(struct oracle_span *s, uint64_t end);

struct oracle {
    uint32_t streams;
    uint64_t numbers; /* the room for marks of each stream's messages; 0: none are kept */
    bool noted;       /* receivers have each message judged before they can die with it */
    _Atomic bool deaths;
    uint8_t later[ORACLE_STREAMS]; /* a bit for each stream whose messages were all sent later */
    struct oracle_span sent[ORACLE_STREAMS];
    _Atomic uint8_t marks[];
};

/* In memory that is shared with children, until oracle_free(). Receivers that compete need marks.
 */
struct oracle *oracle_new(uint32_t streams, uint64_t numbers);
void oracle_free(struct oracle *o);

/* A killed sender: what it had begun may come or not. Its successor goes on after that. */
void oracle_sender_died(struct oracle *o, uint32_t stream);

/* Said before a receiver can die with a message: from now on some may come again. */
void oracle_receiver_may_die(struct oracle *o);

/* ---- Receivers ------------------------------------------------------------------------------- */

struct oracle_reader {
    bool every;                    /* it gets every message of every stream */
    uint64_t next[ORACLE_STREAMS]; /* no unflagged message before this one may come */
    uint64_t missed;               /* every: so many may be missing */
    uint64_t must_flag, may_flag;  /* numbers below must, and may, be flagged */
};

/* A new receiver; its numbers that may be flagged are all. */
struct oracle_reader oracle_reader(bool every);

/* The message has come. */
enum oracle_verdict oracle_receive(struct oracle *o, struct oracle_reader *r, uint64_t name,
                                   bool flagged);

/* The queue says that this receiver has missed n more messages. */
void oracle_missed(struct oracle_reader *r, uint64_t n);

/* There are no more messages: this receiver, which gets every message, got all that was not told
 * as missed. */
enum oracle_verdict oracle_end(struct oracle *o, const struct oracle_reader *r);

/* ... those that compete got all. LOST: a message that none got. Returns in CAME how many they
 * got. */
enum oracle_verdict oracle_end_all(struct oracle *o, uint64_t *lost, uint64_t *came);

#endif
