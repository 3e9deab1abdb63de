/* SPDX-License-Identifier: MIT */
/* Streams and consumers: found, or created if the route says so. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "bridge.h"

enum { SUBJECTS_MAX = 64, SECOND = 1000000000, MILLISECOND = 1000000 };

/* Log what the server answered, and return an error code. */
static int failed(const struct route_config *route, const char *what, const char *name,
                  natsStatus s, jsErrCode code)
{
    const char *why = nats_GetLastError(NULL);

    say(LOG_ERROR, "route %s: %s %s: %s%s%s (%d)", route->name, what, name, natsStatus_GetText(s),
        why ? ": " : "", why ? why : "", (int)code);
    return s == NATS_NOT_FOUND ? -ENOENT : -EAGAIN;
}

/* Create the stream with the subjects of all routes to it. */
static natsStatus create_stream(struct bridge *b, const struct route_config *route,
                                jsStreamInfo **info, jsErrCode *code)
{
    const char *subjects[SUBJECTS_MAX];
    jsStreamConfig config;
    int n = 0;

    for (size_t i = 0; i < b->config->count && n < SUBJECTS_MAX; i++) {
        const struct route_config *other = &b->config->routes[i];
        int known = 0;
        if (strcmp(other->stream, route->stream) != 0 || !other->subject)
            continue;
        while (known < n && strcmp(subjects[known], other->subject) != 0)
            known++;
        if (known == n)
            subjects[n++] = other->subject;
    }
    jsStreamConfig_Init(&config);
    config.Name = route->stream;
    config.Subjects = subjects;
    config.SubjectsLen = n;
    config.Storage = route->memory ? js_MemoryStorage : js_FileStorage;
    config.Replicas = (int64_t)route->replicas;
    config.Duplicates = (int64_t)route->duplicates * SECOND;
    say(LOG_INFO, "route %s: creating the stream %s", route->name, route->stream);
    return js_AddStream(info, b->js, &config, NULL, code);
}

static natsStatus create_consumer(struct bridge *b, const struct route_config *route,
                                  jsConsumerInfo **info, jsErrCode *code)
{
    jsConsumerConfig config;

    jsConsumerConfig_Init(&config);
    config.Durable = route->consumer;
    config.FilterSubject = route->subject;
    config.DeliverPolicy = js_DeliverAll;
    config.AckPolicy = js_AckExplicit;
    config.AckWait = (int64_t)route->ack_wait * MILLISECOND;
    /* Twice the window, as acknowledgements take time to arrive. A window of 1 keeps the order of
     * messages, so here it must be 1 too. */
    config.MaxAckPending = route->window == 1 ? 1 : (int64_t)route->window * 2;
    say(LOG_INFO, "route %s: creating the consumer %s", route->name, route->consumer);
    return js_AddConsumer(info, b->js, route->stream, &config, NULL, code);
}

static int find_consumer(struct bridge *b, const struct route_config *route,
                         struct stream_state *state)
{
    jsConsumerInfo *info = NULL;
    jsErrCode code = 0;
    natsStatus s = js_GetConsumerInfo(&info, b->js, route->stream, route->consumer, NULL, &code);

    if (s == NATS_NOT_FOUND && route->create)
        s = create_consumer(b, route, &info, &code);
    if (s != NATS_OK)
        return failed(route, "consumer", route->consumer, s, code);
    bool fits = info->Config->AckPolicy == js_AckExplicit &&
                (!info->Config->DeliverSubject || !*info->Config->DeliverSubject);
    state->ack_floor = info->AckFloor.Stream;
    jsConsumerInfo_Destroy(info);
    if (fits)
        return 0;
    say(LOG_ERROR, "route %s: consumer %s: it must be a pull consumer that acknowledges explicitly",
        route->name, route->consumer);
    return -EINVAL;
}

int stream_find(struct bridge *b, const struct route_config *route, struct stream_state *state)
{
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    natsStatus s = js_GetStreamInfo(&info, b->js, route->stream, NULL, &code);

    if (s == NATS_NOT_FOUND && route->create)
        s = create_stream(b, route, &info, &code);
    if (s != NATS_OK)
        return failed(route, "stream", route->stream, s, code);
    *state = (struct stream_state){.created = info->Created};
    jsStreamInfo_Destroy(info);
    return route->direction == TO_QUEUE ? find_consumer(b, route, state) : 0;
}
