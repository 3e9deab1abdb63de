/* SPDX-License-Identifier: MIT */
/*
 * The kinds of queues: all that the rest of the library knows of a kind. A kind is a folder,
 * lib/spsc, lib/mpmc or lib/broadcast, with one table of the cold operations, its struct shmr_kind,
 * in kind.c. The operations that every message takes are not in the table: api/send.c and
 * api/receive.c expand SHMR_KINDS into a switch over enum shmr_kind_number, and call the functions
 * that each kind has in hot.h.
 *
 * A new kind is one more line in SHMR_KINDS (kinds.h), its number in shmring.h, its state in the
 * union of struct shmring (core/handle.h), and its folder. A kind does not compile if its hot.h
 * lacks a function, or its kind.c one that every kind has (SHMR_KIND_OPERATIONS). No other file
 * compares kinds: where they differ, the table says how.
 *
 * Only the declarations are here, so that every folder may include this file.
 */
#ifndef SHMR_KIND_H
#define SHMR_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shmring/shmring.h>

#include "core/layout.h"
#include "kinds.h"

#define SHMR_KIND_NUMBER(KIND, kind) SHMR_##KIND = SHMRING_##KIND,
enum shmr_kind_number { SHMR_KINDS(SHMR_KIND_NUMBER) };
#undef SHMR_KIND_NUMBER

/* What a recovery has done with what a dead participant held. */
struct shmr_recovered {
    uint64_t freed;       /* places that held no message */
    uint64_t redelivered; /* messages published again */
    uint64_t dropped;     /* messages given up: at most once */
    uint64_t left;        /* messages that the dead participant still owns */
};

/* A call of shmring_dump(). The kind copies each message into `copy`, checks that the queue still
 * has it, and calls `each`. */
struct shmr_dump {
    const shmring_t *q;
    uint8_t *copy; /* max_message bytes */
    int (*each)(void *arg, const struct shmring_message *m);
    void *arg;
};

/*
 * The table of a kind. First what it is, then its functions. A function that is not called optional
 * here is in SHMR_KIND_OPERATIONS below. Functions that return int return 0 or -errno with the
 * detail set, unless their comment says otherwise.
 */
struct shmr_kind {
    const char *name; /* "spsc" */
    enum shmr_kind_number number;
    const char *unit; /* of the capacity */
    /* Rows of the participant table; 0: the queue's creator chooses (max_participants), and there
     * are first_row more. */
    uint32_t rows;
    /* The first row that SHMR_ANY_ROW (core/claim.h) may take. */
    uint32_t first_row;
    /* The roles that write to each section; `twice`: the data are mapped twice in a row. */
    struct shmr_writers {
        unsigned producer, consumer, data;
        bool twice;
    } writers;
    /* Publishing a message is a full fence as well (SHMR_RMW_IS_FENCE): see wait/waitword.h. */
    bool publish_is_fence;
    /* Each message is for all consumers: a notification wakes all sleepers. */
    bool wake_all;
    /* Those of SHMR_CONSUMER_OPTIONS (core/attach.h) that the kind knows. */
    unsigned options;
    /* A consumer may attach with permission to read only: then q->read_only is set, claim_row is
     * not called, and nothing of the segment is mapped for writing. */
    bool may_only_read;
    /* The detail when shmring_release() gets a message that it does not accept. */
    const char *not_held;

    /* ---- The segment ---- */

    /* Check capacity, max_message, max_participants and flags, and note them in the geometry. */
    int (*configure)(struct shmr_geometry *g, const struct shmring_config *config);
    /* Returns the bytes of the data section, not rounded up to pages; notes its offsets in g. */
    uint64_t (*sections)(struct shmr_geometry *g);

    /* ---- Attaching ---- */

    /* Lock the rows of q->roles through the description fd: core/claim.h. */
    int (*claim_row)(shmring_t *q, int fd);
    /* Become a participant in those rows, and make good what a dead predecessor left there. */
    int (*join)(shmring_t *q);
    /* The handle closes: free its rows. If it cannot recover all that it held, its row stays as
     * that of a dead participant. */
    void (*leave)(shmring_t *q);
    /* Optional. Free what the handle has allocated for its kind. */
    void (*free)(shmring_t *q);

    /* ---- Waiting ---- */

    /* Which of the events are there now. thorough: the caller is about to sleep; else it polls
     * between two pauses. A corrupt queue counts as ready, so that the next send or receive returns
     * -EBADMSG. */
    unsigned (*ready)(shmring_t *q, unsigned events, bool thorough);
    /* Optional: only where several participants may sleep at one event. This handle was woken, and
     * the events are there: wake another sleeper if there is more than this handle takes. */
    void (*pass_on)(shmring_t *q, unsigned events);
    /* Optional. If this handle waits for room, do something about those that hold it up: it is
     * called in the first -EAGAIN in a row, then in every 16th, and before each sleep.
     * Signal-safe. */
    void (*unblock)(shmring_t *q);
    /* Optional. The longest sleep before the next call of unblock, in ns. */
    int64_t (*sleep_most)(const shmring_t *q, unsigned events);
    /* The owner of the row has the role. Returns false if that owner is this handle itself. */
    bool (*is_peer)(const shmring_t *q, uint32_t row, uint32_t role);
    /* Optional: only where one participant waits for each event. When a wait returns -EPIPE because
     * all peers have left, it notes in a word of the segment how many participants of the other
     * role had attached until then. Returns that word. */
    _Atomic uint64_t *(*hung_up)(const shmring_t *q, int event);

    /* ---- Recovery: core/recovery.h ---- */

    /* The caller holds the row's lock. Make good what the row's dead owner left, and then free the
     * row; if something is left, do not free it. */
    int (*recover)(shmring_t *q, uint32_t row);
    /*
     * Optional: only where a dead participant may hold what other participants need. As `recover`,
     * for `count` units of the capacity from `first` on, without freeing the row. Returns the first
     * unit that is left.
     */
    uint64_t (*recover_some)(shmring_t *q, uint32_t row, uint64_t first, uint64_t count,
                             struct shmr_recovered *done);
    /* Only with recover_some: remember that it is `now` (CLOCK_MONOTONIC, ns). Returns the word in
     * which the segment notes the time of the last sweep. */
    _Atomic uint64_t *(*swept)(shmring_t *q, uint64_t now);

    /* ---- Optional operations; NULL: -EINVAL or -EOPNOTSUPP ---- */

    /* shmring_send_flags() and shmring_commit_flags() with SHMRING_KEY, and shmring_skip(). Return
     * what the kind's send, commit and receive do. */
    int (*send_key)(shmring_t *q, const void *msg, size_t len);
    int (*commit_key)(shmring_t *q, const void *msg, size_t len);
    int64_t (*skip)(shmring_t *q);

    /* ---- Errors ---- */

    /* Optional: only where a receive may return -EOVERFLOW. How many messages that one missed. */
    uint64_t (*missed_now)(const shmring_t *q);
    /* Optional: likewise. Is the consumer no longer reliable, as the producer lost patience? */
    bool (*lost_patience)(const shmring_t *q);
    /* Bytes of an open reservation, for the detail when a commit is too long. */
    size_t (*reserved)(const shmring_t *q, const void *msg);

    /* ---- Inspecting ---- */

    /* The counters of shmring_stat(). */
    void (*read_stat)(const shmring_t *q, struct shmring_stat *st);
    /* Fill in what each of n participants has sent, has received and holds; `row` is set. */
    void (*holdings)(const shmring_t *q, struct shmring_participant *participants, int n);
    /* Call d->each for each message, the oldest first. Stops when it returns other than 0, and
     * returns that. */
    int (*dump)(const struct shmr_dump *d);
};

/*
 * The functions that every kind has. Those in this list have these names in the kind's kind.c;
 * dump() is in the kind's dump.c, for example as shmr_spsc_dump(). SHMR_KIND_MEMBERS puts all of
 * them into the table, so kind.c does not compile if one is missing.
 */
#define SHMR_KIND_OPERATIONS(X)                                                                    \
    X(configure)                                                                                   \
    X(sections)                                                                                    \
    X(claim_row)                                                                                   \
    X(join)                                                                                        \
    X(leave)                                                                                       \
    X(ready)                                                                                       \
    X(is_peer)                                                                                     \
    X(recover)                                                                                     \
    X(reserved)                                                                                    \
    X(read_stat)                                                                                   \
    X(holdings)

/* The optional functions: a kind that has one sets it in its table. */
#define SHMR_KIND_OPTIONAL(X)                                                                      \
    X(free)                                                                                        \
    X(pass_on)                                                                                     \
    X(unblock)                                                                                     \
    X(sleep_most)                                                                                  \
    X(hung_up)                                                                                     \
    X(recover_some)                                                                                \
    X(swept)                                                                                       \
    X(send_key)                                                                                    \
    X(commit_key)                                                                                  \
    X(skip)                                                                                        \
    X(missed_now)                                                                                  \
    X(lost_patience)

#define SHMR_KIND_COUNT(function) +1
_Static_assert(sizeof(struct shmr_kind) - offsetof(struct shmr_kind, configure) ==
                   (SHMR_KIND_OPERATIONS(SHMR_KIND_COUNT) SHMR_KIND_OPTIONAL(SHMR_KIND_COUNT) + 1) *
                       sizeof(void (*)(void)),
               "each function of struct shmr_kind but dump() is in one of the two lists");
#undef SHMR_KIND_COUNT

/* The members that every kind's table has. kind.c defines UNIT, WRITERS and NOT_HELD before it uses
 * this, and then sets the optional members. */
#define SHMR_KIND_SET(function) , .function = function
#define SHMR_KIND_MEMBERS(KIND, kind)                                                              \
    .name = #kind, .number = SHMR_##KIND, .unit = UNIT, .writers = WRITERS, .not_held = NOT_HELD,  \
    .dump = shmr_##kind##_dump SHMR_KIND_OPERATIONS(SHMR_KIND_SET)

#define SHMR_KIND_TABLE(KIND, kind) extern const struct shmr_kind shmr_##kind##_kind;
SHMR_KINDS(SHMR_KIND_TABLE)
#undef SHMR_KIND_TABLE

/* The kind of that number; NULL: there is none. */
static inline const struct shmr_kind *shmr_kind_of(uint32_t number)
{
#define SHMR_KIND_IS(KIND, kind)                                                                   \
    if (number == SHMRING_##KIND)                                                                  \
        return &shmr_##kind##_kind;
    SHMR_KINDS(SHMR_KIND_IS)
#undef SHMR_KIND_IS
    return NULL;
}

/* The number of a kind, and the kind: in a segment's header, and in a configuration. */
static inline uint32_t shmr_header_number(const struct shmr_header *h)
{
    return h->kind;
}

static inline const struct shmr_kind *shmr_kind_in_header(const struct shmr_header *h)
{
    return shmr_kind_of(h->kind);
}

static inline uint32_t shmr_config_number(const struct shmring_config *config)
{
    return config->kind;
}

static inline const struct shmr_kind *shmr_kind_in_config(const struct shmring_config *config)
{
    return shmr_kind_of(config->kind);
}

#endif
