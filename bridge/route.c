/* SPDX-License-Identifier: MIT */
/* What both directions have in common. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "bridge.h"

/* row: NULL, or to be filled in. */
static int open_queue(shmring_t **q, const struct route_config *route, const char *name,
                      unsigned role, struct row *row)
{
    int r = row ? row_open(q, name, row) : shmring_open(q, name, role);

    if (r < 0)
        say(LOG_ERROR, "route %s: %s: %s", route->name, name,
            r == -EAGAIN ? "its creator is at work, or died doing so" : shmring_strerror_detail());
    return r;
}

int route_open(struct bridge *b, struct route *r, const struct route_config *config)
{
    const bool out = config->direction == TO_SUBJECT;
    struct shmring_stat st;

    r->bridge = b;
    r->config = config;
    r->patience = 100;
    int result = out ? open_queue(&r->q, config, config->queue, SHMRING_CONSUMER, NULL)
                     : open_queue(&r->q, config, config->queue, SHMRING_PRODUCER, &r->row);
    if (result == 0 && config->dead_letter)
        result = open_queue(&r->dead_letter, config, config->dead_letter, SHMRING_PRODUCER, NULL);
    if (result == 0)
        result = shmring_stat(r->q, &st);
    if (result < 0)
        return result;
    r->kind = st.kind;
    return out ? out_open(r) : in_open(r);
}

void route_silence(struct route *r)
{
    if (r->out)
        out_silence(r);
    if (r->in)
        in_silence(r);
}

void route_close(struct route *r)
{
    route_watch(r, 0, false);
    if (r->out)
        out_close(r);
    if (r->in)
        in_close(r);
    shmring_close(&r->q);
    shmring_close(&r->dead_letter);
}

void route_stop(struct route *r, const char *why)
{
    if (!r->stopped)
        say(LOG_ERROR, "route %s: stopped: %s", r->config->name, why);
    r->stopped = true;
    route_watch(r, 0, false);
}

int route_bury(struct route *r, const void *msg, size_t len, const char *why)
{
    if (!r->dead_letter) {
        char text[300];
        snprintf(text, sizeof text, "a message of %zu bytes, which stays where it is: %s", len,
                 why);
        route_stop(r, text);
        return -ENOENT;
    }
    int result = shmring_send(r->dead_letter, msg, len);
    if (result == 0) {
        say(LOG_WARNING, "route %s: a message of %zu bytes goes to %s: %s", r->config->name, len,
            r->config->dead_letter, why);
        r->counters.dead_lettered++;
    } else if (result != -EAGAIN) {
        route_stop(r, shmring_strerror_detail());
    }
    return result;
}

void route_watch(struct route *r, unsigned event, bool wanted)
{
    if (wanted == r->in_mux)
        return;
    int result = wanted ? shmring_mux_add(r->bridge->mux, r->q, event, r)
                        : shmring_mux_remove(r->bridge->mux, r->q);
    if (wanted && result < 0) {
        r->in_mux = false;
        route_stop(r, shmring_strerror_detail());
        return;
    }
    r->in_mux = wanted;
}
