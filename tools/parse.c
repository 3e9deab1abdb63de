/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* A number without sign or spaces; *end is what follows it. */
static bool parse_number(const char *text, int base, uint64_t *number, char **end)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *number = strtoull(text, end, base);
    return errno == 0;
}

bool parse_count(const char *text, uint64_t *count)
{
    char *end;
    return parse_number(text, 10, count, &end) && *end == '\0';
}

bool parse_size(const char *text, uint64_t *size)
{
    static const char suffixes[] = "KMG";
    char *end;
    if (!parse_number(text, 10, size, &end))
        return false;
    if (*end == '\0')
        return true;
    const char *suffix = strchr(suffixes, toupper((unsigned char)*end));
    if (!suffix || end[1] != '\0')
        return false;
    unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);
    if (*size > UINT64_MAX >> shift)
        return false;
    *size <<= shift;
    return true;
}

bool parse_mode(const char *text, uint32_t *mode)
{
    uint64_t number;
    char *end;
    if (!parse_number(text, 8, &number, &end) || *end != '\0' || number == 0 || number > 0777)
        return false;
    *mode = (uint32_t)number;
    return true;
}

bool parse_factor(const char *text, double *factor)
{
    const double least = 1e-6, most = 1e6;
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    *factor = strtod(text, &end);
    return end != text && *end == '\0' && *factor >= least && *factor <= most;
}

bool parse_seconds(const char *text, struct timespec *time)
{
    const double most = 1e9; /* some 30 years: no sum with the present overflows */
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds <= most))
        return false;
    time->tv_sec = (time_t)seconds;
    time->tv_nsec = (long)((seconds - (double)time->tv_sec) * 1e9);
    return true;
}
