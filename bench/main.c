/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "death.h"
#include "idle.h"
#ifdef HAVE_MUX
#include "mux.h"
#endif
#include "progress.h"
#include "report.h"
#include "ticks.h"
#include "workers.h"

/* Interleaved: every cell once, then every cell again. Returns the number of a signal or 0. */
static int run_all(struct results *r, struct shared *s)
{
    struct progress progress;
    int signal = 0;
    progress_start(&progress, r);
    for (int round = 1; round <= r->options->rounds; round++)
        for (int i = 0; i < r->n_cells && signal == 0; i++) {
            struct cell *c = &r->cells[i];
            if (c->fate.state != NOT_DONE && c->fate.state != DONE)
                continue;
            progress_step(&progress, c, round, r->options->rounds);
            signal = workers_run(c, s, r->options);
            if (signal == 0)
                signal = workers_interrupted();
            if (signal == 0 && (c->fate.state == DONE || c->fate.state == STUCK))
                results_add(c, s, round);
        }
    progress_end(&progress);
    return signal;
}

/* Returns whether all went well, having said so if not. */
static bool written(int result, const char *path)
{
    if (result < 0)
        fprintf(stderr, "shmring-bench: %s: %s\n", path, strerror(errno));
    return result == 0;
}

static bool report_all(const struct results *r)
{
    const struct options *o = r->options;
    bool good = true;
    report_table(r);
    if (o->json)
        good = written(report_json(r, o->json), o->json) && good;
    if (o->csv)
        good = written(report_csv(r, o->csv), o->csv) && good;
    if (o->plots)
        good = written(report_plots(r, o->plots), o->plots) && good;
    if (fflush(stdout) != 0)
        good = written(-1, "standard output");
    return good;
}

static void remark(const struct options *o, const struct machine *m)
{
    if (o->quiet)
        return;
    if (!m->optimised)
        fputs("shmring-bench: built without optimisation: the figures mean little\n", stderr);
    if (o->pin && o->cpus[0] == o->cpus[1])
        fputs("shmring-bench: both processes share one CPU: spinning only wastes its time\n",
              stderr);
}

/* Measure and report. Returns the exit status. */
static int compare(struct results *r)
{
    struct shared *shared = workers_map();
    if (!shared) {
        perror("shmring-bench: mmap");
        return EXIT_FAILED;
    }
    int signal = run_all(r, shared);
    if (signal != 0)
        workers_die(signal);
    results_classify(r);
    return report_all(r) && !results_failed(r) ? EXIT_OK : EXIT_FAILED;
}

static int plan_and_compare(const struct options *o)
{
    struct machine machine;
    struct results results;
    int status = EXIT_USAGE;
    workers_init();
    payload_init();
    ticks_init();
    machine_describe(&machine);
    remark(o, &machine);
    results_plan(&results, o, &machine);
    if (results.n_cells > 0)
        status = compare(&results);
    else
        fputs("shmring-bench: these transports cannot be measured in this mode\n", stderr);
    results_free(&results);
    return status;
}

static int list(void)
{
    report_list();
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct options options;
    options_parse(&options, argc, argv);
    int status;
    if (options.list)
        status = list();
    else if (options.idle)
        status = idle_run(&options);
    else if (options.death)
        status = death_run(&options);
#ifdef HAVE_MUX
    else if (options.mux)
        status = mux_run(&options);
#endif
    else
        status = plan_and_compare(&options);
    free(options.line);
    return status;
}
