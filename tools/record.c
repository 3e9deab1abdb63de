/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "receive.h"
#include "recording.h"

_Static_assert((int)FRAME_MOST >= (int)RECORDING_HEAD, "a record's header is a frame");

static int64_t real_time(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- Records: of a message, of those missed, and of the end ---------------------------------- */

static size_t put_record(const struct taken *taken, unsigned char frame[FRAME_MOST])
{
    const struct recorded_head head = {.type = RECORDED_MESSAGE,
                                       .length = taken->length,
                                       .number = taken->number,
                                       .time_ns = real_time(),
                                       .flags = taken->flags};
    recording_put_head(frame, &head, taken->payload);
    return RECORDING_HEAD;
}

static size_t put_gap(uint64_t missed, unsigned char frame[FRAME_MOST])
{
    const struct recorded_head head = {
        .type = RECORDED_GAP, .number = missed, .time_ns = real_time()};
    recording_put_head(frame, &head, "");
    return RECORDING_HEAD;
}

static int unwritten(const struct receiver *r, int error)
{
    return complain(r->out_name, "cannot write: %s", strerror(-error));
}

static int write_start(struct receiver *r)
{
    struct shmring_stat stat;
    int rc = shmring_stat(r->q, &stat);
    if (rc < 0)
        return failed(r->name, "cannot read its description", rc);
    recording_put_start(r->frames[0], stat.max_message, real_time());
    rc = write_frame(r, RECORDING_HEAD);
    if (rc == -EINTR)
        return EXIT_FAILED; /* main() then ends the process by that signal */
    return rc < 0 ? unwritten(r, rc) : EXIT_OK;
}

/* The end says that nothing was cut off: also when a signal has ended the recording. A second
 * signal ends this, too. */
static int write_end(struct receiver *r)
{
    const struct recorded_head head = {
        .type = RECORDED_END, .number = r->received, .time_ns = real_time()};
    const int signo = stop_signal;
    if (r->torn || r->unwritten)
        return EXIT_FAILED;
    recording_put_head(r->frames[0], &head, "");
    stop_signal = 0;
    int rc = write_frame(r, RECORDING_HEAD);
    if (signo)
        stop_signal = signo;
    return rc < 0 && rc != -EINTR ? unwritten(r, rc) : EXIT_OK;
}

/* ---- The command ----------------------------------------------------------------------------- */

/* A new file, with no more permissions than the queue has. Complains. Returns the exit code. */
static int open_output(struct receiver *r, const char *path)
{
    struct shmring_stat stat;
    if (strcmp(path, "-") == 0)
        return EXIT_OK;
    int rc = shmring_stat(r->q, &stat);
    if (rc < 0)
        return failed(r->name, "cannot read its description", rc);
    r->out_name = path;
    r->out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, stat.mode & 0666);
    return r->out < 0 ? complain(path, "cannot create: %s", strerror(errno)) : EXIT_OK;
}

static int record(struct receiver *r, const struct patience *patience)
{
    int status = write_start(r);
    if (status != EXIT_OK)
        return status;
    status = receive(r, patience);
    const int end = write_end(r);
    return end == EXIT_OK ? status : end;
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct framing records = {.frame = put_record, .gap = put_gap};
    static const struct option options[] = {RECEIVER_OPTIONS, {0}};
    struct receiver r = {
        .framing = &records, .out = STDOUT_FILENO, .out_name = "stdout", .count = UINT64_MAX};
    struct patience patience = {0};
    int status;

    for (int option; (option = getopt_long(argc, argv, RECEIVER_LETTERS, options, NULL)) != -1;) {
        status = receiver_option(&r, &patience, self, option);
        if (status != GO_ON)
            return status;
    }
    if (argc - optind != 2)
        return usage(self, "a NAME and a FILE, please");

    r.name = argv[optind];
    signal(SIGXFSZ, SIG_IGN); /* a file that becomes too large is an error like a full disk */
    status = receiver_open(&r, &patience);
    catch_signals();
    if (status == EXIT_OK)
        status = open_output(&r, argv[optind + 1]);
    if (status == EXIT_OK)
        status = record(&r, &patience);
    receiver_close(&r);
    if (r.out > STDOUT_FILENO && close(r.out) < 0 && status == EXIT_OK)
        status = unwritten(&r, -errno); /* a network's file system may find the disk full here */
    return status;
}

const struct command record_command = {
    .name = "record",
    .arguments = "[OPTION]... NAME FILE",
    .summary = "write the messages of a queue to a file, with their times",
    .options = RECEIVER_HELP,
    .notes = "FILE is new, or - for standard output: see shmring-record(5). It goes on until an\n"
             "option or a signal ends it. It takes the messages of an spsc or mpmc queue; on a\n"
             "broadcast queue it takes nothing from others. Gaps are noted in the file.\n",
    .missing = "'shmring create' makes it, --wait-open waits for it",
    .run = run,
};
