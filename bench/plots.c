/* SPDX-License-Identifier: MIT */
/*
 * Pictures: one of the throughput by size for each way to wait, and one of the latency distribution
 * for each way to wait and size. Each is NAME.dat, a block a transport, and NAME.gp, which makes
 * NAME.svg and NAME.png of it when gnuplot runs in their folder.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plots.h"
#include "ticks.h"
#include "workers.h"

/* One curve: a transport, with its cells of one picture. */
struct curve {
    const struct transport *transport;
    double height; /* height of the right end, to order the legend as the curves */
};

struct picture {
    const struct results *results;
    enum mode mode;
    enum wait wait;
    size_t size; /* of a latency picture */
    char name[NAME_ROOM];
    struct curve *curves;
    int n;
};

/* Each group has a hue; its members have different points. */
static const struct {
    const char *name;
    const char *colour;
    int point;
} styles[] = {
    {"shmring", "#08306b", 7},        {"shmring-zerocopy", "#2171b5", 5},
    {"shmring-batch", "#6baed6", 9},  {"shmring-mpmc", "#41b6c4", 13},
    {"pipe", "#d94801", 7},           {"pipe-batch", "#fdae6b", 5},
    {"fifo", "#f16913", 9},           {"unix-stream", "#00441b", 7},
    {"unix-seqpacket", "#238b45", 5}, {"unix-dgram", "#74c476", 9},
    {"tcp", "#7f6000", 11},           {"udp", "#bf9000", 13},
    {"posix-mq", "#6a51a3", 7},       {"sysv-msg", "#9e9ac8", 5},
    {"sysv-shm", "#cb181d", 7},       {"posix-shm", "#fb6a4a", 5},
    {"mailbox", "#252525", 3},        {"stream", "#252525", 9},
    {"eventfd", "#737373", 7},
};

static bool belongs(const struct picture *p, const struct cell *c)
{
    return c->n_rounds > 0 && c->mode == p->mode && c->wait == p->wait &&
           (p->mode == THROUGHPUT
                ? c->size > 0
                : c->size == p->size || (c->size == 0 && p->size == p->results->options->sizes[0]));
}

static int by_height(const void *a, const void *b)
{
    double x = ((const struct curve *)a)->height, y = ((const struct curve *)b)->height;
    return (x < y) - (x > y);
}

/* Collect the curves. Returns 0 or -1 with errno. */
static int collect(struct picture *p)
{
    const struct results *r = p->results;
    p->n = 0;
    p->curves = calloc((size_t)r->n_cells + 1, sizeof *p->curves);
    if (!p->curves)
        return -1;
    for (int i = 0; i < r->n_cells; i++) {
        const struct cell *c = &r->cells[i];
        int k = 0;
        if (!belongs(p, c))
            continue;
        while (k < p->n && p->curves[k].transport != c->transport)
            k++;
        if (k == p->n)
            p->n++;
        p->curves[k] = (struct curve){
            c->transport, cell_spread(c, p->mode == THROUGHPUT ? M_MESSAGES : M_P99).median};
    }
    qsort(p->curves, (size_t)p->n, sizeof *p->curves, by_height);
    return 0;
}

/* For each value, the share of samples that are smaller, as 1 / (1 - share). */
static void put_distribution(FILE *f, const struct cell *c)
{
    const struct histogram *h = c->histogram;
    uint64_t below = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->count[i] == 0)
            continue;
        fprintf(f, "%.8g %.6g\n", (double)h->samples / (double)(h->samples - below),
                ticks_to_ns(histogram_value(i)) / 1e3);
        below += h->count[i];
    }
}

static void put_curve(FILE *f, const struct picture *p, const struct transport *t)
{
    fprintf(f, "# %s\n", t->name);
    for (int i = 0; i < p->results->n_cells; i++) {
        const struct cell *c = &p->results->cells[i];
        if (c->transport != t || !belongs(p, c))
            continue;
        if (p->mode == THROUGHPUT) {
            struct spread s = cell_spread(c, M_MESSAGES);
            fprintf(f, "%zu %.6g %.6g %.6g\n", c->size, s.median, s.low, s.high);
        } else {
            put_distribution(f, c);
        }
    }
    fputs("\n\n", f);
}

/* The median of all probes of the session, us. */
static double probe_us(const struct picture *p)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < p->results->n_cells; i++)
        if (belongs(p, &p->results->cells[i])) {
            sum += cell_probe(&p->results->cells[i]).median;
            n++;
        }
    return n > 0 ? sum / n / 1e3 : 0;
}

static void put_axes(FILE *f, const struct picture *p)
{
    const struct options *o = p->results->options;
    char text[32];
    if (p->mode != THROUGHPUT) {
        fprintf(f,
                "set title '%s, %s, messages of %s' font ',16'\n"
                "set xlabel 'share of the samples'\n"
                "set ylabel 'microseconds'\n"
                "set xtics ('0 %%%%' 1, '50 %%%%' 2, '90 %%%%' 10, '99 %%%%' 100, '99.9 %%%%' 1e3, "
                "'99.99 %%%%' 1e4)\n"
                "set xrange [1:2e4]\n",
                p->mode == LATENCY ? "Round trip" : "One way from the moment it was due",
                wait_words[p->wait], report_size(text, sizeof text, p->size));
        return;
    }
    size_t low = o->sizes[0], high = o->sizes[0];
    fprintf(f,
            "set title 'Throughput, %s' font ',16'\n"
            "set xlabel 'bytes a message'\n"
            "set ylabel 'million messages a second'\n"
            "set xtics (",
            wait_words[p->wait]);
    for (int i = 0; i < o->n_sizes; i++) {
        low = o->sizes[i] < low ? o->sizes[i] : low;
        high = o->sizes[i] > high ? o->sizes[i] : high;
        fprintf(f, "%s'%s' %zu", i > 0 ? ", " : "", report_size(text, sizeof text, o->sizes[i]),
                o->sizes[i]);
    }
    fprintf(f, ")\nset xrange [%g:%g]\n", (double)low / 1.5, (double)high * 1.5);
}

static void put_styles(FILE *f, const struct picture *p)
{
    for (int i = 0; i < p->n; i++) {
        const char *name = p->curves[i].transport->name;
        for (size_t k = 0; k < sizeof styles / sizeof *styles; k++)
            if (strcmp(styles[k].name, name) == 0)
                fprintf(f, "set style line %d lc rgb '%s' lw %d pt %d ps 0.9 pi %d\n", i + 1,
                        styles[k].colour, strncmp(name, "shmring", 7) == 0 ? 3 : 2, styles[k].point,
                        p->mode == THROUGHPUT ? 1 : -40);
    }
}

void plots_begin(FILE *f, const char *name)
{
    fprintf(f,
            "# Run gnuplot in this folder.\n"
            "set terminal svg size 1100,680 font 'DejaVu Sans,13' background rgb 'white'\n"
            "set output '%s.svg'\n"
            "set format y '%%g'\n"
            "set grid xtics ytics lt 1 dt 1 lc rgb '#dcdcdc' lw 1\n"
            "set border 3 lc rgb '#404040'\n"
            "set tics nomirror\n"
            "set key outside right center Left reverse spacing 1.3 samplen 2\n",
            name);
}

void plots_end(FILE *f, const char *name)
{
    fprintf(f,
            "set terminal pngcairo size 1100,680 font 'DejaVu Sans,11' background rgb 'white'\n"
            "set output '%s.png'\n"
            "replot\n",
            name);
}

static void put_script(FILE *f, const struct picture *p)
{
    plots_begin(f, p->name);
    fputs("set logscale xy\n", f);
    put_axes(f, p);
    put_styles(f, p);
    fputs("plot", f);
    if (p->mode != THROUGHPUT)
        fprintf(f, " %g with lines lc rgb '#202020' dt 2 lw 1.5 title 'raw cache line', \\\n    ",
                probe_us(p));
    for (int i = 0; i < p->n && p->mode == THROUGHPUT; i++) /* thin, below the curves */
        fprintf(
            f, " '%s.dat' index %d using 1:2:3:4 with yerrorbars ls %d lw 1 ps 0 notitle, \\\n    ",
            p->name, i, i + 1);
    for (int i = 0; i < p->n; i++)
        fprintf(f, " '%s.dat' index %d with linespoints ls %d title '%s'%s", p->name, i, i + 1,
                p->curves[i].transport->name, i + 1 < p->n ? ", \\\n    " : "\n");
    plots_end(f, p->name);
}

FILE *plots_open(const char *folder, const char *name, const char *suffix)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s.%s", folder, name, suffix) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return fopen(path, "we");
}

static int write_files(const struct picture *p, const char *folder)
{
    FILE *f = plots_open(folder, p->name, "dat");
    if (!f)
        return -1;
    for (int i = 0; i < p->n; i++)
        put_curve(f, p, p->curves[i].transport);
    if (report_finish(f) != 0)
        return -1;
    f = plots_open(folder, p->name, "gp");
    if (!f)
        return -1;
    put_script(f, p);
    return report_finish(f);
}

/* Write the files of one picture, if it has a curve, and note its name. */
static int write_picture(struct picture *p, const char *folder, struct names *names)
{
    int result = collect(p);
    if (result == 0 && p->n > 0) {
        result = write_files(p, folder);
        memcpy(names->name[names->n++], p->name, sizeof p->name);
    }
    free(p->curves);
    return result;
}

static int write_all(const struct results *r, const char *folder, struct names *names)
{
    struct picture p = {.results = r};
    for (int mode = 0; mode <= ONE_WAY; mode++)
        for (int wait = SPIN; wait <= BLOCK; wait++)
            for (int i = 0; i < (mode == THROUGHPUT ? 1 : r->options->n_sizes); i++) {
                p.mode = (enum mode)mode;
                p.wait = (enum wait)wait;
                p.size = r->options->sizes[i];
                if (mode == THROUGHPUT)
                    snprintf(p.name, sizeof p.name, "throughput-%s", wait_names[wait]);
                else
                    snprintf(p.name, sizeof p.name, "%s-%s-%zu", mode_names[mode], wait_names[wait],
                             p.size);
                if (write_picture(&p, folder, names) != 0)
                    return -1;
            }
    return 0;
}

int report_plots(const struct results *r, const char *folder)
{
    struct names names = {.n = 0};
    const char *gnuplot = getenv("GNUPLOT");
    if (!gnuplot || gnuplot[0] == '\0')
        gnuplot = "gnuplot";
    if ((mkdir(folder, 0777) != 0 && errno != EEXIST) || write_all(r, folder, &names) != 0 ||
        plots_many(r, folder, &names) != 0)
        return -1;
    for (int i = 0; i < names.n; i++) {
        char script[NAME_ROOM + 3];
        snprintf(script, sizeof script, "%s.gp", names.name[i]);
        const char *const argv[] = {gnuplot, script, NULL};
        int status = workers_spawn(argv, folder);
        /* -EACCES means that gnuplot was not found, and that a folder on PATH may not be
         * searched. */
        if (status == -ENOENT || (status == -EACCES && !strchr(gnuplot, '/'))) {
            fprintf(stderr,
                    "shmring-bench: no pictures: %s is not installed (Debian: apt-get install "
                    "gnuplot-nox). The data and scripts are in %s: run gnuplot *.gp there.\n",
                    gnuplot, folder);
            return 0;
        }
        if (status != 0) {
            fprintf(stderr, "shmring-bench: %s failed on %s/%s\n", gnuplot, folder, script);
            return 1;
        }
    }
    if (!r->options->quiet)
        for (int i = 0; i < names.n; i++)
            printf("%s%s/%s.svg, .png\n", i == 0 ? "\n" : "", folder, names.name[i]);
    return 0;
}
