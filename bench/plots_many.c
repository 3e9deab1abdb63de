/* SPDX-License-Identifier: MIT */
/* The pictures of --mode mpmc, one for each queue and size. Each configuration has bars, one for
 * each way to wait. */
#include <config.h>

#include <string.h>

#include "plots.h"

static const double WIDTH = 0.76; /* of a configuration's bars; configurations are 1 apart */

static bool belongs(const struct cell *c, const struct transport *t, size_t size, enum wait wait)
{
    return c->mode == MANY && c->n_rounds > 0 && c->transport == t && c->size == size &&
           c->wait == wait;
}

static bool was_measured(const struct results *r, const struct transport *t, size_t size,
                         enum wait wait)
{
    for (int i = 0; i < r->n_cells; i++)
        if (belongs(&r->cells[i], t, size, wait))
            return true;
    return false;
}

/* A configuration's place on the axis: its index in the list. */
static int place_of(const struct options *o, struct crew crew)
{
    int k = 0;
    while (o->configs[k].producers != crew.producers || o->configs[k].consumers != crew.consumers)
        k++;
    return k;
}

/* The bars for one way to wait, shifted from the middle of each configuration. */
static void put_bars(FILE *f, const struct results *r, const struct transport *t, size_t size,
                     enum wait wait, double place)
{
    fprintf(f, "# %s\n", wait_words[wait]);
    for (int i = 0; i < r->n_cells; i++) {
        const struct cell *c = &r->cells[i];
        if (!belongs(c, t, size, wait))
            continue;
        const struct spread s = cell_spread(c, M_MESSAGES);
        fprintf(f, "%g %.6g %.6g %.6g\n", place_of(r->options, c->crew) + place, s.median, s.low,
                s.high);
    }
    fputs("\n\n", f);
}

/* The upper end of the axis; more than 0 even when no message came. */
static double top_of(const struct results *r, const struct transport *t, size_t size)
{
    double top = 0;
    for (int i = 0; i < r->n_cells; i++)
        if (belongs(&r->cells[i], t, size, r->cells[i].wait)) {
            const double high = cell_spread(&r->cells[i], M_MESSAGES).high;
            top = high > top ? high : top;
        }
    return top > 0 ? top * 1.1 : 1;
}

static void put_script(FILE *f, const struct results *r, const struct transport *t,
                       const char *name, size_t size, const bool has[WAITS], double width)
{
    static const char *const colours[WAITS] = {
        [SPIN] = "#08306b", [BLOCK] = "#c6dbef", [YIELD] = "#6baed6"};
    const struct options *o = r->options;
    char text[32];
    int index = 0;
    plots_begin(f, name);
    fprintf(f,
            "set title '%s: one queue, many producers (P) and consumers (C), messages of %s' "
            "font ',16'\n"
            "set ylabel 'million messages a second'\n"
            "set style fill solid border -1\n"
            "set xrange [-0.6:%g]\n"
            "set yrange [0:%g]\n"
            "set xtics (",
            t->name, report_size(text, sizeof text, size), o->n_configs - 0.4, top_of(r, t, size));
    for (int k = 0; k < o->n_configs; k++)
        fprintf(f, "%s'%dP%dC' %d", k > 0 ? ", " : "", o->configs[k].producers,
                o->configs[k].consumers, k);
    fputs(")\nplot", f);
    for (int wait = 0; wait < WAITS; wait++)
        if (has[wait]) {
            fprintf(
                f,
                "%s '%s.dat' index %d using 1:2:3:4:(%g) with boxerrorbars lc rgb '%s' title '%s'",
                index > 0 ? "," : "", name, index, width, colours[wait], wait_words[wait]);
            index++;
        }
    putc('\n', f);
    plots_end(f, name);
}

static int write_picture(const struct results *r, const struct transport *t, const char *folder,
                         size_t size, struct names *names)
{
    char name[NAME_ROOM];
    bool has[WAITS];
    int n_waits = 0, k = 0;
    for (int wait = 0; wait < WAITS; wait++)
        n_waits += has[wait] = was_measured(r, t, size, (enum wait)wait);
    const double width = WIDTH / n_waits;
    snprintf(name, sizeof name, "%s-%zu", t->name, size);
    FILE *f = plots_open(folder, name, "dat");
    if (!f)
        return -1;
    for (int wait = 0; wait < WAITS; wait++)
        if (has[wait])
            put_bars(f, r, t, size, (enum wait)wait, (k++ - (n_waits - 1) / 2.0) * width);
    if (report_finish(f) != 0)
        return -1;
    f = plots_open(folder, name, "gp");
    if (!f)
        return -1;
    put_script(f, r, t, name, size, has, width);
    memcpy(names->name[names->n++], name, sizeof name);
    return report_finish(f);
}

int plots_many(const struct results *r, const char *folder, struct names *names)
{
    for (int i = 0; i < r->options->n_sizes * TRANSPORTS_MAX; i++) {
        const struct transport *t = transports[i / r->options->n_sizes];
        const size_t size = r->options->sizes[i % r->options->n_sizes];
        bool any = false;
        if (!t)
            break;
        for (int wait = 0; wait < WAITS; wait++)
            any = any || was_measured(r, t, size, (enum wait)wait);
        if (any && write_picture(r, t, folder, size, names) != 0)
            return -1;
    }
    return 0;
}
