/* SPDX-License-Identifier: MIT */
/*
 * The shmring command on arbitrary files: one that is made of the input byte by byte (file.c), or a
 * queue that was used and damaged (world.c). The command runs in this process, through its main().
 *
 * What is checked: the exit code is a documented one, the output is text without control
 * characters, and valid JSON or OpenMetrics where that was asked for.
 */
#include <config.h>

#include <fcntl.h>
#include <unistd.h>

#include "command.h"
#include "fuzz.h"
#include "json_check.h"
#include "openmetrics_check.h"
#include "tools/tool.h"

enum language { TEXT, JSON, METRICS };
enum { WORDS_MOST = 4 };

static const struct line {
    const char *words[WORDS_MOST]; /* NULL: the queue, or the directory it is in */
    enum language language;
    bool of_directories; /* too */
} lines[] = {
    {{"ls"}, TEXT, true},
    {{"ls", "--json"}, JSON, true},
    {{"stat"}, TEXT, false},
    {{"stat", "--json"}, JSON, false},
    {{"stat", "--openmetrics"}, METRICS, true},
    {{"who"}, TEXT, false},
    {{"who", "--json"}, JSON, false},
    {{"dump"}, TEXT, false},
    {{"dump", "--json"}, JSON, false},
    {{"dump", "--hex", "--json"}, JSON, false},
    {{"recover"}, TEXT, false},
    {{"recover", "--json"}, JSON, false},
    {{"gc", "--dry-run"}, TEXT, true},
    {{"gc"}, TEXT, true},
    {{"gc", "--all"}, TEXT, true},
    {{"rm"}, TEXT, false},
};

enum { LINES = sizeof lines / sizeof lines[0] };

/* A queue with messages, some of them held, damaged while it is in use. The copy made of it is what
 * killed participants would leave. */
static void write_world(int fd, struct input *in)
{
    struct world *w = world_choose(in);
    const unsigned messages = input_below(in, 8), taken = input_below(in, 4);
    const unsigned words = input_below(in, 16);
    const void *message;
    shmring_t *q;

    if (shmring_open_fd(&q, w->fd, SHMRING_PRODUCER | SHMRING_CONSUMER) == 0) {
        for (unsigned i = 0; i < messages; i++)
            (void)shmring_send(q, in->at, (size_t)(in->end - in->at) % 16);
        for (unsigned i = 0; i < taken; i++)
            (void)shmring_peek(q, &message, NULL);
    }
    for (unsigned i = 0; i < words; i++)
        world_scribble(w, in);
    fuzz_check(write(fd, w->image, (size_t)w->geometry.segment_size) ==
                   (ssize_t)w->geometry.segment_size,
               "no room in /dev/shm");
    shmring_close(&q);
}

static void write_queue(struct input *in)
{
    const unsigned what = input_below(in, 256);
    const int fd = open(command_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    fuzz_check(fd >= 0, "no file in /dev/shm");
    if (what & 0x80)
        file_write(fd, in, what & 0x7f);
    else
        write_world(fd, in);
    close(fd);
}

/* ---- What it writes -------------------------------------------------------------------------- */

static void check_output(const struct line *line, int status, const char *text, size_t size)
{
    fuzz_check(status == EXIT_OK || status == EXIT_FAILED || status == EXIT_GAVE_UP, "%d", status);
    command_check_text(text, size, line->language == TEXT);
    if (line->language == JSON && size > 0)
        fuzz_check(json_is_valid(text), "no JSON: %s", text);
    if (line->language == METRICS) {
        const char *wrong = openmetrics_wrong(text);
        fuzz_check(!wrong, "no OpenMetrics at: %s", wrong);
    }
}

static void run_line(const struct line *line, bool on_directory)
{
    char *argv[WORDS_MOST + 3] = {(char *)(uintptr_t) "shmring"};
    int argc = 1;

    for (; line->words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)line->words[argc - 1];
    argv[argc++] = on_directory ? command_directory : command_name;
    struct command_result r = command_run(argc, argv);
    check_output(line, r.status, r.text, r.size);
    command_forget(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, bytes + size};
    const unsigned which = input_below(&in, 2 * LINES);
    const struct line *line = &lines[which % LINES];

    command_make_place();
    around_stop_clock();
    write_queue(&in);
    run_line(line, which >= LINES && line->of_directories);
    return 0;
}
