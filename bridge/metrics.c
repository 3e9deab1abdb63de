/* SPDX-License-Identifier: MIT */
/* Metrics as OpenMetrics text, in a file for a collector. The file is replaced as a whole, so that
 * the collector never reads half of it. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bridge.h"

/* A label's value: with '\', '"' and the end of line escaped. */
static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            fputc('\\', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

static uint64_t depth_of(const struct route *r)
{
    struct shmring_stat st;

    return shmring_stat(r->q, &st) == 0 ? st.depth : 0;
}

static uint64_t value_of(const struct route *r, int what)
{
    const bool out = r->config->direction == TO_SUBJECT;

    switch (what) {
    case 0:
        return r->counters.messages;
    case 1:
        return r->counters.bytes;
    case 2:
        return r->counters.redelivered;
    case 3:
        return r->counters.dead_lettered;
    case 4:
        return r->out ? out_in_flight(r) : r->in ? in_in_flight(r) : 0;
    case 5:
        return out ? depth_of(r) : r->in ? in_lag(r) : 0;
    default:
        return !r->bridge->ended && !r->stopped && !r->lost && r->ready && r->bridge->connected;
    }
}

static void put_all(const struct bridge *b, FILE *out)
{
    static const struct {
        const char *name, *type, *help;
    } families[] = {
        {"messages", "counter", "Messages passed on and acknowledged."},
        {"bytes", "counter", "Their payload."},
        {"redelivered", "counter", "Messages that came again and were known to be there already."},
        {"dead_lettered", "counter", "Messages that went to the dead-letter queue."},
        {"in_flight", "gauge", "Messages on their way: published or asked for."},
        {"lag", "gauge", "Messages still to be passed on: in the queue, or in the stream."},
        {"up", "gauge", "1 while messages can move."},
    };

    for (int what = 0; what < (int)(sizeof families / sizeof families[0]); what++) {
        fprintf(out, "# TYPE shmring_bridge_%s %s\n# HELP shmring_bridge_%s %s\n",
                families[what].name, families[what].type, families[what].name, families[what].help);
        for (size_t i = 0; i < b->count; i++) {
            const struct route *r = &b->routes[i];
            fprintf(out, "shmring_bridge_%s%s{route=\"", families[what].name,
                    strcmp(families[what].type, "counter") == 0 ? "_total" : "");
            put_escaped(out, r->config->name);
            fputs("\",queue=\"", out);
            put_escaped(out, r->config->queue);
            fputs("\",stream=\"", out);
            put_escaped(out, r->config->stream);
            fprintf(out, "\",direction=\"%s\"} %" PRIu64 "\n",
                    r->config->direction == TO_SUBJECT ? "to-subject" : "to-queue",
                    value_of(r, what));
        }
    }
    fprintf(out,
            "# TYPE shmring_bridge_reconnects counter\n"
            "# HELP shmring_bridge_reconnects Times the server was found again.\n"
            "shmring_bridge_reconnects_total %" PRIu64 "\n"
            "# TYPE shmring_bridge_written_seconds gauge\n"
            "# HELP shmring_bridge_written_seconds When this was written, every ten seconds: an "
            "older file is that of a bridge that was killed.\n"
            "shmring_bridge_written_seconds %lld\n# EOF\n",
            (uint64_t)b->reconnects, (long long)time(NULL));
}

void metrics_write(const struct bridge *b)
{
    const char *path = b->config->openmetrics;
    char temporary[512];

    if (!path)
        return;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *out = fopen(temporary, "we");
    if (out) {
        put_all(b, out);
        bool bad = ferror(out) != 0;
        if (fclose(out) == 0 && !bad && rename(temporary, path) == 0)
            return;
    }
    say(LOG_WARNING, "cannot write %s: %s", path, strerror(errno));
}
