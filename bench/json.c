/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "report.h"

static void put_text(FILE *f, const char *text)
{
    putc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 0x20 || *p >= 0x7f) /* Latin-1, so that any bytes make valid JSON */
            fprintf(f, "\\u%04x", *p);
        else
            putc(*p, f);
    }
    putc('"', f);
}

static void put_field(FILE *f, const char *name, const char *text)
{
    fprintf(f, "\"%s\": ", name);
    put_text(f, text);
    fputs(", ", f);
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void put_options(FILE *f, const struct options *o)
{
    fputs("  \"options\": {", f);
    put_field(f, "command_line", o->line);
    fputs("\"sizes\": [", f);
    for (int i = 0; i < o->n_sizes; i++)
        fprintf(f, "%s%zu", i > 0 ? ", " : "", o->sizes[i]);
    fprintf(f,
            "], \"rounds\": %d, \"seconds\": %g, \"rate\": %g, \"batch\": %d, \"capacity\": %zu, ",
            o->rounds, o->seconds, o->rate, o->batch, o->capacity);
    if (o->pin)
        fprintf(f, "\"cpus\": [%zu, %zu]},\n", o->cpus[0], o->cpus[1]);
    else
        fputs("\"cpus\": null},\n", f);
}

static void put_machine(FILE *f, const struct machine *m)
{
    fputs("  \"machine\": {", f);
    put_field(f, "cpu", m->cpu);
    fprintf(f, "\"cpus\": %ld, ", m->cpus);
    put_field(f, "kernel", m->kernel);
    put_field(f, "compiler", m->compiler);
    fprintf(f, "\"optimised\": %s, ", truth(m->optimised));
    put_field(f, "clock", m->clock);
    fprintf(f, "\"clock_ns\": %.1f},\n", m->clock_ns);
}

static void put_cell_name(FILE *f, const struct cell *c)
{
    put_field(f, "transport", c->transport->name);
    put_field(f, "group", c->transport->group);
    put_field(f, "mode", mode_names[c->mode]);
    put_field(f, "wait", wait_names[c->wait]);
    fprintf(f, "\"size\": %zu", c->size);
    if (c->transport->flags & IS_BATCH)
        fputs(", \"batch\": true", f);
    if (c->transport->flags & IN_ONE_PROCESS)
        fputs(", \"in_one_process\": true", f);
    if (mode_is_many(c->mode))
        fprintf(f, ", \"producers\": %d, \"consumers\": %d", c->crew.producers, c->crew.consumers);
    if (c->mode == CAPACITY)
        fprintf(f, ", \"ring_messages\": %zu", c->messages);
    if (c->mode == PARTICIPANTS)
        fprintf(f, ", \"participants\": %d", cell_processes(c));
    if (mode_is_broadcast(c->mode))
        fprintf(f, ", \"consumers\": %d, \"subscribers\": %d, \"rate\": %g", c->crew.consumers,
                c->crew.consumers + c->crew.idle, c->rate);
    if (c->mode == BROADCAST_SLOW)
        fprintf(f, ", \"speed\": %g", c->speed);
    if (c->mode == STOPPED)
        fprintf(f, ", \"harm\": \"%s\"", harm_names[c->harm]);
}

static void put_metrics(FILE *f, const struct cell *c, const double metric[METRICS])
{
    for (int m = 0; m < METRICS; m++)
        if (mode_has_metric(c->mode, (enum metric)m))
            fprintf(f, ", \"%s\": %.6g", metric_names[m], metric[m]);
}

static void put_shares(FILE *f, struct crew crew, const double *share)
{
    for (int i = 0; i < crew.producers + crew.consumers; i++)
        fprintf(f, "%s%.4f",
                i == 0                ? ", \"producer_shares\": ["
                : i == crew.producers ? "], \"consumer_shares\": ["
                                      : ", ",
                share[i]);
    putc(']', f);
}

static void put_numbers(FILE *f, const char *name, const double *numbers, int n)
{
    fprintf(f, ", \"%s\": [", name);
    for (int i = 0; i < n; i++)
        fprintf(f, "%s%.6g", i > 0 ? ", " : "", numbers[i]);
    putc(']', f);
}

/* The transports that were measured, and those that could not be. */
static void put_transports(FILE *f, const struct results *r)
{
    const char *separator = "";
    fputs("  \"transports\": [", f);
    for (int i = 0; transports[i]; i++) {
        const struct transport *t = transports[i];
        bool used = false;
        for (int k = 0; k < r->n_cells && !used; k++)
            used = r->cells[k].transport == t;
        if (!used)
            continue;
        fprintf(f, "%s\n    {", separator);
        put_field(f, "name", t->name);
        put_field(f, "group", t->group);
        put_field(f, "what", t->what);
        fprintf(f, "\"in_one_process\": %s, \"lock_free\": %s, \"batch\": %s}",
                truth(t->flags & IN_ONE_PROCESS), truth(t->flags & IS_LOCK_FREE),
                truth(t->flags & IS_BATCH));
        separator = ",";
    }
    fputs("\n  ],\n  \"not_built\": [", f);
    separator = "";
    for (const struct absent *a = absent_transports; a->names; a++) {
        fprintf(f, "%s\n    {", separator);
        put_field(f, "names", a->names);
        fputs("\"packages\": ", f);
        put_text(f, a->packages);
        putc('}', f);
        separator = ",";
    }
    fputs("\n  ],\n", f);
}

static void put_rounds(FILE *f, const struct results *r)
{
    const char *separator = "";
    fputs("  \"rounds\": [", f);
    for (int i = 0; i < r->n_cells; i++)
        for (int k = 0; k < r->cells[i].n_rounds; k++) {
            const struct round *round = &r->cells[i].rounds[k];
            fprintf(f, "%s\n    {", separator);
            put_cell_name(f, &r->cells[i]);
            fprintf(f, ", \"round\": %d, \"messages\": %llu, \"lost\": %llu", round->number,
                    (unsigned long long)round->messages, (unsigned long long)round->lost);
            put_metrics(f, &r->cells[i], round->metric);
            if (r->cells[i].mode == MANY || r->cells[i].mode == PARTICIPANTS)
                put_shares(f, r->cells[i].crew, round->share);
            if (mode_has_metric(r->cells[i].mode, M_MISSED)) {
                put_numbers(f, "received_million_per_s", round->received,
                            r->cells[i].crew.consumers);
                put_numbers(f, "missed_shares", round->missed, r->cells[i].crew.consumers);
            }
            if (round->stuck)
                fputs(", \"stuck\": true", f);
            fprintf(f, ", \"probe_ns\": [%.1f, %.1f], \"placement\": \"%s\"}", round->probe_ns[0],
                    round->probe_ns[1], placement_names[round->placement]);
            separator = ",";
        }
    fputs("\n  ],\n", f);
}

static void put_medians(FILE *f, const struct results *r)
{
    const char *separator = "";
    fputs("  \"medians\": [", f);
    for (int i = 0; i < r->n_cells; i++) {
        const struct cell *c = &r->cells[i];
        double metric[METRICS];
        if (c->n_rounds == 0)
            continue;
        for (int m = 0; m < METRICS; m++)
            metric[m] = cell_spread(c, (enum metric)m).median;
        fprintf(f, "%s\n    {", separator);
        put_cell_name(f, c);
        fprintf(f, ", \"rounds\": %d, \"near\": %d", c->n_rounds, cell_count(c, NEAR));
        put_metrics(f, c, metric);
        fprintf(f, ", \"probe_ns\": %.1f}", cell_probe(c).median);
        separator = ",";
    }
    fputs("\n  ],\n", f);
}

static void put_missing(FILE *f, const struct results *r)
{
    const char *separator = "";
    fputs("  \"missing\": [", f);
    for (int i = 0; i < r->n_cells; i++) {
        const struct cell *c = &r->cells[i];
        if (c->fate.state == DONE || c->fate.state == STUCK)
            continue;
        fprintf(f, "%s\n    {", separator);
        put_cell_name(f, c);
        fprintf(f, ", \"failed\": %s, \"reason\": ", truth(c->fate.state == FAILED));
        put_text(f, c->fate.error);
        putc('}', f);
        separator = ",";
    }
    fputs("\n  ]\n", f);
}

void report_json_begin(FILE *f, const struct options *o, const struct machine *m)
{
    fputs("{\n  ", f);
    put_field(f, "program", "shmring-bench " PACKAGE_VERSION);
    put_field(f, "library", m->library);
    fputs("\"date\": ", f);
    put_text(f, m->date);
    fputs(",\n", f);
    put_machine(f, m);
    put_options(f, o);
}

int report_json(const struct results *r, const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return -1;
    report_json_begin(f, r->options, r->machine);
    fprintf(f, "  \"near_limit_ns\": %.1f,\n", r->near_limit_ns);
    put_transports(f, r);
    put_rounds(f, r);
    put_medians(f, r);
    put_missing(f, r);
    fputs("}\n", f);
    return report_finish(f);
}
