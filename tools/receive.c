/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "receive.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

/* ---- Taking messages ------------------------------------------------------------------------- */

/* Take a message that is to be written from where it stands. Returns 0 or an error. */
static int take_in_place(struct receiver *r, struct taken *taken)
{
    struct shmring_info info;
    ssize_t n = shmring_peek(r->q, &taken->payload, &info);
    if (n < 0)
        return (int)n;
    taken->length = (uint32_t)n;
    taken->flags = info.flags;
    taken->number = r->received + (uint64_t)r->held;
    r->messages[r->held] = taken->payload;
    return 0;
}

/* Broadcast: copy a message. The release says whether the copy is whole. */
static int take_copy(struct receiver *r, unsigned char *copy, struct taken *taken)
{
    struct shmring_info info;
    const void *message;
    ssize_t n = shmring_peek(r->q, &message, &info);
    if (n < 0)
        return (int)n;
    memcpy(copy, message, (size_t)n);
    int rc = shmring_release(r->q, message);
    if (rc < 0)
        return rc;
    *taken = (struct taken){copy, (uint32_t)n, info.flags, info.number};
    r->messages[r->held] = NULL;
    return 0;
}

/* The next two pieces of output: a frame, and maybe a message. */
static void add_pieces(struct receiver *r, size_t frame, const struct taken *taken)
{
    const int i = r->held++;
    const struct iovec before = {.iov_base = r->frames[i], frame};
    const struct iovec message = {.iov_base = (void *)(uintptr_t)(taken ? taken->payload : NULL),
                                  taken ? taken->length : 0};

    r->is_message[i] = taken != NULL;
    r->pieces[2 * i] = r->framing->behind ? message : before;
    r->pieces[2 * i + 1] = r->framing->behind ? before : message;
}

/* Take at most AT_ONCE messages, until they are ENOUGH bytes. Returns 0, or the error that ended
 * it. */
static int hold(struct receiver *r)
{
    size_t bytes = 0;
    for (r->held = 0; r->held < AT_ONCE && bytes < ENOUGH;) {
        struct taken taken;
        if (r->received + (uint64_t)r->held == r->count)
            break;
        int rc = r->copies ? take_copy(r, r->copies + bytes, &taken) : take_in_place(r, &taken);
        if (rc < 0)
            return rc;
        bytes += taken.length + FRAME_MOST;
        add_pieces(r, r->framing->frame(&taken, r->frames[r->held]), &taken);
    }
    return 0;
}

/* ---- Writing them ---------------------------------------------------------------------------- */

/* Write what is held, and release each message when it is written. A message of an spsc or mpmc
 * queue that cannot be written stays in the queue. */
static int write_held(struct receiver *r)
{
    for (int piece = 0; piece < 2 * r->held;) {
        if (stop_signal)
            return -EINTR;
        ssize_t n = writev(r->out, &r->pieces[piece], 2 * r->held - piece);
        if (n < 0) {
            if (errno == EAGAIN)
                wait_ready(r->out, POLLOUT);
            else if (errno != EINTR) {
                r->unwritten = true;
                return -errno;
            }
            continue;
        }
        size_t out = (size_t)n;
        for (; piece < 2 * r->held && out >= r->pieces[piece].iov_len; piece++) {
            out -= r->pieces[piece].iov_len;
            if (piece % 2 == 0 || !r->is_message[piece / 2])
                continue;
            if (r->messages[piece / 2])
                shmring_release(r->q, r->messages[piece / 2]);
            r->received++;
        }
        if (out > 0) {
            r->pieces[piece].iov_base = (char *)r->pieces[piece].iov_base + out;
            r->pieces[piece].iov_len -= out;
        }
        r->torn = out > 0 || piece % 2 == 1;
    }
    return 0;
}

int write_frame(struct receiver *r, size_t length)
{
    r->held = 0;
    add_pieces(r, length, NULL);
    return write_held(r);
}

/* ---- Missed messages ------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

/* Tell standard error how many messages were missed: at most once a second, as the producer may
 * overtake this command a thousand times a second. */
static void say_missed(struct receiver *r, bool at_once)
{
    if (r->missed == r->missed_said ||
        (!at_once && r->missed_said > 0 && now_ns() - r->said_ns < SECOND_NS))
        return;
    complain(r->name, "missed %" PRIu64 " message%s, %" PRIu64 " in all: the producer was faster",
             r->missed - r->missed_said, plural(r->missed - r->missed_said), r->missed);
    r->missed_said = r->missed;
    r->said_ns = now_ns();
}

/* The producer has overtaken this command. */
static int note_missed(struct receiver *r)
{
    struct shmring_stat stat;
    int rc = shmring_stat(r->q, &stat);
    if (rc < 0)
        return rc;
    const uint64_t missed = stat.missed_here - r->missed;
    r->missed = stat.missed_here;
    say_missed(r, false);
    return r->framing->gap && missed > 0 ? write_frame(r, r->framing->gap(missed, r->frames[0]))
                                         : 0;
}

/* ---- Waiting, and the end -------------------------------------------------------------------- */

/*
 * Has a producer been attached, and is none attached now? 1, 0, or an error. While another consumer
 * holds a message the answer is no: if that consumer dies or leaves, the message may come to this
 * one.
 */
static int producers_left(struct receiver *r)
{
    struct view view;
    int rc = view_take(r->q, &view);
    if (rc < 0)
        return rc;
    bool here = false, held = false;
    for (int i = 0; i < view.n; i++) {
        here = here || (view.rows[i].alive && view.rows[i].role & SHMRING_PRODUCER);
        held = held || view.rows[i].held > 0;
    }
    r->met_producer = r->met_producer || here ||
                      view.stat.producers_ever > (r->new_producer ? r->producers_before : 0);
    view_free(&view);
    return r->met_producer && !here && !held;
}

/* Choose whether waiting ends with -EPIPE when the last producer has left. */
static int end_waits_at_hangup(struct receiver *r, bool bits)
{
    struct shmring_waiting how = {.spin_ns = 50000, .flags = bits ? SHMRING_WAIT_HANGUP : 0};
    return shmring_set_waiting(r->q, &how);
}

/*
 * The queue is empty: wait, unless --eof or --no-wait says to end. Returns 0; 1: --eof, and all
 * producers have left; or an error.
 */
static int wait_for_more(struct receiver *r, struct waiting *waiting,
                         const struct patience *patience)
{
    int rc = wait_for_event(waiting, r->q, SHMRING_READABLE, patience);
    if (rc == -EPIPE) { /* all producers have left; has one of them been a producer that counts? */
        rc = producers_left(r);
        if (rc != 0)
            return rc;
        end_waits_at_hangup(r, false);
        rc = wait_for_event(waiting, r->q, SHMRING_READABLE, patience);
        end_waits_at_hangup(r, true);
    } else if (rc == -ESTALE && r->eof && producers_left(r) == 1) {
        return 1; /* the producers have left, and the queue was removed */
    }
    if (rc != 1)
        return rc;
    say_missed(r, false);
    /* Has the reader of the output closed it? A write would tell, but there may never be one. */
    struct pollfd output = {.fd = r->out};
    if (poll(&output, 1, 0) > 0 && output.revents & POLLERR)
        return -EPIPE;
    return 0;
}

/* Say why fewer messages were received than the user asked for. */
static int explain(const struct receiver *r, int error)
{
    switch (error) {
    case -EPIPE: /* the reader of the output has closed it: end as cat does */
        stop_signal = SIGPIPE;
        return EXIT_FAILED;
    case -EINTR:
        return EXIT_FAILED; /* main() then ends the process by that signal */
    case -EAGAIN:
        if (r->count == UINT64_MAX && r->received > 0)
            return EXIT_OK; /* --no-wait: all that was in the queue is written */
        complain(r->name, "the queue is empty");
        return EXIT_GAVE_UP;
    case -ETIMEDOUT:
        complain(r->name, "the queue stayed empty: 'shmring who' lists the producers");
        return EXIT_GAVE_UP;
    default:
        return failed(r->name, "cannot receive", error);
    }
}

/* Take and write messages once. Returns 0; -EAGAIN: there was none; or another error. */
static int pass_on(struct receiver *r)
{
    int rc = hold(r), written = r->held > 0 ? write_held(r) : 0;
    if (written < 0)
        return written;
    if (rc == -EOVERFLOW)
        return note_missed(r);
    return r->held > 0 ? 0 : rc; /* an error that ended hold() comes again */
}

static int receive_all(struct receiver *r, const struct patience *patience)
{
    struct waiting waiting = {0};
    int ended = 0;
    while (r->received < r->count) {
        int rc = pass_on(r);
        if (rc == 0) {
            waiting.started = false;
            ended = 0;
            continue;
        }
        if (r->unwritten && rc != -EPIPE)
            return complain(r->out_name, "cannot write: %s", strerror(-rc));
        if (rc != -EAGAIN)
            return explain(r, rc);
        if (ended) /* and the queue was polled again since: a producer may have sent just before it
                      left */
            return r->count == UINT64_MAX ? EXIT_OK : explain(r, -ETIMEDOUT);
        ended = wait_for_more(r, &waiting, patience);
        if (ended < 0)
            return explain(r, ended);
    }
    return EXIT_OK;
}

int receive(struct receiver *r, const struct patience *patience)
{
    const int status = receive_all(r, patience);
    say_missed(r, true);
    return status == EXIT_OK && r->missed > 0 ? EXIT_MISSED : status;
}

/* --new-producer: note how many producers had attached before this command started. A producer of
 * those that is still attached counts. */
static int note_producers(struct receiver *r, shmring_t *q)
{
    struct view view;
    int rc = view_take(q, &view);
    if (rc < 0)
        return rc;
    r->producers_before = view.stat.producers_ever;
    for (int i = 0; i < view.n; i++)
        r->met_producer =
            r->met_producer || (view.rows[i].alive && view.rows[i].role & SHMRING_PRODUCER);
    view_free(&view);
    return 0;
}

/* Is it a queue whose messages are copied? Then allocate room for that. */
static int prepare(struct receiver *r)
{
    struct shmring_stat stat;
    int rc = shmring_stat(r->q, &stat);
    if (rc == 0 && kind_view(stat.kind)->to_each)
        r->copies = must(malloc(ENOUGH + (size_t)stat.max_message));
    return rc;
}

int receiver_open(struct receiver *r, const struct patience *patience)
{
    shmring_t *observer;
    int status = attach(&observer, r->name, SHMRING_OBSERVER, patience);
    if (status != EXIT_OK)
        return status;
    int rc = r->new_producer ? note_producers(r, observer) : 0;
    if (rc == 0) {
        rc = shmring_dup(&r->q, observer, SHMRING_CONSUMER | r->from);
        if (rc == 0)
            rc = prepare(r);
        if (rc == 0 && r->eof)
            rc = end_waits_at_hangup(r, true);
        if (rc < 0)
            status = failed(r->name, "cannot open", rc);
    } else {
        status = failed(r->name, "cannot read its description", rc);
    }
    shmring_close(&observer);
    return status;
}

void receiver_close(struct receiver *r)
{
    shmring_close(&r->q);
    free(r->copies);
}

/* ---- Options --------------------------------------------------------------------------------- */

static bool parse_from(const char *text, unsigned *from)
{
    static const struct {
        const char *name;
        unsigned option;
    } places[] = {{"newest", 0}, {"oldest", SHMRING_FROM_OLDEST}, {"key", SHMRING_FROM_KEY}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strcmp(text, places[i].name) == 0) {
            *from =
                (*from & ~(unsigned)(SHMRING_FROM_OLDEST | SHMRING_FROM_KEY)) | places[i].option;
            return true;
        }
    return false;
}

int receiver_option(struct receiver *r, struct patience *patience, const struct command *self,
                    int option)
{
    switch (option) {
    case 'c':
        return parse_count(optarg, &r->count) ? GO_ON
                                              : bad_value(self, "--count", optarg, "a number");
    case 'p':
        r->new_producer = true;
        r->eof = true;
        return GO_ON;
    case 'e':
        r->eof = true;
        return GO_ON;
    case 'f':
        return parse_from(optarg, &r->from)
                   ? GO_ON
                   : bad_value(self, "--from", optarg, "newest, oldest or key");
    case 'r':
        r->from |= SHMRING_RELIABLE;
        return GO_ON;
    default:
        return patience_option(patience, self, option);
    }
}
