/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "report.h"

const char *report_size(char *to, size_t room, size_t size)
{
    if (size >= 1 << 20 && size % (1 << 20) == 0)
        snprintf(to, room, "%zu MiB", size >> 20);
    else if (size >= 1 << 10 && size % (1 << 10) == 0)
        snprintf(to, room, "%zu KiB", size >> 10);
    else
        snprintf(to, room, "%zu B", size);
    return to;
}

int report_finish(FILE *f)
{
    bool bad = ferror(f) != 0;
    return fclose(f) != 0 || bad ? -1 : 0;
}
