/* SPDX-License-Identifier: MIT */
/*
 * A process dies at every instruction of every operation of a queue, and the survivors and a
 * successor check what they find. See README.md. A kind of queue has its operations, its states and
 * its conservation check in a struct crash_kind; all else is the same for all kinds.
 */
#ifndef CRASH_H
#define CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmring/shmring.h>

struct crash_world;
struct play_segment;

struct crash_operation {
    const char *name;
    unsigned role; /* SHMRING_PRODUCER or SHMRING_CONSUMER */
    bool attaches; /* it starts without a handle, and gets one */
    int most;      /* most messages that it commits or releases */
    /* Called in the operation's process, attached: prepare it. False: it makes no sense in this
     * state. */
    bool (*ready)(struct crash_world *w);
    long (*run)(struct crash_world *w);
    /* The number of messages that a call which returned result has moved. */
    long (*moved)(long result);
};

struct crash_state {
    const char *name;
    int id;
    uint32_t flags; /* of the queue, besides the kind's */
};

/* Which points are tried without --all, and with it. */
enum crash_care {
    CRASH_USUAL,   /* those that matter and some others; all */
    CRASH_SAMPLED, /* those that matter and some others, both times */
    CRASH_SELDOM,  /* none; those that matter and some others */
};

/* All that depends on the kind of queue. Each function reports errors by crash_check(). */
struct crash_kind {
    const char *name;
    struct shmring_config config;
    const struct crash_operation *operations;
    size_t operation_count;
    const struct crash_state *states;
    size_t state_count;
    unsigned budget;         /* instructions that a call of a survivor may take */
    unsigned long_operation; /* of an operation of more points than this, some are tried */
    unsigned others;         /* ... about this many beside those that matter */
    unsigned measured_calls; /* calls of survivors that are measured after a death */
    unsigned pair_points;    /* points of an operation that are combined with those of another */

    /* Optional: how thoroughly is the operation tried in that state? */
    enum crash_care (*care)(const struct crash_operation *o, const struct crash_state *s);
    /* May a process be stopped in one operation while one is killed in the other? */
    bool (*may_pair)(const struct crash_operation *killed, const struct crash_operation *stopped);
    /* Does the second operation recover a process that was killed in the first? */
    bool (*may_succeed)(const struct crash_operation *killed,
                        const struct crash_operation *successor);

    /* In the tester: bring the new queue w->fd into the state. No handle stays open. */
    void (*prepare)(struct crash_world *w);

    /* In the process of an operation: attach, as the state asks for. */
    void (*attach)(struct crash_world *w);
    /* ... and after it was only paused: check the operation's result, go on, and close. */
    void (*carry_on)(struct crash_world *w);

    /*
     * In the tester, in this order: open the participants that live on, and then, after the death,
     * let them work; let a successor take over from the dead, and work; deliver the rest, compare
     * all there is to compare, close every handle. survivors_work and successor_works may also be
     * called in the other order. With w->paused, a process has the place of the survivors.
     */
    void (*open_survivors)(struct crash_world *w);
    /* ... right after the death: take the figures that an observer can read, and compare them */
    void (*check)(struct crash_world *w);
    void (*survivors_work)(struct crash_world *w);
    void (*successor_works)(struct crash_world *w);
    void (*settle)(struct crash_world *w);
};

/* The kind that the program is linked with. */
extern const struct crash_kind crash_kind;

enum crash_stage { CRASH_READY, CRASH_RUNNING, CRASH_DONE };

/* Shared memory in which a process leaves what it has done: it outlives the process. */
struct crash_seat {
    volatile int stage;    /* enum crash_stage of its operation */
    volatile long result;  /* of the operation, when it is CRASH_DONE */
    uint8_t witness[1024]; /* the kind's */
};

enum { CRASH_VICTIM, CRASH_PAUSED, CRASH_SEATS };

/* Shared by the tester and its children. */
struct crash_shared {
    struct crash_seat seat[CRASH_SEATS];
    volatile bool in_call;   /* a survivor is inside a call that is measured */
    volatile unsigned calls; /* measured so far */
    uint8_t book[8192];      /* the kind's, of all processes together */
    uint64_t figures[1024];  /* see figures.h */
    char failure[512];
};

/* Each process has its own; only what `shared` points to is shared. */
struct crash_world {
    const struct crash_kind *kind;
    const struct crash_state *state;
    const struct crash_operation *operation; /* of the process that dies */
    const struct crash_operation *paused;    /* of the process that is stopped meanwhile, or NULL */
    long complete;                           /* what the operation returns undisturbed */
    int fd;                                  /* the segment */
    uint64_t sent, received;                 /* messages until the state was prepared */
    struct crash_shared *shared;
    struct crash_seat *seat;            /* in the process of an operation: its own */
    const struct crash_operation *mine; /* ... and the operation */
    bool measured;                      /* the instructions of survivors' calls are counted */
    struct play_segment *segment;
};

/* Returns ok. If that is false, notes the reason, unless an earlier one is noted. */
bool crash_check(struct crash_world *w, bool ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool crash_failed(const struct crash_world *w);

/* Called before and after each call of a survivor: the first calls after a death are measured. */
void crash_call(struct crash_world *w);
void crash_called(struct crash_world *w);

/* For crash_operation.moved: the number of messages moved by a call that returned result. */
static inline long one_if_zero(long result)
{
    return result == 0;
}

static inline long one_if_length(long result)
{
    return result >= 0;
}

static inline long the_count(long result)
{
    return result > 0 ? result : 0;
}

static inline long none(long result)
{
    (void)result;
    return 0;
}

#endif
