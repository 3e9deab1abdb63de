/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <getopt.h>

#include "tool.h"

static int run(const struct command *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"force", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    bool force = false;

    for (int option; (option = getopt_long(argc, argv, "fh", options, NULL)) != -1;) {
        switch (option) {
        case 'f':
            force = true;
            break;
        case 'h':
            return help(self);
        default:
            return usage(self, NULL);
        }
    }
    if (optind == argc && !force)
        return usage(self, "which NAME?");

    int status = EXIT_OK;
    for (int i = optind; i < argc; i++) {
        int rc = shmring_unlink(argv[i]);
        if (rc < 0 && !(rc == -ENOENT && force))
            status = failed(argv[i], "cannot remove", rc);
    }
    return status;
}

const struct command rm_command = {
    .name = "rm",
    .arguments = "[OPTION]... NAME...",
    .summary = "remove queues, and the messages in them",
    .options = "  -f, --force            a NAME that does not exist is no error\n",
    .missing = "there is nothing to remove",
    .run = run,
};
