/* SPDX-License-Identifier: MIT */
/*
 * Is a text a valid OpenMetrics exposition (version 1.0) of gauges and counters? For tests of
 * programs that write it. Stricter than the standard: each family must have TYPE and HELP, in the
 * order TYPE, UNIT, HELP, and numbers must be finite.
 */
#ifndef TESTS_OPENMETRICS_CHECK_H
#define TESTS_OPENMETRICS_CHECK_H

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPENMETRICS_LINE = 1024, OPENMETRICS_LINES = 4096 };

/* The family declared last, and the series and families so far. */
struct openmetrics {
    char family[128], unit[64];
    bool counter, helped, sampled;
    char *seen[OPENMETRICS_LINES];
    size_t n;
};

static inline bool openmetrics_first_time(struct openmetrics *m, const char *text, size_t length)
{
    for (size_t i = 0; i < m->n; i++)
        if (strlen(m->seen[i]) == length && memcmp(m->seen[i], text, length) == 0)
            return false;
    if (m->n == OPENMETRICS_LINES)
        return false;
    m->seen[m->n++] = strndup(text, length);
    return true;
}

/* Each function takes the start of a part and returns its end, or NULL if it is wrong. */
static inline const char *openmetrics_name(const char *p, bool label)
{
    if (!isalpha((unsigned char)*p) && *p != '_' && (label || *p != ':'))
        return NULL;
    while (isalnum((unsigned char)*p) || *p == '_' || (!label && *p == ':'))
        p++;
    return p;
}

static inline const char *openmetrics_utf8(const char *p)
{
    unsigned char c = (unsigned char)*p++;
    int more = c < 0x80                ? 0
               : c >= 0xc2 && c < 0xe0 ? 1
               : (c & 0xf0) == 0xe0    ? 2
               : c >= 0xf0 && c < 0xf5 ? 3
                                       : -1;
    if (more < 0)
        return NULL;
    while (more-- > 0)
        if (((unsigned char)*p++ & 0xc0) != 0x80)
            return NULL;
    return p;
}

static inline const char *openmetrics_labels(const char *p)
{
    if (*p != '{')
        return p;
    for (;;) {
        p = openmetrics_name(p + 1, true);
        if (!p || p[0] != '=' || p[1] != '"')
            return NULL;
        for (p += 2; *p != '"';) {
            if (*p == '\\' && !strchr("\\\"n", *++p))
                return NULL;
            if (*p == '\0' || !(p = openmetrics_utf8(p)))
                return NULL;
        }
        if (*++p == '}')
            return p + 1;
        if (*p != ',')
            return NULL;
    }
}

static inline bool openmetrics_number(const char *p, bool counter)
{
    char *end;
    if (!isdigit((unsigned char)*p) && *p != '-')
        return false; /* no space, and nothing that only strtod() takes */
    double value = strtod(p, &end);
    return *end == '\0' && isfinite(value) && !(counter && value < 0);
}

static inline bool openmetrics_sample(struct openmetrics *m, const char *line)
{
    char expected[160];
    const char *end = openmetrics_name(line, false);
    snprintf(expected, sizeof expected, "%s%s", m->family, m->counter ? "_total" : "");
    if (!end || !m->helped || (size_t)(end - line) != strlen(expected) ||
        memcmp(line, expected, strlen(expected)) != 0)
        return false;
    end = openmetrics_labels(end);
    if (!end || *end != ' ' || !openmetrics_first_time(m, line, (size_t)(end - line)))
        return false;
    m->sampled = true;
    return openmetrics_number(end + 1, m->counter);
}

static inline bool openmetrics_head(struct openmetrics *m, const char *line)
{
    char word[8], name[128], rest[OPENMETRICS_LINE];
    if (sscanf(line, "# %7[A-Z] %127[^ ] %1023[^\n]", word, name, rest) != 3)
        return false;
    if (strcmp(word, "TYPE") == 0) {
        const char *end = openmetrics_name(name, false);
        if (!end || *end || !openmetrics_first_time(m, line, strlen("# TYPE ") + strlen(name)))
            return false;
        m->counter = strcmp(rest, "counter") == 0;
        m->helped = m->sampled = false;
        m->unit[0] = '\0';
        strcpy(m->family, name);
        /* A family's name must not end as the samples of counters and other types do. */
        size_t n = strlen(name);
        if (n > 6 && strcmp(name + n - 6, "_total") == 0)
            return false;
        return m->counter || strcmp(rest, "gauge") == 0;
    }
    if (strcmp(name, m->family) != 0 || m->helped || m->sampled)
        return false;
    if (strcmp(word, "HELP") == 0)
        return m->helped = true;
    if (strcmp(word, "UNIT") != 0 || m->unit[0] || strlen(rest) >= sizeof m->unit)
        return false;
    strcpy(m->unit, rest);
    size_t n = strlen(name), u = strlen(rest);
    return n > u + 1 && name[n - u - 1] == '_' && strcmp(name + n - u, rest) == 0;
}

/* NULL, or the first line that is wrong (valid until the next call). */
static inline const char *openmetrics_wrong(const char *text)
{
    static char line[OPENMETRICS_LINE];
    struct openmetrics m = {0};
    bool ended = false, good = true;
    line[0] = '\0';
    for (const char *end; good && *text; text = end + 1) {
        end = strchr(text, '\n');
        if (!end || end - text >= OPENMETRICS_LINE) {
            snprintf(line, sizeof line, "(no newline) %.100s", text);
            good = false;
            break;
        }
        memcpy(line, text, (size_t)(end - text));
        line[end - text] = '\0';
        good = !ended;
        if (good && strcmp(line, "# EOF") == 0)
            ended = true;
        else if (good)
            good = line[0] == '#' ? openmetrics_head(&m, line) : openmetrics_sample(&m, line);
    }
    while (m.n > 0)
        free(m.seen[--m.n]);
    return !good ? line : ended ? NULL : "(no # EOF)";
}

#endif
