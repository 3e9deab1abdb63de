/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "report.h"

static void put_text(FILE *f, const char *text)
{
    fputs(",\"", f);
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            putc('"', f);
        putc(*p, f);
    }
    putc('"', f);
}

/* All shares in one column. */
static void put_shares(FILE *f, const double *share, int n)
{
    putc(',', f);
    for (int i = 0; i < n; i++)
        fprintf(f, "%s%.4f", i > 0 ? " " : "", share[i]);
}

static void put_round(FILE *f, const struct results *r, const struct cell *c,
                      const struct round *round)
{
    fprintf(f, "%s,%s,%s,%zu,%d,%llu,%llu,%d,%d,%d,%zu,%s", c->transport->name, mode_names[c->mode],
            wait_names[c->wait], c->size, round->number, (unsigned long long)round->messages,
            (unsigned long long)round->lost, c->crew.producers, c->crew.consumers,
            cell_processes(c), c->messages, c->mode == STOPPED ? harm_names[c->harm] : "");
    for (int m = 0; m < METRICS; m++) {
        putc(',', f);
        if (mode_has_metric(c->mode, (enum metric)m))
            fprintf(f, "%.6g", round->metric[m]);
    }
    put_shares(f, round->share, c->crew.producers);
    put_shares(f, round->share + c->crew.producers, c->crew.consumers);
    put_shares(f, round->received, mode_has_metric(c->mode, M_MISSED) ? c->crew.consumers : 0);
    put_shares(f, round->missed, mode_has_metric(c->mode, M_MISSED) ? c->crew.consumers : 0);
    fprintf(f, ",%g,%g", c->rate, c->speed);
    fprintf(f, ",%.1f,%.1f,%s,%d,%d", round->probe_ns[0], round->probe_ns[1],
            placement_names[round->placement], (c->transport->flags & IN_ONE_PROCESS) != 0,
            round->stuck);
    put_text(f, r->machine->cpu);
    put_text(f, r->machine->kernel);
    put_text(f, r->machine->compiler);
    fprintf(f, ",%s,%s", r->machine->library, r->machine->date);
    put_text(f, r->options->line);
    putc('\n', f);
}

int report_csv(const struct results *r, const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return -1;
    fputs("transport,mode,wait,size,round,messages,lost,producers,consumers,"
          "participants,ring_messages,harm",
          f);
    for (int m = 0; m < METRICS; m++)
        fprintf(f, ",%s", metric_names[m]);
    fputs(",producer_shares,consumer_shares,received_million_per_s,missed_shares,rate,speed,probe_"
          "before_ns,probe_after_ns,placement,in_one_"
          "process,stuck,cpu,kernel,"
          "compiler,library,date,options\n",
          f);
    for (int i = 0; i < r->n_cells; i++)
        for (int k = 0; k < r->cells[i].n_rounds; k++)
            put_round(f, r, &r->cells[i], &r->cells[i].rounds[k]);
    return report_finish(f);
}
