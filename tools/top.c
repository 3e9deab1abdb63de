/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <getopt.h>
#include <string.h>
#include <time.h>

#include "top.h"

/* As text: gather twice, and print the table with the rates between the two. */
static int run_once(struct gathering *g, int sort_key, const char *filter,
                    const struct timespec *delay)
{
    struct page page = {.n = 0};
    gather(g, sort_key, filter);
    nanosleep(delay, NULL);
    gather(g, sort_key, filter);
    put_table_of(&page, g);
    for (size_t i = 0; i < page.n; i++)
        puts(page.lines[i].text);
    page_free(&page);
    return EXIT_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"once", no_argument, NULL, 'o'},         {"delay", required_argument, NULL, 'd'},
        {"filter", required_argument, NULL, 'f'}, {"sort", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},         {0},
    };
    struct timespec delay = {.tv_sec = 1};
    const char *filter = "";
    int sort_key = 'n';
    bool once = false;

    for (int option; (option = getopt_long(argc, argv, "od:f:s:h", options, NULL)) != -1;) {
        switch (option) {
        case 'o':
            once = true;
            break;
        case 'd':
            if (!parse_seconds(optarg, &delay) || (delay.tv_sec == 0 && delay.tv_nsec < 100000000))
                return bad_value(self, "--delay", optarg, "seconds, 0.1 or more");
            break;
        case 'f':
            if (strlen(optarg) >= sizeof((struct screen_state){0}).filter)
                return bad_value(self, "--filter", optarg, "a part of a name, at most 63 bytes");
            filter = optarg;
            break;
        case 's':
            sort_key = sort_key_of(optarg);
            if (sort_key == 0)
                return bad_value(
                    self, "--sort", optarg,
                    "name, messages, bytes, depth, high, full, empty, dead, held or lag");
            break;
        case 'h':
            return help(self);
        default:
            return usage(self, NULL);
        }
    }

    struct gathering g = {.arguments = argv + optind, .n = argc - optind};
    int status = (once ? run_once : run_screen)(&g, sort_key, filter, &delay);
    gathering_free(&g);
    return status;
}

const struct command top_command = {
    .name = "top",
    .arguments = "[OPTION]... [NAME|DIRECTORY]...",
    .summary = "watch queues: how full, how fast, which participants are dead, hold or lag",
    .options = "  -o, --once             as text, after one delay\n"
               "  -d, --delay SECONDS    between two updates; 1\n"
               "  -f, --filter TEXT      only queues with this in their names\n"
               "  -s, --sort COLUMN      name, messages, bytes, depth, high, full, empty, dead,\n"
               "                         held or lag\n",
    .notes =
        "Queues are found as by ls. On the screen, q leaves, Enter shows one queue, / filters.\n",
    .run = run,
};
