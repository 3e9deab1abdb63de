/* SPDX-License-Identifier: MIT */
/*
 * The parts of broadcast.c: what a participant does (broadcast_participants.c), what the figures
 * must say (broadcast_figures.c), and the operations of the process that dies
 * (broadcast_operations.c). What each consumer's row has received is in a book that all processes
 * share.
 */
#ifndef CRASH_BROADCAST_H
#define CRASH_BROADCAST_H

#include "figures.h"
#include "lib/core/handle.h"
#include "messages.h"

enum { CAPACITY = 4096, CHUNK = CAPACITY / SHMR_BROADCAST_CHUNKS, SPARE = 8, BATCH = 3 };
enum { LONGEST = 40, ROWS = FIGURES_ROWS, NUMBERS = 8192, TOO_MANY = 1000 };

/* States: see broadcast.c. */
enum {
    NEW,
    EMPTY,
    WAITING,
    ALMOST_FULL,
    FULL,
    LAPPED,
    WRAPS_NEXT,
    WRAPPED,
    HELD,
    DEAD_READER,
    DEAD_PRODUCER,
    SEVERAL,
    CROWDED,
    AT_WORK,
};

/* What the owners of a row have done, as their calls that returned have said. */
struct row {
    bool attached, reliable;
    pid_t owner;
    uint64_t received, missed, bytes;
    uint64_t next;     /* number of the owner's next message that it has not released */
    uint64_t promised; /* a reliable owner misses none from this one on */
};

struct book {
    uint64_t sent; /* by calls that returned, since the state was prepared */
    /* What the dead consumer's row shows, beside what its calls have returned. */
    uint64_t doubtful, doubtful_bytes, doubtful_missed;
    struct row row[ROWS];
};
struct book *book(const struct crash_world *w);

/* The queue when the state was prepared. */
struct prepared {
    struct row row[ROWS];
    bool dead[ROWS];
    uint64_t key; /* one more than the number of a key message that a dead producer sent; 0: none */
};
extern struct prepared prepared;

/* What the process of an operation notes, for the tester to read after its death. */
struct witness {
    uint64_t start;  /* the number of the message that its operation sends or receives first */
    uint64_t missed; /* what it misses if the operation finds that it was overtaken */
    uint32_t row;    /* a consumer's */
    bool attached;   /* it was before the operation */
    pid_t pid;
    bool plain, key; /* its operation sends messages, all not as keys; or the first one as a key */
    size_t length[BATCH];
    uint8_t buffer[BATCH][LONGEST];
};
const struct witness *witness_of(const struct crash_world *w, int seat);

struct reader {
    shmring_t *q;
    struct oracle_reader judge;
    bool reliable;
    const void *held[4];
    uint64_t held_number[4];
    int held_count;
};

/* The tester's readers, and that of the process of an operation. */
enum { RELIABLE, LOSSY, BEHIND, ROWLESS, SUCCESSOR, MINE, READERS };

/* This process's participants. */
struct participants {
    shmring_t *producer;
    shmring_t *observer; /* to be duplicated */
    struct reader reader[READERS];
    uint64_t next; /* message to send */
    void *reservation;
};
extern struct participants here;

/* ---- Messages ------------------------------------------------------------------------------- */

/* Position of message n; the payload of those before it. */
uint64_t position_of(uint64_t n);
uint64_t bytes_before(uint64_t n);

/* Is message n a key message, if it was sent? */
bool is_key(const struct crash_world *w, uint64_t n);

/* The horizon with which message n can be sent. */
static inline uint64_t horizon_for(uint64_t n)
{
    return (position_of(n + 1) + SPARE + CHUNK - 1) / CHUNK * CHUNK;
}

/* The first message that is the first of its chunk and is whole with that horizon, or the `nth`
 * such message, from 0. */
uint64_t whole_mark(uint64_t horizon, int nth);

/* ---- What a participant does ----------------------------------------------------------------- */

void open_producer(struct crash_world *w);
void open_reader(struct crash_world *w, int which, unsigned flags);
void close_reader(struct crash_world *w, int which);
void close_all(struct crash_world *w);

/* Note in the book a reader that this process has opened. */
void begin_reader(struct crash_world *w, int which);
void note_received(struct crash_world *w, struct reader *r, uint64_t number);
void note_missed(struct crash_world *w, struct reader *r, uint64_t messages);

int send_next(struct crash_world *w);
void send_some(struct crash_world *w, int n);
void send_a_lap(struct crash_world *w);

/* The next test of a lock by the producer is due now. */
void allow_test(void);

/* Send until the queue is full, and check that it is full only when a live reliable consumer holds
 * the producer up; without such a consumer, go round once. */
void fill(struct crash_world *w);

/* Take the next message; false: there is none. */
bool hold_next(struct crash_world *w, struct reader *r);
void release_held(struct crash_world *w, struct reader *r);
bool judge(struct crash_world *w, struct reader *r, const void *bytes, ssize_t length,
           bool flagged);
void be_overtaken(struct crash_world *w, struct reader *r);

/* Receive all there is: by peek and release, by recv, and in batches. */
void drain(struct crash_world *w, struct reader *r);

/* How consumers begin in that state. */
unsigned start_flags(const struct crash_world *w);

/* ---- Figures --------------------------------------------------------------------------------- */

void check_figures(struct crash_world *w);
void check_at_the_end(struct crash_world *w);

/* ---- The process of an operation ------------------------------------------------------------- */

enum { OPERATIONS = 25 };
extern const struct crash_operation operations[OPERATIONS];

/* What sort of operation that is. */
bool demotes(const struct crash_operation *o); /* strikes off a consumer that lives */
bool detaches(const struct crash_operation *o);
bool skips(const struct crash_operation *o);
bool copies(const struct crash_operation *o);   /* messages, to the witness's buffers */
bool releases(const struct crash_operation *o); /* a message that it had got before */
bool matters_in_pairs(const struct crash_operation *o);
unsigned opens_with(const struct crash_operation *o); /* SHMRING_RELIABLE and so on */

void attach(struct crash_world *w);
void carry_on(struct crash_world *w);

#endif
