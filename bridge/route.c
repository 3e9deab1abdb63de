/* SPDX-License-Identifier: MIT */
/* What both directions have in common. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "bridge.h"

enum { FIND_EVERY = 500 /* ms */ };

/* Open the route's queues; *name: the one that could not be opened. */
static int open_queues(struct route *r, const char **name)
{
    const struct route_config *c = r->config;

    *name = c->queue;
    int result = c->direction == TO_SUBJECT ? shmring_open(&r->q, c->queue, SHMRING_CONSUMER)
                                            : row_open(&r->q, c->queue, &r->row);
    if (result == 0 && c->dead_letter && !r->dead_letter) {
        *name = c->dead_letter;
        result = shmring_open(&r->dead_letter, c->dead_letter, SHMRING_PRODUCER);
    }
    return result;
}

/* After this error, may the queue be there later? */
static bool may_come(const struct route *r, int error)
{
    return r->config->wait && (error == -ENOENT || error == -EAGAIN);
}

static const char *words_of(int error)
{
    return error == -EAGAIN ? "its creator is at work, or has died" : shmring_strerror_detail();
}

/* Log the error if it is not that of the attempt before. */
static void say_why_not(struct route *r, const char *name, int error)
{
    if (error != r->find_error)
        say(may_come(r, error) ? LOG_WARNING : LOG_ERROR, "route %s: %s: %s%s", r->config->name,
            name, words_of(error), may_come(r, error) ? ": waiting for it" : "");
    r->find_error = error;
}

int route_open(struct bridge *b, struct route *r, const struct route_config *config)
{
    const char *name;

    r->bridge = b;
    r->config = config;
    r->patience = 100;
    int result = open_queues(r, &name);
    if (result < 0) {
        say_why_not(r, name, result);
        shmring_close(&r->q);
        r->lost = may_come(r, result);
        if (!r->lost)
            return result;
        r->find_at = now_ms() + FIND_EVERY;
    }
    result = config->direction == TO_SUBJECT ? out_open(r) : in_open(r);
    if (result == 0 && !r->lost)
        result = r->out ? out_bind(r) : in_bind(r);
    return result;
}

/* The queue was removed: no other process will find it. */
static void lose_queue(struct route *r)
{
    say(LOG_WARNING, "route %s: the queue %s was removed: waiting for another one of that name",
        r->config->name, r->config->queue);
    route_watch(r, 0, false);
    r->lost = true;
    r->find_at = 0;
    r->find_error = -ENOENT;
}

void route_failed(struct route *r, int error)
{
    if (error == -ESTALE && r->config->wait && !r->stopped) {
        if (!r->lost)
            lose_queue(r);
    } else {
        /* The detail of the error may be from another thread: call again in this one. */
        route_stop(r, shmring_check(r->q) < 0 ? shmring_strerror_detail() : strerror(-error));
    }
}

bool route_find_queue(struct route *r)
{
    const int64_t now = now_ms();
    const char *name;

    if (r->find_at > now)
        return false;
    r->find_at = now + FIND_EVERY;
    if (r->in) /* its file goes with the old queue */
        in_unbind(r);
    shmring_close(&r->q);
    int result = open_queues(r, &name);
    if (result == 0)
        result = r->out ? out_bind(r) : in_bind(r);
    else
        say_why_not(r, name, result);
    if (result < 0) { /* also after another error: an administrator may mend its cause */
        if (r->in)
            in_unbind(r);
        shmring_close(&r->q);
        return false;
    }
    say(LOG_INFO, "route %s: the queue %s is there", r->config->name, r->config->queue);
    r->lost = false;
    r->find_error = 0;
    r->ready = false; /* find the stream again */
    r->look_again = 0;
    return true;
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
    if (!r->config->dead_letter) {
        char text[300];
        snprintf(text, sizeof text, "a message of %zu bytes, which stays where it is: %s", len,
                 why);
        route_stop(r, text);
        return -ENOENT;
    }
    if (r->dead_letter && r->config->wait && shmring_check(r->dead_letter) == -ESTALE)
        shmring_close(&r->dead_letter);
    int result = r->dead_letter
                     ? 0
                     : shmring_open(&r->dead_letter, r->config->dead_letter, SHMRING_PRODUCER);
    if (result < 0 && may_come(r, result)) {
        say_why_not(r, r->config->dead_letter, result);
        return -EAGAIN;
    }
    if (result == 0)
        result = shmring_send(r->dead_letter, msg, len);
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
