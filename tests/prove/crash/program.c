/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "step.h"

struct options options;

void program_begin(int argc, char **argv, const char *usage)
{
    int at = 1;

    if (at < argc && argv[at][0] == '-') {
        options.all = strcmp(argv[at], "--all") == 0;
        options.quick = strcmp(argv[at], "--quick") == 0;
        if (!(options.all || options.quick) || !strstr(usage, argv[at])) {
            fprintf(stderr, "usage: %s %s [OPERATION [STATE]]\n", argv[0], usage);
            exit(2);
        }
        at++;
    }
    if (at < argc)
        options.operation = argv[at++];
    if (at < argc)
        options.state = argv[at];
    if (!step_possible()) {
        printf("SKIP: " STEP_IMPOSSIBLE "\n");
        exit(77);
    }
}

bool chosen(const char *option, const char *name)
{
    return !option || strcmp(option, name) == 0;
}

int program_end(unsigned cases, unsigned failed, unsigned crashed)
{
    printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
           cases + crashed, cases - failed, failed, crashed);
    if (cases + crashed == 0)
        fputs("there is no such operation, or it makes no sense in that state\n", stderr);
    return cases == 0 || failed + crashed != 0;
}
