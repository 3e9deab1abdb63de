/* SPDX-License-Identifier: MIT */
/*
 * From a subject to a queue: a durable pull consumer. The main thread requests a number of
 * messages. They come to an inbox, in the thread of libnats; the main thread puts them into the
 * queue and acknowledges them. While the queue is full it requests none.
 *
 * libnats itself fetches only in a thread that waits for the messages, and would need one for each
 * route. So this file makes the requests, as JetStream documents them:
 * $JS.API.CONSUMER.MSG.NEXT.STREAM.CONSUMER, and status messages when a request ends before all its
 * messages have come.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"

enum {
    EXPIRES = 30000 /* ms: the life of a request */,
    GRACE = 5000,
    LONGEST_PATIENCE = 5000,
    FLOOR_EVERY = 100, /* ms */
    CHECK_EVERY = 1000 /* ms between two checks that the queue still exists */
};

struct incoming {
    struct seen *seen;
    char *inbox;
    char next[512]; /* the subject that requests are sent to */
    natsSubscription *sub;
    uint64_t asked;       /* messages requested that may still come */
    int64_t asked_at;     /* ms: the time of the last request, or message */
    int64_t floor_at;     /* ms: when the floor may be asked for again */
    _Atomic uint64_t lag; /* messages in the stream after the last one that came */
    /* Messages that came and are not dealt with: a ring, under the mutex. */
    pthread_mutex_t mutex;
    natsMsg **come;
    size_t size, first, count;
    bool silent; /* the callback drops what still comes */
};

/* ---- In the thread of libnats -----------------------------------------------------------------
 */

static bool make_room(struct incoming *in)
{
    size_t size = in->size ? 2 * in->size : 1024;
    natsMsg **more = malloc(size * sizeof(natsMsg *));

    if (!more)
        return false;
    for (size_t i = 0; i < in->count; i++)
        more[i] = in->come[(in->first + i) % in->size];
    free(in->come);
    in->come = more;
    in->size = size;
    in->first = 0;
    return true;
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *route)
{
    struct route *r = route;
    struct incoming *in = r->in;

    (void)nc;
    (void)sub;
    pthread_mutex_lock(&in->mutex);
    if (!in->silent && (in->count < in->size || make_room(in)))
        in->come[(in->first + in->count++) % in->size] = msg;
    else
        natsMsg_Destroy(msg); /* the server sends it again, as it was not acknowledged */
    pthread_mutex_unlock(&in->mutex);
    wake_main(r->bridge);
}

/* ---- In the main thread -----------------------------------------------------------------------
 */

/* Beside the queue, with a name made from those of queue, stream and consumer. */
static void state_path(const struct route_config *c, char *path, size_t size)
{
    const char *texts[] = {c->queue, c->stream, c->consumer};
    const char *file = strncmp(c->queue, "file:", 5) == 0 ? c->queue + 5 : NULL;
    const char *slash = file ? strrchr(file, '/') : NULL;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (int i = 0; i < 3; i++)
        for (const char *t = texts[i];; t++) {
            hash = (hash ^ (unsigned char)*t) * UINT64_C(0x100000001b3);
            if (!*t)
                break;
        }
    snprintf(path, size, "%.*s/.shmring-bridge-%016" PRIx64,
             slash ? (int)(slash - file) : (int)strlen(file ? "." : "/dev/shm"),
             slash  ? file
             : file ? "."
                    : "/dev/shm",
             hash);
}

int in_open(struct route *r)
{
    const struct route_config *c = r->config;
    struct incoming *in = calloc(1, sizeof *in);

    if (!in)
        return -ENOMEM;
    r->in = in;
    pthread_mutex_init(&in->mutex, NULL);
    snprintf(in->next, sizeof in->next, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", c->stream, c->consumer);
    natsStatus s = natsInbox_Create(&in->inbox);
    if (s == NATS_OK)
        s = natsConnection_Subscribe(&in->sub, r->bridge->nc, in->inbox, on_message, r);
    if (s == NATS_OK)
        s = natsSubscription_SetPendingLimits(in->sub, -1, -1);
    if (s == NATS_OK)
        return 0;
    say(LOG_ERROR, "route %s: %s", c->name, natsStatus_GetText(s));
    return -EIO;
}

int in_bind(struct route *r)
{
    char path[512];

    state_path(r->config, path, sizeof path);
    r->connection = UINT32_MAX; /* messages that have come wait until the stream was found again */
    r->find_at = now_ms() + CHECK_EVERY;
    return seen_open(&r->in->seen, r, r->config->state ? r->config->state : path);
}

void in_unbind(struct route *r)
{
    seen_close(&r->in->seen, r->q);
}

static natsMsg *peek(struct incoming *in)
{
    pthread_mutex_lock(&in->mutex);
    natsMsg *msg = in->count > 0 ? in->come[in->first] : NULL;
    pthread_mutex_unlock(&in->mutex);
    return msg;
}

static void drop(struct incoming *in)
{
    pthread_mutex_lock(&in->mutex);
    natsMsg *msg = in->come[in->first];
    in->first = (in->first + 1) % in->size;
    in->count--;
    pthread_mutex_unlock(&in->mutex);
    natsMsg_Destroy(msg);
}

static uint64_t waiting(struct incoming *in)
{
    pthread_mutex_lock(&in->mutex);
    uint64_t count = in->count;
    pthread_mutex_unlock(&in->mutex);
    return count;
}

void in_silence(struct route *r)
{
    struct incoming *in = r->in;

    server_unsubscribe(in->sub);
    in->sub = NULL;
    pthread_mutex_lock(&in->mutex);
    in->silent = true;
    pthread_mutex_unlock(&in->mutex);
    /* Destroy them now: once libnats is closed, it cannot destroy messages. */
    while (peek(in))
        drop(in);
}

void in_close(struct route *r)
{
    struct incoming *in = r->in;

    free(in->come);
    natsInbox_Destroy(in->inbox);
    seen_close(&in->seen, r->q);
    free(in);
    r->in = NULL;
}

uint64_t in_in_flight(const struct route *r)
{
    return r->in->asked + waiting(r->in);
}

uint64_t in_lag(const struct route *r)
{
    return r->in->lag;
}

static void answer(struct route *r, natsMsg *msg, const char *word)
{
    natsConnection_PublishString(r->bridge->nc, natsMsg_GetReply(msg), word);
}

void in_give_back(struct route *r)
{
    natsMsg *msg;

    for (; (msg = peek(r->in)) != NULL; drop(r->in))
        if (natsMsg_GetReply(msg))
            answer(r, msg, "-NAK");
}

/*
 * The sequence in the stream, from the subject that acknowledges:
 *   $JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.DELIVERY.TIME.PENDING
 *   $JS.ACK.DOMAIN.ACCOUNT.STREAM.CONSUMER.DELIVERED.SEQUENCE.DELIVERY.TIME.PENDING[.RANDOM]
 * 0: the message has no such subject.
 */
static uint64_t sequence_of(const char *reply, uint64_t *pending)
{
    const char *words[12];
    int n = 0;

    if (!reply || strncmp(reply, "$JS.ACK.", 8) != 0)
        return 0;
    for (const char *word = reply; word && n < 12; n++) {
        words[n] = word;
        word = strchr(word, '.');
        word = word ? word + 1 : NULL;
    }
    if (n != 9 && n < 11)
        return 0;
    const int sequence = n == 9 ? 5 : 7;
    *pending = strtoull(words[sequence + 3], NULL, 10);
    return strtoull(words[sequence], NULL, 10);
}

static void be_patient(struct route *r)
{
    r->look_again = now_ms() + r->patience;
    r->patience = r->patience < LONGEST_PATIENCE / 2 ? r->patience * 2 : LONGEST_PATIENCE;
}

/* A status message: a request has ended before all its messages have come. */
static void handle_status(struct route *r, natsMsg *msg)
{
    const char *status = NULL, *pending = NULL, *words = NULL;

    if (natsMsgHeader_Get(msg, "Status", &status) != NATS_OK || !status) {
        say(LOG_WARNING, "route %s: a message that is none of JetStream's", r->config->name);
        return;
    }
    if (strcmp(status, "100") == 0) /* a heartbeat */
        return;
    uint64_t unmet = natsMsgHeader_Get(msg, "Nats-Pending-Messages", &pending) == NATS_OK
                         ? strtoull(pending, NULL, 10)
                         : r->in->asked;
    r->in->asked -= unmet < r->in->asked ? unmet : r->in->asked;
    if (strcmp(status, "408") == 0 || strcmp(status, "404") == 0) /* no messages came in time */
        return;
    (void)natsMsgHeader_Get(msg, "Description", &words);
    say(LOG_WARNING, "route %s: consumer %s: %s %s", r->config->name, r->config->consumer, status,
        words ? words : "");
    r->in->asked = 0;
    r->ready = false; /* find the consumer again */
    be_patient(r);
}

/* Ask up to which sequence the server has all acknowledgements. */
static void look_at_floor(struct route *r)
{
    struct stream_state state;

    if (now_ms() < r->in->floor_at || stream_find(r->bridge, r->config, &state) < 0)
        return;
    r->in->floor_at = now_ms() + FLOOR_EVERY;
    seen_bind(r->in->seen, &state);
}

/* Put a message into the queue. 0: it is dealt with; -EAGAIN: try again later; other errors: the
 * route has stopped. */
static int pass(struct route *r, natsMsg *msg, uint64_t sequence)
{
    const size_t length = (size_t)natsMsg_GetDataLength(msg);
    struct seen *seen = r->in->seen;

    switch (seen_ask(seen, sequence)) {
    case SEEN_BEFORE:
        r->counters.redelivered++;
        say(LOG_DEBUG, "route %s: message %" PRIu64 " came again", r->config->name, sequence);
        answer(r, msg, "+ACK");
        return 0;
    case SEEN_TOO_FAR:
        look_at_floor(r);
        return seen_ask(seen, sequence) == SEEN_TOO_FAR ? -EAGAIN : pass(r, msg, sequence);
    default:
        break;
    }
    seen_begin(seen, sequence);
    int result = shmring_send(r->q, natsMsg_GetData(msg), length);
    if (result == 0) {
        seen_done(seen);
        r->counters.messages++;
        r->counters.bytes += length;
        answer(r, msg, "+ACK");
        return 0;
    }
    seen_abort(seen);
    if (result == -EMSGSIZE) {
        result = route_bury(r, natsMsg_GetData(msg), length, shmring_strerror_detail());
        if (result == 0)
            answer(r, msg, "+ACK");
    } else if (result == -EAGAIN) {
        route_watch(r, SHMRING_WRITABLE, true);
    } else {
        route_failed(r, result);
    }
    return result;
}

/* Check that the queue was not removed: a send does not report that. */
static bool is_still_there(struct route *r)
{
    if (now_ms() >= r->find_at || waiting(r->in) > 0) {
        r->find_at = now_ms() + CHECK_EVERY;
        int result = shmring_check(r->q);
        if (result < 0)
            route_failed(r, result);
    }
    return !r->lost && !r->stopped;
}

/* Put the messages that have come into the queue. */
static bool deal(struct route *r)
{
    struct incoming *in = r->in;
    uint64_t pending = 0;
    bool moved = false;
    natsMsg *msg;

    while (!r->stopped && !r->lost && (msg = peek(in)) != NULL) {
        uint64_t sequence = sequence_of(natsMsg_GetReply(msg), &pending);
        if (sequence == 0) {
            handle_status(r, msg);
        } else {
            if (r->connection != r->bridge->connections)
                break; /* begin_connection() must first check that the stream is the same */
            if (pass(r, msg, sequence) < 0)
                return moved;
            in->asked -= in->asked > 0;
            in->asked_at = now_ms();
            in->lag = pending;
            r->patience = 100;
        }
        drop(in);
        moved = true;
    }
    if (r->in_mux)
        route_watch(r, SHMRING_WRITABLE, false);
    return moved;
}

/* When the window is half empty, request as many messages as it has room for. */
static void ask(struct route *r)
{
    struct incoming *in = r->in;
    const uint64_t window = r->config->window;
    char request[96];

    if (in->asked > 0 && now_ms() > in->asked_at + EXPIRES + GRACE)
        in->asked = 0; /* the request must have been lost */
    uint64_t have = in->asked + waiting(in);
    if (have > window / 2)
        return;
    snprintf(request, sizeof request, "{\"batch\":%" PRIu64 ",\"expires\":%d000000}", window - have,
             EXPIRES);
    if (natsConnection_PublishRequestString(r->bridge->nc, in->next, in->inbox, request) == NATS_OK)
        in->asked += window - have;
    in->asked_at = now_ms();
}

/* A new connection: find the stream and the consumer again, and check that they are the same. */
static bool begin_connection(struct route *r)
{
    struct stream_state state;
    const uint32_t connection = r->bridge->connections;

    if (r->look_again > now_ms())
        return false;
    int result = stream_find(r->bridge, r->config, &state);
    if (result < 0) {
        if (result == -EINVAL || (result != -EAGAIN && !r->found))
            route_stop(r, "it has no consumer to pull from");
        be_patient(r);
        return false;
    }
    seen_bind(r->in->seen, &state);
    r->ready = r->found = true;
    r->connection = connection;
    r->look_again = 0;
    r->in->asked = 0;
    return true;
}

int64_t in_deadline(const struct route *r)
{
    if (r->stopped)
        return INT64_MAX;
    if (r->lost || !r->bridge->connected)
        return r->find_at;
    if (!r->ready)
        return r->look_again;
    if (waiting(r->in) > 0 && !r->in_mux) /* the messages wait, but not for the queue */
        return now_ms() + FLOOR_EVERY;
    int64_t again = r->in->asked_at + EXPIRES + GRACE + 1;
    return r->in->asked > 0 && again < r->find_at ? again : r->find_at;
}

bool in_work(struct route *r)
{
    if (r->stopped || (r->lost ? !route_find_queue(r) : !is_still_there(r)))
        return false;
    if (r->ready && r->connection != r->bridge->connections)
        r->ready = false;
    if (r->bridge->connected && !r->ready && !begin_connection(r))
        return false;
    bool moved = deal(r);
    if (r->ready && r->bridge->connected && !r->stopped && !r->lost && !r->bridge->stopping)
        ask(r);
    return moved;
}
