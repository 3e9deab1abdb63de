/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "report.h"

void progress_start(struct progress *p, const struct results *r)
{
    *p = (struct progress){.quiet = r->options->quiet,
                           .terminal = isatty(STDERR_FILENO),
                           .started = clock_seconds(CLOCK_MONOTONIC)};
    for (int i = 0; i < r->n_cells; i++)
        p->steps += r->cells[i].fate.state == SKIPPED ? 0 : r->options->rounds;
    /* the measurement, its warm-up, two probes and two forks */
    double estimate = p->steps * (r->options->seconds * 1.2 + 0.012);
    if (!p->quiet)
        fprintf(stderr, "shmring-bench: %d measurements, about %.0f s\n", p->steps, estimate);
}

void progress_step(struct progress *p, const struct cell *c, int round, int rounds)
{
    char size[32];
    double passed = clock_seconds(CLOCK_MONOTONIC) - p->started;
    double left = p->done > 0 ? passed / p->done * (p->steps - p->done) : 0;
    if (!p->quiet && p->terminal)
        fprintf(stderr, "\r\033[Kround %d/%d  %3d %%  %s, %s, %s  %.0f s left", round, rounds,
                100 * p->done / p->steps, c->transport->name, mode_names[c->mode],
                report_size(size, sizeof size, c->size), left);
    else if (!p->quiet && p->done % (p->steps / rounds) == 0)
        fprintf(stderr, "shmring-bench: round %d of %d\n", round, rounds);
    p->done++;
}

void progress_end(struct progress *p)
{
    if (!p->quiet && p->terminal)
        fputs("\r\033[K", stderr);
}
