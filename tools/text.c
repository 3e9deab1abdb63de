/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <time.h>

#include "tool.h"

void put_escaped_bytes(FILE *out, const void *bytes, size_t n)
{
    const unsigned char *c = bytes;
    for (; n > 0; c++, n--) {
        if (*c >= 0x20 && *c < 0x7f)
            fputc(*c, out);
        else
            fprintf(out, "\\x%02x", *c);
    }
}

void put_escaped(FILE *out, const char *text, size_t n)
{
    put_escaped_bytes(out, text, strnlen(text, n));
}

/* Length of the UTF-8 sequence at text, at most n bytes; 0: not UTF-8 (RFC 3629). */
static size_t utf8_length(const unsigned char *text, size_t n)
{
    size_t length = text[0] < 0x80                      ? 1
                    : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
                    : text[0] >= 0xe0 && text[0] < 0xf0 ? 3
                    : text[0] >= 0xf0 && text[0] < 0xf5 ? 4
                                                        : 0;
    if (length == 0 || length > n)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and beyond U+10FFFF. */
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] >= 0xa0) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] >= 0x90))
        return 0;
    return length;
}

/* A control character, also one of two bytes (U+0080 to U+009F), which terminals obey as well. */
static bool is_control(const unsigned char *text, size_t length)
{
    return *text < 0x20 || *text == 0x7f || (length == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

void put_json_bytes(FILE *out, const void *bytes, size_t n)
{
    fputc('"', out);
    for (size_t i = 0; i < n;) {
        const unsigned char *c = (const unsigned char *)bytes + i;
        size_t length = utf8_length(c, n - i);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (is_control(c, length))
            fprintf(out, "\\u%04x", c[length - 1]);
        else if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else
            fwrite(c, 1, length, out);
        i += length ? length : 1;
    }
    fputc('"', out);
}

void put_json_string(FILE *out, const char *text, size_t n)
{
    put_json_bytes(out, text, strnlen(text, n));
}

void put_label_value(FILE *out, const char *text)
{
    for (size_t left = strlen(text), length; left > 0; text += length, left -= length) {
        const unsigned char *c = (const unsigned char *)text;
        length = utf8_length(c, left);
        if (length == 0 || is_control(c, length) || *c == '\\') {
            fprintf(out, "\\\\x%02x", *c); /* a backslash is written as two */
            length = 1;
        } else {
            fprintf(out, *c == '"' ? "\\%.*s" : "%.*s", (int)length, text);
        }
    }
}

void put_size(FILE *out, uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    if (bytes < 10240 && bytes % 1024 != 0) {
        fprintf(out, "%" PRIu64, bytes);
        return;
    }
    if (bytes == 0) {
        fputc('0', out);
        return;
    }
    size_t unit = 0;
    uint64_t divisor = 1024;
    while (bytes / divisor >= 1024) {
        divisor *= 1024;
        unit++;
    }
    if (bytes % divisor == 0)
        fprintf(out, "%" PRIu64 "%c", bytes / divisor, units[unit]);
    else
        fprintf(out, "%.1f%c", (double)bytes / (double)divisor, units[unit]);
}

void put_time(FILE *out, int64_t ns)
{
    char text[32];
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        fputs(text, out);
    else
        fputc('?', out); /* a damaged segment may hold any value as a time */
}

void put_user(FILE *out, uint32_t uid)
{
    const struct passwd *user = getpwuid(uid);
    if (user)
        put_escaped(out, user->pw_name, strlen(user->pw_name));
    else
        fprintf(out, "%" PRIu32, uid);
}

const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

int close_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return complain("stdout", "cannot write: %s", strerror(errno));
}
