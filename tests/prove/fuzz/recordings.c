/* SPDX-License-Identifier: MIT */
/*
 * Recordings that `shmring replay` reads into a queue: any bytes, or a recording of some messages,
 * gaps and an end, of which one byte may be changed, or the rest cut off. The command runs in this
 * process.
 *
 * What is checked: the exit code is the right one for what was done to the recording; the messages
 * in the queue are those of the recording, in order and unchanged, up to the damage; and what the
 * command complains of is text.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "command.h"
#include "fuzz.h"
#include "tools/recording.h"
#include "tools/tool.h"

enum { RECORDS = 24, LONGEST = 64, FILE_MOST = RECORDING_HEAD * (RECORDS + 2) + RECORDS * LONGEST };

static struct recorder {
    unsigned char file[FILE_MOST];
    size_t size;
    struct {
        size_t end; /* in the file */
        uint32_t length;
        uint32_t flags;
        unsigned char payload[LONGEST];
    } message[RECORDS];
    unsigned messages;
    bool gap, ended;
} recorder;

/* ---- A recording ----------------------------------------------------------------------------- */

static void put(const struct recorded_head *head, const unsigned char *payload)
{
    struct recorder *r = &recorder;

    recording_put_head(r->file + r->size, head, payload);
    r->size += RECORDING_HEAD;
    memcpy(r->file + r->size, payload, head->length);
    r->size += head->length;
}

static void put_message(struct input *in, unsigned length, unsigned flags)
{
    struct recorder *r = &recorder;
    const struct recorded_head head = {.type = RECORDED_MESSAGE,
                                       .length = length,
                                       .number = r->messages,
                                       .time_ns = (int64_t)input_number(in, 8),
                                       .flags = flags};

    for (unsigned i = 0; i < length; i++)
        r->message[r->messages].payload[i] = (unsigned char)input_number(in, 1);
    put(&head, r->message[r->messages].payload);
    r->message[r->messages].length = length;
    r->message[r->messages].flags = flags;
    r->message[r->messages++].end = r->size;
}

static void record(struct input *in)
{
    struct recorder *r = &recorder;
    const unsigned records = input_below(in, RECORDS + 1);

    recording_put_start(r->file, LONGEST, (int64_t)input_number(in, 8));
    r->size = RECORDING_HEAD;
    for (unsigned i = 0; i < records; i++) {
        const unsigned what = input_below(in, 256);
        if (what % 8 == 0) {
            const uint64_t missed = input_number(in, 8);
            put(&(struct recorded_head){.type = RECORDED_GAP, .number = missed ? missed : 1},
                (const unsigned char *)"");
            r->gap = true;
        } else {
            put_message(in, what / 8 * 2 % (LONGEST + 1),
                        what & 1   ? SHMRING_KEY
                        : what & 2 ? SHMRING_REDELIVERED
                                   : 0);
        }
    }
    r->ended = input_below(in, 4) != 0;
    if (r->ended)
        put(&(struct recorded_head){.type = RECORDED_END, .number = r->messages},
            (const unsigned char *)"");
}

/* Returns the first byte that is not as it was recorded. */
static size_t damage(struct input *in)
{
    struct recorder *r = &recorder;
    const unsigned how = input_below(in, 4);
    const size_t at = (size_t)input_number(in, 2) % r->size;
    const unsigned char change = (unsigned char)(1 + input_below(in, 255));

    if (how < 2)
        return r->size;
    if (how == 2)
        r->file[at] ^= change;
    else
        r->size = at;
    return at;
}

static void any_bytes(struct input *in)
{
    struct recorder *r = &recorder;
    const size_t left = (size_t)(in->end - in->at);

    r->size = left < FILE_MOST ? left : FILE_MOST;
    memcpy(r->file, in->at, r->size);
}

/* ---- The queue ------------------------------------------------------------------------------- */

/* A queue that has room for all messages, and its consumer. */
static shmring_t *create(unsigned kind)
{
    static const struct shmring_config configs[] = {
        {.kind = SHMRING_SPSC, .capacity = 4096, .flags = SHMRING_CONSUMER},
        {.kind = SHMRING_MPMC, .capacity = 32, .max_message = LONGEST, .flags = SHMRING_CONSUMER},
        {.kind = SHMRING_BROADCAST, .capacity = 4096, .flags = SHMRING_CONSUMER},
    };
    shmring_t *q;

    (void)unlink(command_path);
    fuzz_check(shmring_create(&q, command_name, &configs[kind]) == 0, "%s",
               shmring_strerror_detail());
    return q;
}

/* Check that the first messages of the recording are in the queue. Returns how many. */
static unsigned drain(shmring_t *q, bool broadcast)
{
    struct shmring_info info = {0};
    const void *message;
    unsigned n = 0;
    ssize_t length;

    for (; (length = shmring_peek(q, &message, &info)) >= 0; n++) {
        fuzz_check(n < recorder.messages && (size_t)length == recorder.message[n].length &&
                       memcmp(message, recorder.message[n].payload, (size_t)length) == 0,
                   "message %u of %u is another one", n, recorder.messages);
        fuzz_check(!broadcast || info.flags == (recorder.message[n].flags & SHMRING_KEY), "%x",
                   info.flags);
        fuzz_check(shmring_release(q, message) == 0, "message %u", n);
    }
    fuzz_check(length == -EAGAIN, "%zd", length);
    return n;
}

/* ---- The command ----------------------------------------------------------------------------- */

/* As many messages as end before the damage, and the exit code that belongs to it. */
static void check_replayed(unsigned came, int status, size_t good, size_t whole)
{
    const struct recorder *r = &recorder;
    unsigned expected = 0;

    while (expected < r->messages && r->message[expected].end <= good)
        expected++;
    fuzz_check(came == expected, "%u messages, not %u", came, expected);
    if (good == whole)
        fuzz_check(status == (r->gap || !r->ended ? EXIT_MISSED : EXIT_OK), "exit code %d", status);
    else
        fuzz_check(status == (r->size < whole ? EXIT_MISSED : EXIT_FAILED) ||
                       status == EXIT_MISSED, /* a changed length: it looks as if it was cut off */
                   "exit code %d", status);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, bytes + size};
    const unsigned what = input_below(&in, 6), kind = what % 3;
    char path[96], *argv[] = {(char *)(uintptr_t) "shmring",
                              (char *)(uintptr_t) "replay",
                              (char *)(uintptr_t) "--fast",
                              (char *)(uintptr_t) "--no-wait",
                              command_name,
                              path,
                              NULL};
    size_t good = 0;

    command_make_place();
    around_stop_clock();
    recorder.size = recorder.messages = 0;
    recorder.gap = recorder.ended = false;
    if (what < 3)
        any_bytes(&in);
    else
        record(&in);
    const size_t whole = recorder.size;
    if (what >= 3)
        good = damage(&in);

    const int fd = world_file();
    fuzz_check(write(fd, recorder.file, recorder.size) == (ssize_t)recorder.size, "no room");
    fuzz_check(lseek(fd, 0, SEEK_SET) == 0, "no start");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    shmring_t *q = create(kind);
    struct command_result r = command_run(6, argv);
    fuzz_check(r.size == 0, "output: %s", r.text);
    if (what < 3) /* no input at random has the right checksums, but a fuzzer keeps such a one */
        fuzz_check(r.status == EXIT_FAILED || r.status == EXIT_MISSED || r.status == EXIT_OK ||
                       r.status == EXIT_GAVE_UP,
                   "exit code %d", r.status);
    else
        check_replayed(drain(q, kind == 2), r.status, good, whole);
    command_forget(&r);
    shmring_close(&q);
    close(fd);
    return 0;
}
