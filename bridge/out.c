/* SPDX-License-Identifier: MIT */
/*
 * From a queue to a subject. A message that was peeked flies: it gets a number, is published with
 * the number in the reply subject, and stays in the queue. The acknowledgement comes to that
 * subject. The messages before the first one that still flies are released, in their order.
 *
 * Each message is published with an id made of the queue's identity and the message's position,
 * unless the route says not to. The id is the same when the message is redelivered, also to another
 * bridge, so JetStream drops the duplicate.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

enum {
    AT_A_TIME = 256,
    LONGEST_PATIENCE = 5000 /* ms */,
    HEADER = 64 /* bytes: the header with the id */,
    INBOX_MAX = 100
};

/* JetStream's error for a message that is longer than the stream takes. */
#define TOO_LARGE_CODE "\"err_code\":10054"

/* The state word of a flight: its number and, in the two lowest bits, one of these. A late answer
 * to an earlier message in the same place does not match the number. */
enum { FLYING, ACKNOWLEDGED, REFUSED, TOO_LARGE };

struct flight {
    _Atomic uint64_t word;
    const void *msg;
    uint64_t position;
    uint32_t length;
};

/* A text of which only the number at its end changes. */
struct text {
    size_t fixed;
    char bytes[128];
};

struct outgoing {
    struct flight *flights; /* a ring of mask + 1 */
    uint64_t mask;
    uint64_t window;
    uint64_t first, next; /* numbers from first to next - 1 fly */
    struct text reply;    /* the inbox, and a flight's number */
    struct text id;       /* the queue's identity, and a message's position */
    int64_t answered;     /* ms: when a message was last released, or the first one published */
    int64_t maximum;      /* the longest message that the server takes */
    natsSubscription *sub;
    /* The other thread's: */
    _Atomic bool trouble; /* a message was refused */
    pthread_mutex_t mutex;
    char why[200]; /* under the mutex */
};

static uint64_t word_of(uint64_t number, unsigned state)
{
    return number << 2 | state;
}

static struct flight *flight_at(const struct outgoing *o, uint64_t number)
{
    return &o->flights[number & o->mask];
}

/* ---- In the thread of libnats -----------------------------------------------------------------
 */

static bool has(natsMsg *answer, const char *text)
{
    return memmem(natsMsg_GetData(answer), (size_t)natsMsg_GetDataLength(answer), text,
                  strlen(text)) != NULL;
}

/* Keep the server's reason, for the log. */
static void note_trouble(struct outgoing *o, natsMsg *answer, bool unheard)
{
    pthread_mutex_lock(&o->mutex);
    if (unheard)
        snprintf(o->why, sizeof o->why, "no stream takes this subject, or JetStream is not there");
    else
        snprintf(o->why, sizeof o->why, "%.*s", natsMsg_GetDataLength(answer),
                 natsMsg_GetData(answer));
    pthread_mutex_unlock(&o->mutex);
    o->trouble = true;
}

static void on_answer(natsConnection *nc, natsSubscription *sub, natsMsg *answer, void *route)
{
    struct route *r = route;
    struct outgoing *o = r->out;
    const char *subject = natsMsg_GetSubject(answer);
    const uint64_t number = strtoull(strrchr(subject, '.') + 1, NULL, 16);
    struct flight *flight = flight_at(o, number);
    const bool unheard = natsMsg_IsNoResponders(answer);
    unsigned state = ACKNOWLEDGED;

    (void)nc;
    (void)sub;
    if (unheard || has(answer, "\"error\":"))
        state = !unheard && has(answer, TOO_LARGE_CODE) ? TOO_LARGE : REFUSED;
    else if (!has(answer, "\"seq\":"))
        state = REFUSED; /* not an answer of JetStream */
    if (state != ACKNOWLEDGED)
        note_trouble(o, answer, unheard);
    else if (has(answer, "\"duplicate\":"))
        r->counters.redelivered++;
    natsMsg_Destroy(answer);

    uint64_t expected = word_of(number, FLYING);
    if (!atomic_compare_exchange_strong(&flight->word, &expected, word_of(number, state)) &&
        state == ACKNOWLEDGED && expected == word_of(number, REFUSED))
        atomic_compare_exchange_strong(&flight->word, &expected, word_of(number, state));
    wake_main(r->bridge);
}

/* ---- In the main thread -----------------------------------------------------------------------
 */

static uint64_t mix(uint64_t hash, const void *data, size_t n)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* FNV-1a of the facts that tell this queue from any other. */
static uint64_t identity_of(const struct shmring_stat *st)
{
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), st->name, strlen(st->name));

    hash = mix(hash, &st->created_ns, sizeof st->created_ns);
    return mix(hash, &st->creator_pid, sizeof st->creator_pid);
}

int out_open(struct route *r)
{
    struct outgoing *o = calloc(1, sizeof *o);
    char pattern[128], *inbox = NULL;

    if (!o)
        return -ENOMEM;
    r->out = o;
    pthread_mutex_init(&o->mutex, NULL);
    o->window = r->config->window;
    for (o->mask = 1; o->mask < o->window; o->mask *= 2)
        continue;
    o->flights = calloc(o->mask, sizeof *o->flights);
    o->mask--;
    if (!o->flights)
        return -ENOMEM;
    o->first = o->next = 1; /* 0 is the number in the places of the ring that were never used */

    natsStatus s = natsInbox_Create(&inbox);
    if (s == NATS_OK && strlen(inbox) > INBOX_MAX)
        s = NATS_INSUFFICIENT_BUFFER;
    if (s == NATS_OK) {
        o->reply.fixed = (size_t)snprintf(o->reply.bytes, sizeof o->reply.bytes, "%s.", inbox);
        snprintf(pattern, sizeof pattern, "%s.*", inbox);
        s = natsConnection_Subscribe(&o->sub, r->bridge->nc, pattern, on_answer, r);
    }
    if (s == NATS_OK)
        s = natsSubscription_SetPendingLimits(o->sub, -1, -1);
    natsInbox_Destroy(inbox);
    if (s != NATS_OK) {
        say(LOG_ERROR, "route %s: %s", r->config->name, natsStatus_GetText(s));
        return -EIO;
    }
    return 0;
}

int out_bind(struct route *r)
{
    struct outgoing *o = r->out;
    struct shmring_stat st;
    int result = shmring_stat(r->q, &st);

    if (result < 0)
        return result;
    o->id.fixed =
        (size_t)snprintf(o->id.bytes, sizeof o->id.bytes, "%016" PRIx64 "-", identity_of(&st));
    route_watch(r, SHMRING_READABLE, true);
    return 0;
}

void out_silence(struct route *r)
{
    server_unsubscribe(r->out->sub);
    r->out->sub = NULL;
}

void out_close(struct route *r)
{
    free(r->out->flights);
    free(r->out);
    r->out = NULL;
}

uint64_t out_in_flight(const struct route *r)
{
    return r->out->next - r->out->first;
}

/* Write the number in hexadecimal behind the text. snprintf() would cost a tenth of what publishing
 * does. */
static void append(struct text *text, uint64_t number)
{
    char digits[17], *digit = digits + 16;

    *digit = '\0';
    do
        *--digit = "0123456789abcdef"[number % 16];
    while ((number /= 16) != 0);
    strcpy(text->bytes + text->fixed, digit);
}

static natsStatus publish_with_id(const struct route *r, const struct flight *flight)
{
    struct outgoing *o = r->out;
    natsMsg *msg = NULL;

    append(&o->id, flight->position);
    natsStatus s =
        natsMsg_Create(&msg, r->config->subject, o->reply.bytes, flight->msg, (int)flight->length);
    if (s == NATS_OK)
        s = natsMsgHeader_Set(msg, "Nats-Msg-Id", o->id.bytes);
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(r->bridge->nc, msg);
    natsMsg_Destroy(msg);
    return s;
}

static void fly(struct route *r, uint64_t number)
{
    struct outgoing *o = r->out;
    struct flight *flight = flight_at(o, number);

    flight->word = word_of(number, FLYING);
    append(&o->reply, number);
    natsStatus s = r->config->ids ? publish_with_id(r, flight)
                                  : natsConnection_PublishRequest(r->bridge->nc, r->config->subject,
                                                                  o->reply.bytes, flight->msg,
                                                                  (int)flight->length);
    if (s == NATS_OK)
        return;
    pthread_mutex_lock(&o->mutex);
    snprintf(o->why, sizeof o->why, "%s", natsStatus_GetText(s));
    pthread_mutex_unlock(&o->mutex);
    uint64_t expected = word_of(number, FLYING);
    atomic_compare_exchange_strong(&flight->word, &expected, word_of(number, REFUSED));
    o->trouble = true;
}

/* Publish again what was refused, and, if asked, what was not answered. */
static void fly_again(struct route *r, bool unanswered)
{
    struct outgoing *o = r->out;
    int again = 0;

    for (uint64_t number = o->first; number != o->next; number++) {
        uint64_t word = flight_at(o, number)->word;
        if (word == word_of(number, REFUSED) || (unanswered && word == word_of(number, FLYING))) {
            fly(r, number);
            again++;
        }
    }
    o->answered = now_ms();
    if (again > 0)
        say(LOG_DEBUG, "route %s: %d published again", r->config->name, again);
}

/* Put a message that no stream takes into the dead letters. False: try again later. */
static bool bury(struct route *r, uint64_t number, const char *why)
{
    struct flight *flight = flight_at(r->out, number);

    if (route_bury(r, flight->msg, flight->length, why) < 0)
        return false;
    flight->word = word_of(number, ACKNOWLEDGED);
    return true;
}

/* Let the route pause for r->patience ms, and double that for the next time. */
static void be_patient(struct route *r)
{
    r->look_again = now_ms() + r->patience;
    r->patience = r->patience < LONGEST_PATIENCE / 2 ? r->patience * 2 : LONGEST_PATIENCE;
}

/* Messages were refused: bury those that the server will never take, and publish the others again
 * later. */
static void handle_trouble(struct route *r)
{
    struct outgoing *o = r->out;
    char why[sizeof o->why];
    bool later = false;

    o->trouble = false;
    pthread_mutex_lock(&o->mutex);
    memcpy(why, o->why, sizeof why);
    pthread_mutex_unlock(&o->mutex);
    for (uint64_t number = o->first; number != o->next && !r->stopped; number++) {
        uint64_t word = flight_at(o, number)->word;
        if (word == word_of(number, TOO_LARGE) && !bury(r, number, why))
            o->trouble = later = true; /* the dead-letter queue is full */
        later = later || word == word_of(number, REFUSED);
    }
    if (later && r->look_again == 0) {
        say(LOG_WARNING, "route %s: trying again later: %s", r->config->name, why);
        be_patient(r);
    }
}

static bool release(struct route *r)
{
    struct outgoing *o = r->out;
    uint64_t before = o->first, bytes = 0;

    while (o->first != o->next) {
        struct flight *flight = flight_at(o, o->first);
        if (flight->word != word_of(o->first, ACKNOWLEDGED))
            break;
        int result = shmring_release(r->q, flight->msg);
        if (result < 0) {
            route_stop(r, shmring_strerror_detail());
            break;
        }
        bytes += flight->length;
        o->first++;
    }
    if (o->first == before)
        return false;
    r->counters.messages += o->first - before;
    r->counters.bytes += bytes;
    r->patience = 100;
    o->answered = now_ms();
    return true;
}

/* A new connection: find the stream, and publish again what is in flight. */
static bool begin_connection(struct route *r)
{
    struct stream_state state;
    const uint32_t connection = r->bridge->connections;

    if (r->look_again > now_ms())
        return false;
    int result = stream_find(r->bridge, r->config, &state);
    if (result < 0) {
        if (result != -EAGAIN && !r->found)
            route_stop(r, "it has no stream to publish to");
        be_patient(r);
        return false;
    }
    r->ready = r->found = true;
    r->connection = connection;
    r->look_again = 0;
    r->out->maximum = natsConnection_GetMaxPayload(r->bridge->nc) - (r->config->ids ? HEADER : 0);
    fly_again(r, true);
    return true;
}

/* Peek messages and publish them. */
static bool take_off(struct route *r)
{
    struct outgoing *o = r->out;
    int taken = 0;

    for (; taken < AT_A_TIME && o->next - o->first < o->window && !r->stopped && !r->lost;
         taken++) {
        struct flight *flight = flight_at(o, o->next);
        struct shmring_info info;
        const void *msg;
        ssize_t length = shmring_peek(r->q, &msg, &info);
        if (length < 0) {
            if (length != -EAGAIN)
                route_failed(r, (int)length);
            break;
        }
        if (o->first == o->next)
            o->answered = now_ms();
        flight->msg = msg;
        flight->length = (uint32_t)length;
        flight->position = info.position;
        if (length > o->maximum) {
            flight->word = word_of(o->next, TOO_LARGE);
            pthread_mutex_lock(&o->mutex);
            snprintf(o->why, sizeof o->why, "the server takes at most %lld bytes",
                     (long long)o->maximum);
            pthread_mutex_unlock(&o->mutex);
            o->trouble = true;
            o->next++;
            continue;
        }
        fly(r, o->next++);
    }
    return taken > 0;
}

int64_t out_deadline(const struct route *r)
{
    if (r->stopped)
        return INT64_MAX;
    if (r->lost && out_in_flight(r) == 0)
        return r->find_at;
    if (!r->bridge->connected)
        return INT64_MAX;
    if (r->look_again != 0)
        return r->look_again;
    return out_in_flight(r) > 0 ? r->out->answered + (int64_t)r->config->ack_wait : INT64_MAX;
}

bool out_work(struct route *r, bool *blocked)
{
    struct outgoing *o = r->out;
    bool moved = release(r);

    /* The queue was removed: publish first what was taken from it. */
    *blocked = true;
    if (r->lost && !r->stopped && out_in_flight(r) == 0 && !route_find_queue(r))
        return moved;
    if (r->ready && r->connection != r->bridge->connections)
        r->ready = false;
    if (r->bridge->connected && !r->ready && !r->stopped)
        moved |= begin_connection(r);
    if (r->stopped)
        return false;
    if (o->trouble)
        handle_trouble(r);
    if (r->ready && r->bridge->connected) {
        int64_t now = now_ms();
        if (r->look_again != 0 && now >= r->look_again) {
            r->look_again = 0;
            fly_again(r, false);
            if (o->trouble)
                handle_trouble(r);
        } else if (out_in_flight(r) > 0 && now - o->answered > (int64_t)r->config->ack_wait) {
            say(LOG_WARNING, "route %s: no acknowledgement for %llu ms: publishing again",
                r->config->name, (unsigned long long)r->config->ack_wait);
            fly_again(r, true);
        }
        if (r->look_again == 0 && !r->bridge->stopping)
            moved |= take_off(r);
    }
    *blocked = r->lost || !r->bridge->connected || !r->ready || r->look_again != 0 ||
               out_in_flight(r) == o->window;
    return moved;
}
