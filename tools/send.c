/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

enum { BATCH = 64, PREFIX = 4 };

/* Standard input, cut into messages; buf[start, end) was read and is not cut yet. */
struct input {
    char *buf;
    size_t size, start, end;
    size_t scanned; /* bytes from start on that hold no newline */
    uint32_t max_message;
    bool eof;
};

/* Cuts the next message from what was read. Returns 1; 0: more must be read first, or, at the end
 * of the input, there is none; -EMSGSIZE; -EPIPE: the input ends within a message. */
typedef int cut_fn(struct input *in, struct iovec *message);

static int cut_line(struct input *in, struct iovec *message)
{
    char *line = in->buf + in->start;
    size_t have = in->end - in->start;
    const char *newline =
        have > in->scanned ? memchr(line + in->scanned, '\n', have - in->scanned) : NULL;
    size_t length = newline ? (size_t)(newline - line) : have;
    in->scanned = length;
    if (length > in->max_message)
        return -EMSGSIZE;
    if (!newline && (!in->eof || have == 0))
        return 0;
    *message = (struct iovec){.iov_base = line, .iov_len = length};
    in->start += length + (newline ? 1 : 0);
    in->scanned = 0;
    return 1;
}

static int cut_prefixed(struct input *in, struct iovec *message)
{
    const unsigned char *p = (const unsigned char *)in->buf + in->start;
    size_t have = in->end - in->start;
    if (have >= PREFIX) {
        uint32_t length =
            (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        if (length > in->max_message)
            return -EMSGSIZE;
        if (have - PREFIX >= length) {
            *message = (struct iovec){.iov_base = in->buf + in->start + PREFIX, .iov_len = length};
            in->start += PREFIX + (size_t)length;
            return 1;
        }
    }
    return in->eof && have > 0 ? -EPIPE : 0;
}

/* Read more. What is not cut yet moves to the front first, and the buffer grows if it is full. */
static int fill(struct input *in)
{
    if (in->start > 0) {
        memmove(in->buf, in->buf + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    if (in->end == in->size) {
        size_t size = in->size ? in->size * 2 : 64 * 1024;
        in->buf = must(realloc(in->buf, size));
        in->size = size;
    }
    for (;;) {
        if (stop_signal)
            return -EINTR;
        ssize_t n = read(STDIN_FILENO, in->buf + in->end, in->size - in->end);
        if (n >= 0) {
            in->end += (size_t)n;
            in->eof = n == 0;
            return 0;
        }
        if (errno == EAGAIN)
            wait_ready(STDIN_FILENO, POLLIN);
        else if (errno != EINTR)
            return -errno;
    }
}

/* As shmring_send_batch(), or one message with these flags. */
static int send_some(shmring_t *q, const struct iovec *messages, int n, unsigned flags)
{
    if (flags == 0)
        return shmring_send_batch(q, messages, n);
    int rc = shmring_send_flags(q, messages[0].iov_base, messages[0].iov_len, flags);
    return rc < 0 ? rc : 1;
}

/* Send n messages, waiting for room as patience says; *sent says how many were sent. */
static int send_all(shmring_t *q, const struct patience *patience, const struct iovec *messages,
                    int n, unsigned flags, uint64_t *sent)
{
    struct waiting waiting = {0};
    while (n > 0) {
        int rc = send_some(q, messages, n, flags);
        if (rc > 0) {
            messages += rc;
            n -= rc;
            *sent += (uint64_t)rc;
            waiting.started = false;
        } else if (rc != -EAGAIN ||
                   (rc = wait_for_event(&waiting, q, SHMRING_WRITABLE, patience)) < 0) {
            return rc;
        }
    }
    return 0;
}

/* Say why sending stopped, and which message was the first that was not sent. */
static int explain(const char *name, const struct input *in, const char *unit, uint64_t number,
                   int error)
{
    switch (error) {
    case -EINTR:
        return EXIT_FAILED; /* main() then ends the process by that signal */
    case -EAGAIN:
        complain(name, "%s %" PRIu64 ": the queue is full", unit, number);
        return EXIT_GAVE_UP;
    case -ETIMEDOUT:
        complain(name, "%s %" PRIu64 ": the queue stayed full: 'shmring who' lists the consumers",
                 unit, number);
        return EXIT_GAVE_UP;
    case -EMSGSIZE:
        return complain(name,
                        "%s %" PRIu64 ": longer than %" PRIu32
                        " bytes, the longest message: see --max-message and --capacity of 'shmring "
                        "create'",
                        unit, number, in->max_message);
    case -EPIPE:
        return complain(name, "%s %" PRIu64 ": the input ends within it", unit, number);
    default:
        return complain(name, "%s %" PRIu64 ": %s", unit, number, shmring_strerror_detail());
    }
}

static int send_input(shmring_t *q, const char *name, cut_fn *cut, unsigned flags,
                      const struct patience *patience)
{
    struct shmring_stat stat;
    int rc = shmring_stat(q, &stat);
    if (rc < 0)
        return failed(name, "cannot read its description", rc);

    const char *unit = cut == cut_line ? "line" : "message";
    struct input in = {.max_message = stat.max_message};
    uint64_t sent = 0;
    int status = EXIT_OK;
    for (;;) {
        struct iovec batch[BATCH];
        int n = 0, more = 1;
        while (n < BATCH && (more = in.buf ? cut(&in, &batch[n]) : 0) > 0)
            n++;
        rc = send_all(q, patience, batch, n, flags, &sent);
        if (rc == 0 && more < 0)
            rc = more;
        if (rc == 0 && stop_signal)
            rc = -EINTR;
        if (rc < 0) {
            status = explain(name, &in, unit, sent + 1, rc);
            break;
        }
        if (more > 0)
            continue;
        if (in.eof)
            break;
        rc = fill(&in);
        if (rc < 0) {
            if (rc == -EINTR)
                status = EXIT_FAILED;
            else
                status = complain("stdin", "cannot read: %s", strerror(-rc));
            break;
        }
        /* The read may have taken hours: can a consumer still find the queue by its name? */
        rc = shmring_check(q);
        if (rc < 0) {
            status = failed(name, "cannot send", rc);
            break;
        }
    }
    free(in.buf);
    return status;
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"length-prefixed", no_argument, NULL, 'l'},
        {"key", no_argument, NULL, 'k'},
        PATIENCE_OPTIONS,
        {0},
    };
    cut_fn *cut = cut_line;
    unsigned flags = 0;
    struct patience patience = {0};
    int status;

    for (int option;
         (option = getopt_long(argc, argv, "lk" PATIENCE_LETTERS, options, NULL)) != -1;) {
        switch (option) {
        case 'l':
            cut = cut_prefixed;
            break;
        case 'k':
            flags = SHMRING_KEY;
            break;
        default:
            status = patience_option(&patience, self, option);
            if (status != GO_ON)
                return status;
        }
    }
    if (argc - optind != 1)
        return usage(self, "one NAME, please");

    shmring_t *q;
    status = attach(&q, argv[optind], SHMRING_PRODUCER, &patience);
    if (status != EXIT_OK)
        return status;
    catch_signals();
    status = send_input(q, argv[optind], cut, flags, &patience);
    shmring_close(&q);
    return status;
}

const struct command send_command = {
    .name = "send",
    .arguments = "[OPTION]... NAME",
    .summary = "send standard input, a message a line",
    .options =
        "  -l, --length-prefixed  a message is a 4-byte little-endian length and as many bytes\n"
        "  -k, --key              broadcast: send key messages: recv --from key begins with the\n"
        "                         last one\n"
        "  -w, --wait-open        wait for the queue to appear\n"
        "  -t, --timeout SECONDS  wait no longer than that for the queue, or for room in it\n"
        "  -n, --no-wait          do not wait for room: exit with 3 when full\n",
    .missing = "'shmring create' makes it, --wait-open waits for it",
    .run = run,
};
