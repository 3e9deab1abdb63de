/* SPDX-License-Identifier: MIT */
/*
 * shmring-bridge: messages from shmring queues to NATS JetStream and back.
 *
 * The main thread alone uses the queues: it waits for them in a mux, publishes, commits and
 * releases. libnats has threads of its own, which call back with what the server sent. These
 * callbacks only put it into the part of the route that a mutex guards, and wake the main thread
 * (wake.c).
 */
#ifndef BRIDGE_H
#define BRIDGE_H

#include <nats/nats.h>
#include <pthread.h>
#include <shmring/mux.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- Configuration (config.c, options.c) ------------------------------------------------------
 */

enum direction { NOWHERE, TO_SUBJECT, TO_QUEUE };

/* The texts come from the configuration file or the command line. After config_check() only those
 * are NULL whose comment says so. */
struct route_config {
    char *name;
    enum direction direction;
    char *queue;
    char *subject; /* to queue: NULL: all subjects of the stream */
    char *stream;
    char *consumer;    /* to queue only */
    char *dead_letter; /* NULL: a message that cannot be passed on stops the route */
    char *state;       /* to queue: a file; NULL: the file is beside the queue */
    bool wait;         /* wait for a queue that is missing, or was removed */
    bool create;       /* create the stream, and the consumer */
    bool memory;       /* the stream that is created is in memory, not in files */
    bool ids;          /* to subject: publish with ids, by which the stream drops duplicates */
    uint64_t replicas;
    uint64_t duplicates; /* s: window of the stream that is created */
    uint64_t window;     /* most messages in flight; to queue: requested and not acknowledged */
    uint64_t ack_wait;   /* ms */
};

struct config {
    char *url;
    char *user, *password; /* NULL each: none */
    char *credentials;     /* NULL: none */
    char *tls_ca, *tls_cert, *tls_key;
    bool tls;
    char *name;
    char *openmetrics; /* file, NULL: none */
    struct route_config *routes;
    size_t count;
};

/* Set one KEY = VALUE of a [section]; route NULL: of [server]. Returns NULL, or what is wrong. */
const char *config_set(struct config *c, struct route_config *route, const char *key,
                       const char *value);
struct route_config *config_add_route(struct config *c, const char *name);
/* Read a file. Returns 0, or -1 after a complaint with the line's number. */
int config_read(struct config *c, const char *path);
/* Has every route all it needs? Returns NULL, or what is missing, in a static buffer. */
const char *config_check(const struct config *c);
void config_free(struct config *c);

/* Fill in the configuration from the command line. Returns -1 to go on, or the exit code. */
int options_parse(struct config *c, int argc, char **argv);

/* ---- Words (log.c, notify.c) ------------------------------------------------------------------
 */

enum level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
extern enum level log_level;
void say(enum level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Send the service manager, if there is one, a state such as "READY=1". */
void notify(const char *state);

/* ---- The whole (main.c) -----------------------------------------------------------------------
 */

/* How other threads wake the main thread, which sleeps in the mux or in wake_wait(). */
struct wake {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    _Atomic bool woken; /* since the last wake_forget() */
    bool sleeping;      /* in wake_wait() */
};

struct bridge {
    const struct config *config;
    shmring_mux_t *mux;
    struct wake wake;
    natsConnection *nc;
    natsOptions *options;
    jsCtx *js;
    _Atomic bool connected;
    _Atomic bool closed;          /* libnats has given up */
    _Atomic bool stopping;        /* take no new messages */
    _Atomic uint32_t connections; /* counts connects; at a new one each route begins again */
    _Atomic uint64_t reconnects;
    bool ended; /* no more messages move */
    struct route *routes;
    size_t count;
};

void wake_init(struct wake *wake);
/* Wake the main thread. A second call before wake_forget() does nothing. */
void wake_main(struct bridge *b);
/* Sleep until wake_main() is called, for at most ms. True: it was called. */
bool wake_wait(struct bridge *b, int64_t ms);
/* The main thread is awake: the next wake_main() wakes it again. */
void wake_forget(struct bridge *b);

int64_t now_ms(void);

/* ---- The server (server.c, stream.c) ----------------------------------------------------------
 */

/* Connect, and wait until a server answers. Returns 0; -EACCES: the server refuses us; -EINTR: the
 * bridge is to stop. */
int server_connect(struct bridge *b);
/* End a subscription, which may be NULL, after the callbacks for all messages that have come for
 * it. */
void server_unsubscribe(natsSubscription *sub);
/* Close the connection. Afterwards libnats calls back no more; false: it did not end its threads in
 * time. */
bool server_close(struct bridge *b);

/* When a stream was created, which tells it from a later one of the same name, and the sequence up
 * to which the consumer has all acknowledgements. */
struct stream_state {
    int64_t created;
    uint64_t ack_floor;
};

/* Find the route's stream and consumer, or create them if the route says so. Returns 0; -EAGAIN:
 * the server did not answer; another error, such as -ENOENT: to try again is of no use. */
int stream_find(struct bridge *b, const struct route_config *route, struct stream_state *state);

/* ---- Routes (route.c, row.c, out.c, in.c, seen.c) ---------------------------------------------
 */

/*
 * The count that tells whether the last message of a bridge that was killed is in the queue. For a
 * queue with one producer it is the queue's own count of messages sent. For others it is the count
 * in the participant's row, of what its owner has sent; it may miss one message, if the owner died
 * in the few instructions between publishing and counting.
 */
struct row {
    bool only_producer; /* the queue has no other producer: its count is this producer's */
    uint32_t index;
    uint32_t generation; /* of the row; 0: not known */
    uint64_t sent;
};

/* As shmring_open() for a producer; *row: the row that it has taken. */
int row_open(shmring_t **q, const char *name, struct row *row);
/* Get the count of what the dead owner with that generation has sent from the row. False: another
 * producer may have sent from the row since, or the row cannot be found. */
bool row_of_dead(shmring_t *q, const char *name, struct row *row);

struct counters {
    _Atomic uint64_t messages, bytes, redelivered, dead_lettered;
};

struct route {
    struct bridge *bridge;
    const struct route_config *config;
    shmring_t *q;
    shmring_t *dead_letter;
    struct row row; /* to queue only */
    bool in_mux;
    bool stopped;        /* for good, after an error */
    bool lost;           /* the queue does not exist: try again to open it */
    int64_t find_at;     /* ms: when to try that, or to check that the queue still exists */
    int find_error;      /* the error of the last failed attempt, which was logged */
    bool ready;          /* the stream was found on this connection */
    bool found;          /* the stream was found on an earlier connection */
    uint32_t connection; /* bridge.connections when the stream was found */
    int64_t look_again;  /* ms: when next to ask for the stream, or to publish again */
    int64_t patience;    /* ms until then; doubles with each failed attempt */
    struct counters counters;
    struct outgoing *out; /* one of the two is not NULL */
    struct incoming *in;
};

int route_open(struct bridge *b, struct route *r, const struct route_config *config);
/* End the route's subscriptions. Once the server is closed, nothing calls back into the route. */
void route_silence(struct route *r);
void route_close(struct route *r);
/* Stop the route for good. No message is lost, but no more messages move. */
void route_stop(struct route *r, const char *why);
/* A call on the queue has failed. If the queue was removed, close it and wait for a new one; else
 * stop the route. */
void route_failed(struct route *r, int error);
/* The queue was lost: try to open one of its name. */
bool route_find_queue(struct route *r);
/* Put a message that JetStream, or the queue, will never take into the dead letters. Returns 0, or
 * -EAGAIN (try again later). */
int route_bury(struct route *r, const void *msg, size_t len, const char *why);
void route_watch(struct route *r, unsigned event, bool wanted);

int out_open(struct route *r);
/* The queue was opened, for the first time or again. */
int out_bind(struct route *r);
void out_silence(struct route *r);
void out_close(struct route *r);
/* Do all that can be done without waiting. True: something was done. *blocked: the queue has
 * messages, but they must wait for acknowledgements. */
bool out_work(struct route *r, bool *blocked);
uint64_t out_in_flight(const struct route *r);
int64_t out_deadline(const struct route *r);

int in_open(struct route *r);
int in_bind(struct route *r);
void in_unbind(struct route *r);
void in_silence(struct route *r);
void in_close(struct route *r);
bool in_work(struct route *r);
/* Give the server back the messages that have come and are not in the queue. */
void in_give_back(struct route *r);
uint64_t in_in_flight(const struct route *r); /* messages requested, or come and not dealt with */
uint64_t in_lag(const struct route *r);
int64_t in_deadline(const struct route *r);

/*
 * Which of a stream's messages are in the queue already. This is in a file that lasts as long as
 * the queue. So the bridge knows a message again that the server sends twice because a process was
 * killed before it acknowledged the message.
 */
struct seen;
int seen_open(struct seen **s, const struct route *r, const char *path);
void seen_close(struct seen **s, shmring_t *q);
/* Use the file for this stream; clear it if it was used for another one. */
void seen_bind(struct seen *s, const struct stream_state *state);
enum seen_answer { SEEN_NEW, SEEN_BEFORE, SEEN_TOO_FAR };
enum seen_answer seen_ask(const struct seen *s, uint64_t sequence);
/* Call these two before, and after, the message is put into the queue. */
void seen_begin(struct seen *s, uint64_t sequence);
void seen_done(struct seen *s);
void seen_abort(struct seen *s); /* the message was not put in */
/* All messages up to the floor are acknowledged. */
void seen_acknowledged(struct seen *s, uint64_t floor);

/* ---- Metrics (metrics.c) ----------------------------------------------------------------------
 */

void metrics_write(const struct bridge *b);

#endif
