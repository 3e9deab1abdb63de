/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recording.h"
#include "tool.h"

struct replay {
    shmring_t *q;
    const char *name, *file;
    struct patience patience;
    struct recording in;
    bool fast;
    double speed;
    bool keys; /* the queue has key messages */
    uint64_t sent;
    bool gaps;       /* messages are missing */
    bool started;    /* a message was sent: the next two are valid */
    int64_t last_ns; /* its time in the recording */
    double due_ns;   /* when it was due, CLOCK_MONOTONIC */
};

/* ---- The pace -------------------------------------------------------------------------------- */

static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* When a message is due that was recorded at that time. A clock that was put back makes no
 * pause. */
static double due_after(const struct replay *r, int64_t time_ns)
{
    const double most = 3e17; /* ten years: no time_t overflows */
    double pause = 0;
    if (time_ns > r->last_ns)
        pause = (double)((uint64_t)time_ns - (uint64_t)r->last_ns) / r->speed;
    return r->due_ns + (pause < most ? pause : most);
}

/* Sleep until then. Returns 0 or -EINTR. */
static int sleep_until(double due_ns)
{
    struct timespec due = {.tv_sec = (time_t)(due_ns * 1e-9)};
    due.tv_nsec = (long)(due_ns - (double)due.tv_sec * 1e9);
    while (!stop_signal && due_ns > now_ns())
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    return stop_signal ? -EINTR : 0;
}

static int keep_pace(struct replay *r, int64_t time_ns)
{
    if (r->fast)
        return 0;
    r->due_ns = r->started ? due_after(r, time_ns) : now_ns();
    r->last_ns = time_ns;
    r->started = true;
    return sleep_until(r->due_ns);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static int send_message(struct replay *r, const void *payload, const struct recorded_head *head)
{
    const unsigned flags = r->keys ? head->flags & SHMRING_KEY : 0;
    struct waiting waiting = {0};
    int rc;
    do
        rc = flags ? shmring_send_flags(r->q, payload, head->length, flags)
                   : shmring_send(r->q, payload, head->length);
    while (rc == -EAGAIN &&
           (rc = wait_for_event(&waiting, r->q, SHMRING_WRITABLE, &r->patience)) >= 0);
    return rc;
}

/* Say why a message was not sent. */
static int unsent(const struct replay *r, int error)
{
    const uint64_t number = r->sent + 1;
    switch (error) {
    case -EINTR:
        return EXIT_FAILED; /* main() then ends the process by that signal */
    case -EAGAIN:
        complain(r->name, "message %" PRIu64 ": the queue is full", number);
        return EXIT_GAVE_UP;
    case -ETIMEDOUT:
        complain(r->name,
                 "message %" PRIu64 ": the queue stayed full: 'shmring who' lists the consumers",
                 number);
        return EXIT_GAVE_UP;
    default:
        return complain(r->name, "message %" PRIu64 ": %s", number, shmring_strerror_detail());
    }
}

/* ---- The recording --------------------------------------------------------------------------- */

/* One record. Returns GO_ON or the exit code. */
static int replay_record(struct replay *r, const struct recorded_head *head, const void *payload)
{
    if (head->type == RECORDED_GAP) {
        complain(r->file, "a gap of %" PRIu64 " message%s behind message %" PRIu64, head->number,
                 plural(head->number), r->sent);
        r->gaps = true;
    }
    if (head->type != RECORDED_MESSAGE)
        return GO_ON;
    int rc = keep_pace(r, head->time_ns);
    if (rc == 0)
        rc = send_message(r, payload, head);
    if (rc < 0)
        return unsent(r, rc);
    r->sent++;
    return GO_ON;
}

/* The recording is over, or cannot be read further: say why. */
static int ended(const struct replay *r, int rc)
{
    switch (rc) {
    case 0:
        return r->gaps ? EXIT_MISSED : EXIT_OK;
    case -EPIPE:
        complain(r->file, "it was cut off at byte %" PRIu64 ", behind message %" PRIu64,
                 r->in.offset, r->sent);
        return EXIT_MISSED;
    case -EINTR:
        return EXIT_FAILED; /* main() then ends the process by that signal */
    case -EBADMSG:
        return complain(r->file, "damaged at byte %" PRIu64 ", behind message %" PRIu64 ": %s",
                        r->in.offset, r->sent, r->in.damage);
    default:
        return complain(r->file, "cannot read: %s", strerror(-rc));
    }
}

static int replay(struct replay *r, int fd)
{
    struct recorded_head head;
    const void *payload;
    int status = GO_ON;
    int rc = recording_open(&r->in, fd);
    while (rc == 1 && status == GO_ON && (rc = recording_next(&r->in, &head, &payload)) == 1)
        status = replay_record(r, &head, payload);
    if (status == GO_ON)
        status = ended(r, rc);
    recording_close(&r->in);
    return status;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int open_queue(struct replay *r)
{
    struct shmring_stat stat;
    int status = attach(&r->q, r->name, SHMRING_PRODUCER, &r->patience);
    if (status != EXIT_OK)
        return status;
    int rc = shmring_stat(r->q, &stat);
    r->keys = rc == 0 && kind_view(stat.kind)->to_each;
    return rc < 0 ? failed(r->name, "cannot read its description", rc) : EXIT_OK;
}

static int open_and_replay(struct replay *r)
{
    const bool standard = strcmp(r->file, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(r->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return complain(r->file, "cannot open: %s", strerror(errno));
    if (standard)
        r->file = "stdin";
    int status = open_queue(r);
    catch_signals();
    if (status == EXIT_OK)
        status = replay(r, fd);
    shmring_close(&r->q);
    if (!standard)
        close(fd);
    return status;
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"speed", required_argument, NULL, 's'},
        {"fast", no_argument, NULL, 'f'},
        PATIENCE_OPTIONS,
        {0},
    };
    struct replay r = {.speed = 1};

    for (int option;
         (option = getopt_long(argc, argv, "s:f" PATIENCE_LETTERS, options, NULL)) != -1;) {
        switch (option) {
        case 's':
            if (!parse_factor(optarg, &r.speed))
                return bad_value(self, "--speed", optarg, "a factor from 0.000001 to 1000000");
            break;
        case 'f':
            r.fast = true;
            break;
        default: {
            const int status = patience_option(&r.patience, self, option);
            if (status != GO_ON)
                return status;
        }
        }
    }
    if (argc - optind != 2)
        return usage(self, "a NAME and a FILE, please");
    r.name = argv[optind];
    r.file = argv[optind + 1];
    return open_and_replay(&r);
}

const struct command replay_command = {
    .name = "replay",
    .arguments = "[OPTION]... NAME FILE",
    .summary = "send the messages of a recording again, at their pace",
    .options =
        "  -s, --speed FACTOR     that many times as fast\n"
        "  -f, --fast             without any pause\n"
        "  -w, --wait-open        wait for the queue to appear\n"
        "  -t, --timeout SECONDS  wait no longer than that for the queue, or for room in it\n"
        "  -n, --no-wait          do not wait for room: exit with 3 when full\n",
    .notes = "FILE is what record has written, or - for standard input. If it was cut off, or\n"
             "messages are missing in it, the command sends what is there and exits with 4.\n",
    .missing = "'shmring create' makes it, --wait-open waits for it",
    .run = run,
};
