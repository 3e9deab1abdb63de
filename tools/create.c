/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <getopt.h>
#include <string.h>

#include "tool.h"

static int run(const struct command *self, int argc, char **argv)
{
    enum {
        KIND = 256,
        CAPACITY,
        MAX_MESSAGE,
        MAX_PARTICIPANTS,
        AT_MOST_ONCE,
        MODE,
        HUGE,
        PREFAULT,
        OR_OPEN
    };
    static const struct option options[] = {
        {"kind", required_argument, NULL, KIND},
        {"capacity", required_argument, NULL, CAPACITY},
        {"max-message", required_argument, NULL, MAX_MESSAGE},
        {"max-participants", required_argument, NULL, MAX_PARTICIPANTS},
        {"at-most-once", no_argument, NULL, AT_MOST_ONCE},
        {"mode", required_argument, NULL, MODE},
        {"huge-pages", no_argument, NULL, HUGE},
        {"prefault", no_argument, NULL, PREFAULT},
        {"or-open", no_argument, NULL, OR_OPEN},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const struct kind_view *kind = kind_view(SHMRING_SPSC);
    struct shmring_config config = {0};
    uint64_t size, participants = UINT64_MAX; /* UINT64_MAX: not given */

    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case KIND:
            kind = kind_named(optarg);
            if (!kind)
                return bad_value(self, "--kind", optarg, "spsc, mpmc or broadcast");
            break;
        case CAPACITY:
            /* 0 is refused here: below it means that the option was not given. */
            if (!parse_size(optarg, &config.capacity) || config.capacity == 0)
                return bad_value(self, "--capacity", optarg, "a size such as 4096, 64K or 1M");
            break;
        case MAX_MESSAGE:
            if (!parse_size(optarg, &size) || size == 0 || size > UINT32_MAX)
                return bad_value(self, "--max-message", optarg, "a size such as 100, 4K or 1M");
            config.max_message = (uint32_t)size;
            break;
        case MAX_PARTICIPANTS:
            if (!parse_count(optarg, &participants) || participants > SHMRING_PARTICIPANTS_MAX)
                return bad_value(self, "--max-participants", optarg, "a number up to 1024");
            break;
        case AT_MOST_ONCE:
            config.flags |= SHMRING_AT_MOST_ONCE;
            break;
        case MODE:
            if (!parse_mode(optarg, &config.mode))
                return bad_value(self, "--mode", optarg, "octal, from 0001 to 0777");
            break;
        case HUGE:
            config.flags |= SHMRING_HUGE_PAGES;
            break;
        case PREFAULT:
            config.flags |= SHMRING_PREFAULT;
            break;
        case OR_OPEN:
            config.flags |= SHMRING_OPEN_OR_CREATE;
            break;
        case 'h':
            return help(self);
        default:
            return usage(self, NULL);
        }
    }
    if (argc - optind != 1)
        return usage(self, "one NAME, please");

    const char *name = argv[optind];
    if (strncmp(name, "memfd:", 6) == 0)
        return usage(self, "a memfd queue has no name, and would be gone with this command");

    /* The library takes 0 for the default, except of a broadcast queue. */
    if (participants == 0 && !kind->to_each)
        return bad_value(self, "--max-participants", "0", "0 for a broadcast queue only");
    config.max_participants =
        participants == UINT64_MAX ? kind->participants : (uint32_t)participants;
    config.kind = kind->number;
    if (config.capacity == 0)
        config.capacity = kind->capacity;
    if (config.max_message == 0)
        config.max_message = kind->max_message;

    shmring_t *q; /* an observer takes no role: the roles stay free */
    int rc = shmring_create(&q, name, &config);
    if (rc < 0)
        return failed(name, "cannot create", rc);
    shmring_close(&q);
    return EXIT_OK;
}

const struct command create_command = {
    .name = "create",
    .arguments = "[OPTION]... NAME",
    .summary = "make a queue",
    .missing = "make the directory first",
    .options = "      --kind KIND        spsc: one producer, one consumer (the default);\n"
               "                         mpmc: many of both; broadcast: one producer, each\n"
               "                         consumer gets every message\n"
               "      --capacity SIZE    a power of two. mpmc: messages (1K); else bytes for\n"
               "                         messages (1M)\n"
               "      --max-message N    longest message, bytes. mpmc: all take as much room as\n"
               "                         the longest (1000); else (as long as fits)\n"
               "      --max-participants N  mpmc: attached at the same time (64); broadcast:\n"
               "                         consumers with a row (64), 0: none can be reliable\n"
               "      --at-most-once     mpmc: drop a message whose consumer died, rather than\n"
               "                         deliver it again\n"
               "      --mode MODE        permissions, octal (0600), whatever the umask\n"
               "      --huge-pages       2 MiB pages\n"
               "      --prefault         touch every page now\n"
               "      --or-open          succeed if the same queue exists already\n",
    .run = run,
};
