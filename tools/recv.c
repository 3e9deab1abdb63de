/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "receive.h"

#include <unistd.h>

/* A newline behind each message. */
static size_t put_newline(const struct taken *taken, unsigned char frame[FRAME_MOST])
{
    (void)taken;
    frame[0] = '\n';
    return 1;
}

/* A length before each. */
static size_t put_length(const struct taken *taken, unsigned char frame[FRAME_MOST])
{
    enum { PREFIX = 4 };
    for (int byte = 0; byte < PREFIX; byte++)
        frame[byte] = (unsigned char)(taken->length >> (8 * byte));
    return PREFIX;
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct framing lines = {.behind = true, .frame = put_newline};
    static const struct framing prefixed = {.frame = put_length};
    static const struct option options[] = {
        {"length-prefixed", no_argument, NULL, 'l'},
        RECEIVER_OPTIONS,
        {0},
    };
    struct receiver r = {
        .framing = &lines, .out = STDOUT_FILENO, .out_name = "stdout", .count = UINT64_MAX};
    struct patience patience = {0};
    int status;

    for (int option;
         (option = getopt_long(argc, argv, "l" RECEIVER_LETTERS, options, NULL)) != -1;) {
        if (option == 'l') {
            r.framing = &prefixed;
            continue;
        }
        status = receiver_option(&r, &patience, self, option);
        if (status != GO_ON)
            return status;
    }
    if (argc - optind != 1)
        return usage(self, "one NAME, please");

    r.name = argv[optind];
    status = receiver_open(&r, &patience);
    if (status == EXIT_OK) {
        catch_signals();
        status = receive(&r, &patience);
    }
    receiver_close(&r);
    return status;
}

const struct command recv_command = {
    .name = "recv",
    .arguments = "[OPTION]... NAME",
    .summary = "write the messages of a queue to standard output, one a line",
    .options = "  -l, --length-prefixed  put a 4-byte little-endian length before each, and no "
               "newline\n" RECEIVER_HELP,
    .notes = "Without --count, --eof, --timeout or --no-wait it goes on until it is interrupted.\n"
             "A message leaves an spsc or mpmc queue only after it was written. On a broadcast\n"
             "queue the command takes nothing from others; if it misses messages it says how\n"
             "many, and exits with 4.\n",
    .missing = "'shmring create' makes it, --wait-open waits for it",
    .run = run,
};
