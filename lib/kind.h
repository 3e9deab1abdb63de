/* SPDX-License-Identifier: MIT */
/*
 * Kinds of queues: all that the common half of the library knows of one. A kind is a folder,
 * lib/spsc or lib/mpmc, with one table of the cold operations, its struct shmr_kind, in kind.c.
 * What every message takes is not in the table: api/send.c and api/receive.c expand SHMR_KINDS into
 * a switch over enum shmr_kind_number, and call the functions that each kind has in hot.h.
 *
 * A new kind is one more line in SHMR_KINDS, its number in shmring.h, its state in the union of
 * struct shmring (core/handle.h), and its folder. What it lacks does not compile. No other file
 * compares kinds: where they differ, the table says how.
 *
 * Only the declarations are here, so that every folder may include this file.
 */
#ifndef SHMR_KIND_H
#define SHMR_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include <shmring/shmring.h>

#include "core/layout.h"

/* X(the end of SHMRING_..., prefix of its functions: shmr_..._) for each kind. */
#define SHMR_KINDS(X)                                                                              \
    X(SPSC, spsc)                                                                                  \
    X(MPMC, mpmc)

/* For messages: the list in words. */
#define SHMR_KINDS_IN_WORDS "SHMRING_SPSC or SHMRING_MPMC"

#define SHMR_KIND_NUMBER(KIND, kind) SHMR_##KIND = SHMRING_##KIND,
enum shmr_kind_number { SHMR_KINDS(SHMR_KIND_NUMBER) };
#undef SHMR_KIND_NUMBER

/* What became of that which a dead participant held. */
struct shmr_recovered {
    uint64_t freed;       /* places that held no message */
    uint64_t redelivered; /* messages published again */
    uint64_t dropped;     /* messages given up: at most once */
    uint64_t left;        /* messages that are still the dead one's */
};

/* shmring_dump() as a kind sees it: copy a message, check that it was still there, call each. */
struct shmr_dump {
    const shmring_t *q;
    uint8_t *copy; /* max_message bytes */
    int (*each)(void *arg, const struct shmring_message *m);
    void *arg;
};

/*
 * The table of a kind. A function that the comment does not call optional is there. Those that
 * return int return 0 or -errno with the detail set, unless the comment says otherwise.
 */
struct shmr_kind {
    const char *name; /* "spsc" */
    enum shmr_kind_number number;
    const char *unit; /* of the capacity */

    /* ---- The segment ---- */

    /* Rows of the participant table; 0: as many as its creator says (max_participants). */
    uint32_t rows;
    /* The roles that write to each section; `twice`: the data are mapped twice in a row. */
    struct {
        unsigned producer, consumer, data;
        bool twice;
    } writers;
    /* Check capacity, max_message, max_participants and flags, and note them in the geometry. */
    int (*configure)(struct shmr_geometry *g, const struct shmring_config *config);
    /* Bytes of the data section, before it is rounded up to pages; notes in g what lies where. */
    uint64_t (*sections)(struct shmr_geometry *g);

    /* ---- Attaching ---- */

    /* Lock the rows of q->roles through the description fd: core/claim.h. */
    int (*claim_row)(shmring_t *q, int fd);
    /* Become a participant in those rows. What a dead predecessor left is made good. */
    int (*join)(shmring_t *q);
    /* The handle closes: its rows are free, or look like those of a dead participant. */
    void (*leave)(shmring_t *q);
    /* Optional. Free what the handle has allocated for its kind. */
    void (*free)(shmring_t *q);

    /* ---- Waiting ---- */

    /* Which of the events are there now. Thorough: before a sleep; else between two pauses. What
     * cannot be counts as there, so that the next send or receive returns -EBADMSG. */
    unsigned (*ready)(shmring_t *q, unsigned events, bool thorough);
    /* Optional: only where several participants may sleep at one event. This handle was woken, the
     * events are there: wake another sleeper if there is more than this handle takes. */
    void (*pass_on)(shmring_t *q, unsigned events);
    /* Is the owner of a row that has the role another participant than this handle? */
    bool (*is_peer)(const shmring_t *q, uint32_t row, uint32_t role);
    /* Optional: only where one participant waits for each event. Where the segment notes how many
     * participants of the other role had come and gone when the waiter was told of the hang-up. */
    _Atomic uint64_t *(*hung_up)(const shmring_t *q, int event);
    /* A message is published by a locked instruction (SHMR_RMW_IS_FENCE): see wait/waitword.h. */
    bool publish_is_fence;

    /* ---- Recovery: core/recovery.h ---- */

    /* The caller holds the row's lock: make good what its dead owner left, and free the row; it
     * stays as it is if something is left. */
    int (*recover)(shmring_t *q, uint32_t row);
    /*
     * Optional: only where a dead participant may hold what others need. The same for `count` units
     * of the capacity from `first` on, without freeing the row. Returns the first unit that is
     * left.
     */
    uint64_t (*recover_some)(shmring_t *q, uint32_t row, uint64_t first, uint64_t count,
                             struct shmr_recovered *done);
    /* With recover_some: now is the time (CLOCK_MONOTONIC, ns); where the segment notes the time of
     * the last sweep. */
    _Atomic uint64_t *(*swept)(shmring_t *q, uint64_t now);

    /* ---- Errors ---- */

    /* Bytes of an open reservation. */
    size_t (*reserved)(const shmring_t *q, const void *msg);
    /* The detail when shmring_release() is told of a message that it does not take. */
    const char *not_held;

    /* ---- Inspecting ---- */

    /* The counters of shmring_stat(). */
    void (*stat)(const shmring_t *q, struct shmring_stat *st);
    /* What each of n participants, whose rows are in `row`, has sent, has received and holds. */
    void (*holdings)(const shmring_t *q, struct shmring_participant *participants, int n);
    /* Call d->each for each message, the oldest first. What it returns, if that is not 0. */
    int (*dump)(const struct shmr_dump *d);
};

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

/* What a segment's header says, and what a configuration asks for: the number, and the kind. */
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
