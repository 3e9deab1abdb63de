/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process.h"

#include <errno.h>
#include <sched.h>
#include <shmring/shmring.h>
#include <string.h>

#include "machine.h"
#include "report.h"

int complain(const char *call, int error)
{
    fprintf(stderr, "shmring-bench: %s: %s: %s\n", call, strerror(error),
            shmring_strerror_detail());
    return -1;
}

void pin(const struct options *o, int which)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(o->cpus[which], &set);
    if (o->pin)
        sched_setaffinity(0, sizeof set, &set);
}

/* Returns 0, or -1 with errno. */
static int write_file(const struct options *o, void (*rounds)(FILE *f, const void *figures),
                      const void *figures)
{
    struct machine machine;
    FILE *f = fopen(o->json, "we");

    if (!f)
        return -1;
    machine_describe(&machine);
    report_json_begin(f, o, &machine);
    fputs("  \"rounds\": [", f);
    rounds(f, figures);
    fputs("\n  ],\n  \"missing\": []\n}\n", f);
    return report_finish(f);
}

int write_json(const struct options *o, void (*rounds)(FILE *f, const void *figures),
               const void *figures)
{
    if (write_file(o, rounds, figures) == 0)
        return 0;
    fprintf(stderr, "shmring-bench: %s: %s\n", o->json, strerror(errno));
    return -1;
}
