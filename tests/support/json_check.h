/* SPDX-License-Identifier: MIT */
/* Is a text one JSON value (RFC 8259)? For tests of programs that write JSON. */
#ifndef TESTS_JSON_CHECK_H
#define TESTS_JSON_CHECK_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Each function takes the start of a part and returns its end, or NULL if it is no JSON. */
static inline const char *json_value(const char *p);

static inline const char *json_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static inline const char *json_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p != '\\')
            continue;
        p++;
        if (*p == 'u') {
            for (int i = 0; i < 4; i++)
                if (!isxdigit((unsigned char)*++p))
                    return NULL;
        } else if (*p == '\0' || !strchr("\"\\/bfnrt", *p)) {
            return NULL;
        }
    }
    return p + 1;
}

static inline const char *json_digits(const char *p)
{
    size_t n = strspn(p, "0123456789");
    return n > 0 ? p + n : NULL;
}

static inline const char *json_number(const char *p)
{
    p += *p == '-';
    if (*p == '0' && isdigit((unsigned char)p[1]))
        return NULL;
    p = json_digits(p);
    if (p && *p == '.')
        p = json_digits(p + 1);
    if (p && (*p == 'e' || *p == 'E'))
        p = json_digits(p + 1 + (p[1] == '+' || p[1] == '-'));
    return p;
}

/* The members of an object, or, where close is ']', the elements of an array. */
static inline const char *json_members(const char *p, char close)
{
    p = json_space(p + 1);
    if (*p == close)
        return p + 1;
    for (;; p++) {
        p = json_space(p);
        if (close == '}') {
            p = json_string(p);
            if (!p || *(p = json_space(p)) != ':')
                return NULL;
            p = json_space(p + 1);
        }
        p = json_value(p);
        if (!p)
            return NULL;
        p = json_space(p);
        if (*p == close)
            return p + 1;
        if (*p != ',')
            return NULL;
    }
}

static inline const char *json_value(const char *p)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*p == '{')
        return json_members(p, '}');
    if (*p == '[')
        return json_members(p, ']');
    if (*p == '"')
        return json_string(p);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(p, words[i], strlen(words[i])) == 0)
            return p + strlen(words[i]);
    return json_number(p);
}

static inline bool json_is_valid(const char *text)
{
    const char *end = json_value(json_space(text));
    return end && *json_space(end) == '\0';
}

#endif
