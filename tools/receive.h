/* SPDX-License-Identifier: MIT */
/* What recv and record share: they take the messages of a queue and write them to a descriptor. */
#ifndef SHMRING_RECEIVE_H
#define SHMRING_RECEIVE_H

#include <getopt.h>

#include "tool.h"

enum {
    AT_ONCE = 64,       /* messages to write at once, at most */
    ENOUGH = 64 * 1024, /* and bytes, roughly */
    FRAME_MOST = 32     /* bytes of a frame */
};

/* A message that was taken. */
struct taken {
    const void *payload;
    uint32_t length;
    uint32_t flags;  /* SHMRING_KEY, SHMRING_REDELIVERED */
    uint64_t number; /* broadcast: of the queue; else of this command, from 0 */
};

/* What goes to the output with each message. Each function returns the frame's length. */
struct framing {
    bool behind; /* the frame goes behind the message, else before it */
    size_t (*frame)(const struct taken *taken, unsigned char frame[FRAME_MOST]);
    /* instead of messages that were missed; NULL: nothing */
    size_t (*gap)(uint64_t missed, unsigned char frame[FRAME_MOST]);
};

struct receiver {
    shmring_t *q;
    const char *name;
    const struct framing *framing;
    int out;
    const char *out_name;
    unsigned from; /* options of shmring_open() */
    bool eof;
    bool new_producer; /* --eof: producers that left before this command started do not count */
    bool met_producer; /* a producer that counts was seen */
    uint64_t producers_before; /* how often a producer had attached before this command started */
    uint64_t count;            /* messages to receive; UINT64_MAX: no limit */
    uint64_t received;
    uint64_t missed;      /* messages that were missed so far */
    uint64_t missed_said; /* those that standard error has been told of */
    int64_t said_ns;      /* when it was told last */
    bool unwritten;       /* the output has failed */
    bool torn;            /* the output ends within a message */
    /* Broadcast: messages are copied, as the producer may overwrite them while they are written. */
    unsigned char *copies;
    /* Messages taken and not written, each as two pieces of output. */
    int held;
    const void
        *messages[AT_ONCE];   /* to be released when written; NULL: there is nothing to release */
    bool is_message[AT_ONCE]; /* and not a gap */
    unsigned char frames[AT_ONCE][FRAME_MOST];
    struct iovec pieces[2 * AT_ONCE];
};

/* The options of recv and record. */
#define RECEIVER_LETTERS "c:epf:r" PATIENCE_LETTERS
/* clang-format off */
#define RECEIVER_OPTIONS                                                                           \
    {"count", required_argument, NULL, 'c'},                                                       \
    {"eof", no_argument, NULL, 'e'},                                                               \
    {"new-producer", no_argument, NULL, 'p'},                                                      \
    {"from", required_argument, NULL, 'f'},                                                        \
    {"reliable", no_argument, NULL, 'r'},                                                          \
    PATIENCE_OPTIONS
/* clang-format on */
#define RECEIVER_HELP                                                                              \
    "  -c, --count N          end after N messages\n"                                              \
    "  -e, --eof              end when the queue is empty and its producers have left;\n"          \
    "                         if none ever came, wait for one\n"                                   \
    "  -p, --new-producer     the same, but producers that left before now do not count\n"         \
    "  -f, --from WHERE       broadcast: newest: what is sent from now on (the default);\n"        \
    "                         oldest: the oldest message that is still there; key: the last\n"     \
    "                         key message, if it is still there\n"                                 \
    "  -r, --reliable         broadcast: miss nothing; the producer waits for this command\n"      \
    "  -w, --wait-open        wait for the queue to appear\n"                                      \
    "  -t, --timeout SECONDS  wait no longer than that for the queue, or for a message\n"          \
    "  -n, --no-wait          take what is there; exit with 3 when that is nothing,\n"             \
    "                         or less than --count\n"
int receiver_option(struct receiver *r, struct patience *patience, const struct command *self,
                    int option);

/* Attach to the queue r->name. Complains, and returns the exit code. */
int receiver_open(struct receiver *r, const struct patience *patience);
void receiver_close(struct receiver *r);

/* Write the messages until an option, an error or a signal says to end. Returns the exit code. */
int receive(struct receiver *r, const struct patience *patience);

/* Write a frame of this length, which is in r->frames[0], without a message. Returns 0 or an error:
 * -EINTR when a signal has come. */
int write_frame(struct receiver *r, size_t length);

#endif
