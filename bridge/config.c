/* SPDX-License-Identifier: MIT */
/*
 * The configuration file: sections [server] and [route NAME] with lines KEY = VALUE. '#' at the
 * beginning of a line makes it a comment.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

static char *copy(const char *text)
{
    char *made = strdup(text);

    if (!made) {
        say(LOG_ERROR, "out of memory");
        exit(1);
    }
    return made;
}

static const char *set_text(char **field, const char *value)
{
    if (value[0] == '\0')
        return "the value is empty";
    free(*field);
    *field = copy(value);
    return NULL;
}

static const char *set_bool(bool *field, const char *value)
{
    if (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0) {
        *field = value[0] == 'y';
        return NULL;
    }
    return "the value is neither yes nor no";
}

static const char *set_number(uint64_t *field, const char *value, uint64_t least, uint64_t most)
{
    static char wrong[80];
    char *end;

    errno = 0;
    uint64_t number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || number < least ||
        number > most) {
        snprintf(wrong, sizeof wrong, "the value is no number from %llu to %llu",
                 (unsigned long long)least, (unsigned long long)most);
        return wrong;
    }
    *field = number;
    return NULL;
}

/* A name that becomes a part of subjects of the JetStream API: it may contain no character that
 * ends a part, or is a wildcard. */
static const char *set_name(char **field, const char *value)
{
    if (strpbrk(value, " \t.*>/\\") != NULL)
        return "the name of a stream or consumer has no blank, '.', '*', '>', '/' or '\\'";
    return set_text(field, value);
}

static const char *set_subject(char **field, const char *value)
{
    if (strpbrk(value, " \t") != NULL || value[0] == '.' || strstr(value, "..") != NULL ||
        (value[0] != '\0' && value[strlen(value) - 1] == '.'))
        return "a subject is words with '.' in between";
    return set_text(field, value);
}

static const char *set_server(struct config *c, const char *key, const char *value)
{
    struct {
        const char *key;
        char **field;
    } texts[] = {
        {"url", &c->url},
        {"user", &c->user},
        {"password", &c->password},
        {"credentials", &c->credentials},
        {"tls-ca", &c->tls_ca},
        {"tls-cert", &c->tls_cert},
        {"tls-key", &c->tls_key},
        {"name", &c->name},
        {"openmetrics", &c->openmetrics},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(key, texts[i].key) == 0)
            return set_text(texts[i].field, value);
    return strcmp(key, "tls") == 0 ? set_bool(&c->tls, value) : "no such key in [server]";
}

static const char *set_direction(enum direction *field, const char *value)
{
    *field = strcmp(value, "to-subject") == 0 ? TO_SUBJECT
             : strcmp(value, "to-queue") == 0 ? TO_QUEUE
                                              : NOWHERE;
    return *field == NOWHERE ? "the value is neither to-subject nor to-queue" : NULL;
}

static const char *set_storage(bool *memory, const char *value)
{
    *memory = strcmp(value, "memory") == 0;
    return *memory || strcmp(value, "file") == 0 ? NULL : "the value is neither file nor memory";
}

const char *config_set(struct config *c, struct route_config *r, const char *key, const char *value)
{
    if (!r)
        return set_server(c, key, value);
    if (strcmp(key, "direction") == 0)
        return set_direction(&r->direction, value);
    if (strcmp(key, "queue") == 0)
        return set_text(&r->queue, value);
    if (strcmp(key, "dead-letter") == 0)
        return set_text(&r->dead_letter, value);
    if (strcmp(key, "state") == 0)
        return set_text(&r->state, value);
    if (strcmp(key, "subject") == 0)
        return set_subject(&r->subject, value);
    if (strcmp(key, "stream") == 0)
        return set_name(&r->stream, value);
    if (strcmp(key, "consumer") == 0)
        return set_name(&r->consumer, value);
    if (strcmp(key, "wait") == 0)
        return set_bool(&r->wait, value);
    if (strcmp(key, "create-stream") == 0)
        return set_bool(&r->create, value);
    if (strcmp(key, "storage") == 0)
        return set_storage(&r->memory, value);
    if (strcmp(key, "message-ids") == 0)
        return set_bool(&r->ids, value);
    if (strcmp(key, "replicas") == 0)
        return set_number(&r->replicas, value, 1, 5);
    if (strcmp(key, "duplicates") == 0)
        return set_number(&r->duplicates, value, 1, 86400);
    if (strcmp(key, "window") == 0)
        return set_number(&r->window, value, 1, 65536);
    if (strcmp(key, "ack-wait") == 0)
        return set_number(&r->ack_wait, value, 100, 3600000);
    return "no such key in [route]";
}

struct route_config *config_add_route(struct config *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->routes[i].name, name) == 0)
            return NULL;
    struct route_config *more = realloc(c->routes, (c->count + 1) * sizeof *more);
    if (!more) {
        say(LOG_ERROR, "out of memory");
        exit(1);
    }
    c->routes = more;
    c->routes[c->count] = (struct route_config){
        .name = copy(name),
        .wait = true,
        .ids = true,
        .replicas = 1,
        .duplicates = 120,
        .window = 4096,
        .ack_wait = 5000,
    };
    return &c->routes[c->count++];
}

/* Cut off the blanks at both ends. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    for (size_t n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--)
        text[n - 1] = '\0';
    return text;
}

struct reader {
    struct config *config;
    bool in_section;
    size_t route; /* index + 1; 0: [server] */
};

static const char *read_section(struct reader *r, char *line)
{
    size_t n = strlen(line);

    if (line[n - 1] != ']')
        return "a section ends with ']'";
    line[n - 1] = '\0';
    line = trim(line + 1);
    r->in_section = true;
    r->route = 0;
    if (strcmp(line, "server") == 0)
        return NULL;
    if (strncmp(line, "route", 5) != 0 || !isspace((unsigned char)line[5]))
        return "a section is [server] or [route NAME]";
    if (!config_add_route(r->config, trim(line + 5)))
        return "there is a route of this name already";
    r->route = r->config->count;
    return NULL;
}

static const char *read_line(struct reader *r, char *line)
{
    line = trim(line);
    if (line[0] == '\0' || line[0] == '#')
        return NULL;
    if (line[0] == '[')
        return read_section(r, line);
    char *value = strchr(line, '=');
    if (!value)
        return "a line is KEY = VALUE, [section] or a comment";
    if (!r->in_section)
        return "a KEY = VALUE before the first [section]";
    *value++ = '\0';
    return config_set(r->config, r->route ? &r->config->routes[r->route - 1] : NULL, trim(line),
                      trim(value));
}

int config_read(struct config *c, const char *path)
{
    struct reader reader = {.config = c};
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    int number = 0, result = 0;

    if (!file) {
        say(LOG_ERROR, "%s: %s", path, strerror(errno));
        return -1;
    }
    while (result == 0 && getline(&line, &size, file) >= 0) {
        const char *wrong = read_line(&reader, line);
        number++;
        if (wrong) {
            say(LOG_ERROR, "%s:%d: %s", path, number, wrong);
            result = -1;
        }
    }
    if (ferror(file)) {
        say(LOG_ERROR, "%s: %s", path, strerror(errno));
        result = -1;
    }
    free(line);
    fclose(file);
    return result;
}

const char *config_check(const struct config *c)
{
    static char wrong[300];

    if (c->count == 0)
        return "no route: give a configuration file or --route";
    if (!!c->tls_cert != !!c->tls_key)
        return "tls-cert and tls-key belong together";
    if (!!c->user != !!c->password)
        return "user and password belong together";
    for (size_t i = 0; i < c->count; i++) {
        const struct route_config *r = &c->routes[i];
        const char *missing = r->direction == NOWHERE                                ? "direction"
                              : !r->queue                                            ? "queue"
                              : !r->stream                                           ? "stream"
                              : r->direction == TO_SUBJECT && !r->subject            ? "subject"
                              : r->direction == TO_QUEUE && !r->consumer             ? "consumer"
                              : r->direction == TO_QUEUE && r->create && !r->subject ? "subject"
                                                                                     : NULL;
        if (missing) {
            snprintf(wrong, sizeof wrong, "route %s: %s is missing", r->name, missing);
            return wrong;
        }
        if (r->direction == TO_SUBJECT && strpbrk(r->subject, "*>")) {
            snprintf(wrong, sizeof wrong, "route %s: one cannot publish to the pattern %s", r->name,
                     r->subject);
            return wrong;
        }
    }
    return NULL;
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct route_config *r = &c->routes[i];
        char *texts[] = {r->name,     r->queue,       r->subject, r->stream,
                         r->consumer, r->dead_letter, r->state};
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
            free(texts[t]);
    }
    char *texts[] = {c->url,      c->user,    c->password, c->credentials, c->tls_ca,
                     c->tls_cert, c->tls_key, c->name,     c->openmetrics};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        free(texts[t]);
    free(c->routes);
    *c = (struct config){0};
}
