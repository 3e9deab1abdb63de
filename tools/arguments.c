/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <getopt.h>

#include "tool.h"

int parse_arguments(const struct command *self, int argc, char **argv, bool *json,
                    const char **name)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };

    *json = false;
    for (int option; (option = getopt_long(argc, argv, "jh", options, NULL)) != -1;) {
        switch (option) {
        case 'j':
            *json = true;
            break;
        case 'h':
            return help(self);
        default:
            return usage(self, NULL);
        }
    }
    if (!name)
        return GO_ON;
    if (argc - optind != 1)
        return usage(self, "one NAME, please");
    *name = argv[optind];
    return GO_ON;
}
