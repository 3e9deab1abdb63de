/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <stdarg.h>

#include "bridge.h"

enum level log_level = LOG_INFO;

void say(enum level level, const char *format, ...)
{
    static const char *const words[] = {"error", "warning", "info", "debug"};
    char line[1024];

    if (level > log_level)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; c++) /* a server's text must not add lines to the log */
        if ((unsigned char)*c < ' ')
            *c = '?';
    fprintf(stderr, "shmring-bridge: %s: %s\n", words[level], line);
}
