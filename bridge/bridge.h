/* SPDX-License-Identifier: MIT */
/*
 * shmring-bridge: messages from shmring queues to NATS JetStream and back.
 *
 * One thread, the one of main(), does all there is to do with queues: it waits for them in a mux,
 * publishes, commits and releases. libnats has threads of its own, which call back with what the
 * server said. They only put it into the route's part that a mutex guards, and wake the main thread
 * (bell.c).
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

/* The texts are those of the configuration file or the command line, never NULL after checking
 * except where a comment says so. */
struct route_config {
    char *name;
    enum direction direction;
    char *queue;
    char *subject; /* to queue: NULL: all of the stream */
    char *stream;
    char *consumer;    /* to queue only */
    char *dead_letter; /* NULL: a message that cannot be passed on stops the route */
    char *state;       /* to queue: file, NULL: beside the queue */
    bool wait;         /* for a queue that is missing, or was removed */
    bool create;       /* the stream, and the consumer */
    bool memory;       /* storage of the stream that is created */
    bool ids;          /* to subject: by which the stream knows a message again */
    uint64_t replicas;
    uint64_t duplicates; /* s: window of the stream that is created */
    uint64_t window;     /* messages in flight; to queue: asked for and not acknowledged */
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

/* One KEY = VALUE of a [section]; NULL, or what is wrong. route NULL: [server]. */
const char *config_set(struct config *c, struct route_config *route, const char *key,
                       const char *value);
struct route_config *config_add_route(struct config *c, const char *name);
/* Read a file. Returns 0, or -1 after a complaint with the line's number. */
int config_read(struct config *c, const char *path);
/* Is every route whole? NULL, or what is missing, in a static buffer. */
const char *config_check(const struct config *c);
void config_free(struct config *c);

/* Fill in the configuration. Returns -1 to go on, or the exit code. */
int options_parse(struct config *c, int argc, char **argv);

/* ---- Words (log.c, notify.c) ------------------------------------------------------------------
 */

enum level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
extern enum level log_level;
void say(enum level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tell the service manager, if there is one: "READY=1" and the like. */
void notify(const char *state);

/* ---- The whole (main.c) -----------------------------------------------------------------------
 */

/* Where the main thread sleeps when it cannot sleep in the mux, and how it is called. */
struct bell {
    pthread_mutex_t mutex;
    pthread_cond_t rung;
    _Atomic bool told;
    bool sleeping;
};

struct bridge {
    const struct config *config;
    shmring_mux_t *mux;
    struct bell bell;
    natsConnection *nc;
    natsOptions *options;
    jsCtx *js;
    _Atomic bool connected;
    _Atomic bool closed;          /* libnats has given up */
    _Atomic bool stopping;        /* take nothing new */
    _Atomic uint32_t connections; /* how often it was connected: a new number, a new beginning */
    _Atomic uint64_t reconnects;
    bool ended; /* nothing moves any more */
    struct route *routes;
    size_t count;
};

void bell_init(struct bell *bell);
void bell_ring(struct bridge *b);
/* Sleep until the bell rings, for that long at the most. Did it ring? */
bool bell_sleep(struct bridge *b, int64_t ms);
/* It was heard: the next one to ring wakes again. */
void bell_heard(struct bridge *b);

int64_t now_ms(void);

/* ---- The server (server.c, stream.c) ----------------------------------------------------------
 */

/* Returns when there is a server: 0, or -EACCES, -EINTR: stopped. */
int server_connect(struct bridge *b);
/* End a subscription, which may be NULL, when what has come for it was heard. */
void server_unsubscribe(natsSubscription *sub);
/* Afterwards nothing calls back any more; false: libnats did not end its threads in time. */
bool server_close(struct bridge *b);

/* When a stream was created, which tells it from another one of the same name, and up to where the
 * consumer has all acknowledgements. */
struct stream_state {
    int64_t created;
    uint64_t ack_floor;
};

/* Find the route's stream and consumer, or create them if the route says so. Returns 0, -EAGAIN:
 * the server did not answer; -ENOENT and so on: it makes no sense to try again. */
int stream_find(struct bridge *b, const struct route_config *route, struct stream_state *state);

/* ---- Routes (route.c, row.c, out.c, in.c, seen.c) ---------------------------------------------
 */

/*
 * Which count tells whether the last message of a bridge that was killed is in the queue: of a
 * queue with one producer the queue's own, of others that in the participant's row, of what was
 * sent by whoever had it, up to the few instructions between publishing and counting.
 */
struct row {
    bool only_producer; /* the queue has no other: its count is this one's */
    uint32_t index;
    uint32_t generation; /* 0: not known */
    uint64_t sent;
};

/* As shmring_open() for a producer; row: which one it has got. */
int row_open(shmring_t **q, const char *name, struct row *row);
/* What was sent from the row, if that is its number, by one who died since. Did anybody else have
 * it meanwhile, or is it not to be found out for another reason: false. */
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
    bool lost;           /* the queue is not there: look for it again */
    int64_t find_at;     /* ms: when to do that, or to see whether the queue is still there */
    int find_error;      /* what was said about the last time in vain */
    bool ready;          /* its stream was found on this connection */
    bool found;          /* on one before */
    uint32_t connection; /* bridge.connections when that was */
    int64_t look_again;  /* ms: when to look for the stream, or to publish again, next */
    int64_t patience;    /* ms: that grows with each time in vain */
    struct counters counters;
    struct outgoing *out; /* one of the two */
    struct incoming *in;
};

int route_open(struct bridge *b, struct route *r, const struct route_config *config);
/* No more subscriptions, and, when the server is closed too, no more of anything. */
void route_silence(struct route *r);
void route_close(struct route *r);
/* Stop it for good: nothing is lost, but nothing moves. */
void route_stop(struct route *r, const char *why);
/* A call on the queue has failed: lose the queue if it was removed, else stop. */
void route_failed(struct route *r, int error);
/* The queue is lost: is there one of its name now? */
bool route_find_queue(struct route *r);
/* A message that JetStream, or the queue, will never take: 0, or -EAGAIN (try again later). */
int route_bury(struct route *r, const void *msg, size_t len, const char *why);
void route_watch(struct route *r, unsigned event, bool wanted);

int out_open(struct route *r);
/* The queue is there, for the first time or again. */
int out_bind(struct route *r);
void out_silence(struct route *r);
void out_close(struct route *r);
/* Do what can be done. True: something was. *blocked: the queue has messages, but they must wait
 * for acknowledgements. */
bool out_work(struct route *r, bool *blocked);
uint64_t out_in_flight(const struct route *r);
int64_t out_deadline(const struct route *r);

int in_open(struct route *r);
int in_bind(struct route *r);
void in_unbind(struct route *r);
void in_silence(struct route *r);
void in_close(struct route *r);
bool in_work(struct route *r);
/* Give back what has come and is not in the queue. */
void in_give_back(struct route *r);
uint64_t in_in_flight(const struct route *r); /* asked for, or come */
uint64_t in_lag(const struct route *r);
int64_t in_deadline(const struct route *r);

/*
 * Which of a stream's messages are in the queue already: in a file that is as lasting as the queue,
 * so that a message which comes again, because its acknowledgement was lost with a process that was
 * killed, is known.
 */
struct seen;
int seen_open(struct seen **s, const struct route *r, const char *path);
void seen_close(struct seen **s, shmring_t *q);
/* The stream is this one: forget all if it was another. */
void seen_bind(struct seen *s, const struct stream_state *state);
enum seen_answer { SEEN_NEW, SEEN_BEFORE, SEEN_TOO_FAR };
enum seen_answer seen_ask(const struct seen *s, uint64_t sequence);
/* Before, and after, the message goes into the queue. */
void seen_begin(struct seen *s, uint64_t sequence);
void seen_done(struct seen *s);
void seen_abort(struct seen *s); /* it did not */
/* Everything up to there is acknowledged. */
void seen_acknowledged(struct seen *s, uint64_t floor);

/* ---- Metrics (metrics.c) ----------------------------------------------------------------------
 */

void metrics_write(const struct bridge *b);

#endif
