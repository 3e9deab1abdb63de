/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

enum { PREFIX = 4, AT_ONCE = 64, ENOUGH = 64 * 1024 /* bytes to write at once */ };

struct receiver {
    shmring_t *q;
    const char *name;
    bool length_prefixed;
    bool eof;
    bool new_producer; /* --eof: producers that left before this command started do not count */
    bool met_producer; /* a producer that counts was seen */
    uint64_t producers_before; /* how often a producer had attached before this command started */
    uint64_t count;            /* messages to receive; UINT64_MAX: no limit */
    uint64_t received;
    /* Messages peeked and not released, each as two pieces of output. */
    int held;
    const void *messages[AT_ONCE];
    unsigned char prefixes[AT_ONCE][PREFIX];
    struct iovec pieces[2 * AT_ONCE];
};

/* Peek at most AT_ONCE messages, until they are ENOUGH bytes. Returns 0, or the error that ended
 * it. */
static int hold(struct receiver *r)
{
    static char newline[] = "\n";
    size_t bytes = 0;
    for (r->held = 0; r->held < AT_ONCE && bytes < ENOUGH; r->held++) {
        int i = r->held;
        if (r->received + (uint64_t)i == r->count)
            break;
        ssize_t n = shmring_peek(r->q, &r->messages[i], NULL);
        if (n < 0)
            return (int)n;
        struct iovec payload = {.iov_base = (void *)(uintptr_t)r->messages[i], (size_t)n};
        if (r->length_prefixed) {
            for (int byte = 0; byte < PREFIX; byte++)
                r->prefixes[i][byte] = (unsigned char)((uint64_t)n >> (8 * byte));
            r->pieces[2 * i] = (struct iovec){.iov_base = r->prefixes[i], PREFIX};
            r->pieces[2 * i + 1] = payload;
        } else {
            r->pieces[2 * i] = payload;
            r->pieces[2 * i + 1] = (struct iovec){.iov_base = newline, 1};
        }
        bytes += payload.iov_len + PREFIX;
    }
    return 0;
}

/* Write the messages held, and release each when it is written. A message that cannot be written
 * stays in the queue. */
static int write_held(struct receiver *r)
{
    for (int piece = 0; piece < 2 * r->held;) {
        if (stop_signal)
            return -EINTR;
        ssize_t n = writev(STDOUT_FILENO, &r->pieces[piece], 2 * r->held - piece);
        if (n < 0) {
            if (errno == EAGAIN)
                wait_ready(STDOUT_FILENO, POLLOUT);
            else if (errno != EINTR)
                return -errno;
            continue;
        }
        size_t out = (size_t)n;
        for (; piece < 2 * r->held && out >= r->pieces[piece].iov_len; piece++) {
            out -= r->pieces[piece].iov_len;
            if (piece % 2 == 1) {
                shmring_release(r->q, r->messages[piece / 2]);
                r->received++;
            }
        }
        if (out > 0) {
            r->pieces[piece].iov_base = (char *)r->pieces[piece].iov_base + out;
            r->pieces[piece].iov_len -= out;
        }
    }
    return 0;
}

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
static int heed_hangup(struct receiver *r, bool bits)
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
        heed_hangup(r, false);
        rc = wait_for_event(waiting, r->q, SHMRING_READABLE, patience);
        heed_hangup(r, true);
    } else if (rc == -ESTALE && r->eof && producers_left(r) == 1) {
        return 1; /* the producers have left, and the queue was removed */
    }
    if (rc != 1)
        return rc;
    /* Has the reader of the output closed it? A write would tell, but there may never be one. */
    struct pollfd output = {.fd = STDOUT_FILENO};
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

static int receive(struct receiver *r, const struct patience *patience)
{
    struct waiting waiting = {0};
    int ended = 0;
    while (r->received < r->count) {
        int rc = hold(r);
        if (r->held > 0) { /* an error that ended hold() comes again when these are written */
            rc = write_held(r);
            if (rc < 0 && rc != -EINTR && rc != -EPIPE)
                return complain("stdout", "cannot write: %s", strerror(-rc));
            if (rc < 0)
                return explain(r, rc);
            waiting.started = false;
            ended = 0;
            continue;
        }
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

static int open_queue(struct receiver *r, const struct patience *patience)
{
    shmring_t *observer;
    int status = attach(&observer, r->name, SHMRING_OBSERVER, patience);
    if (status != EXIT_OK)
        return status;
    int rc = r->new_producer ? note_producers(r, observer) : 0;
    if (rc == 0) {
        rc = shmring_dup(&r->q, observer, SHMRING_CONSUMER);
        if (rc == 0 && r->eof)
            rc = heed_hangup(r, true);
        if (rc < 0)
            status = failed(r->name, "cannot open", rc);
    } else {
        status = failed(r->name, "cannot read its description", rc);
    }
    shmring_close(&observer);
    return status;
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"length-prefixed", no_argument, NULL, 'l'},
        {"count", required_argument, NULL, 'c'},
        {"eof", no_argument, NULL, 'e'},
        {"new-producer", no_argument, NULL, 'p'},
        PATIENCE_OPTIONS,
        {0},
    };
    struct receiver r = {.count = UINT64_MAX};
    struct patience patience = {0};
    int status;

    for (int option;
         (option = getopt_long(argc, argv, "lc:ep" PATIENCE_LETTERS, options, NULL)) != -1;) {
        switch (option) {
        case 'l':
            r.length_prefixed = true;
            break;
        case 'c':
            if (!parse_count(optarg, &r.count))
                return bad_value(self, "--count", optarg, "a number");
            break;
        case 'p':
            r.new_producer = true;
            r.eof = true;
            break;
        case 'e':
            r.eof = true;
            break;
        default:
            status = patience_option(&patience, self, option);
            if (status != GO_ON)
                return status;
        }
    }
    if (argc - optind != 1)
        return usage(self, "one NAME, please");

    r.name = argv[optind];
    status = open_queue(&r, &patience);
    if (status != EXIT_OK)
        return status;
    catch_signals();
    status = receive(&r, &patience);
    shmring_close(&r.q);
    return status;
}

const struct command recv_command = {
    .name = "recv",
    .arguments = "[OPTION]... NAME",
    .summary = "write the messages of a queue to standard output, one a line",
    .options =
        "  -l, --length-prefixed  put a 4-byte little-endian length before each, and no newline\n"
        "  -c, --count N          end after N messages\n"
        "  -e, --eof              end when the queue is empty and its producers have left;\n"
        "                         if none ever came, wait for one\n"
        "  -p, --new-producer     the same, but producers that left before now do not count\n"
        "  -w, --wait-open        wait for the queue to appear\n"
        "  -t, --timeout SECONDS  wait no longer than that for the queue, or for a message\n"
        "  -n, --no-wait          take what is there; exit with 3 when that is nothing,\n"
        "                         or less than --count\n",
    .notes = "Without --count, --eof, --timeout or --no-wait it goes on until it is interrupted.\n"
             "A message leaves the queue only after it was written.\n",
    .missing = "'shmring create' makes it, --wait-open waits for it",
    .run = run,
};
