/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "error.h"

#include <stdarg.h>
#include <stdio.h>

#include <shmring/shmring.h>

/* initial-exec: reached without a call, so also from a signal handler. */
static __thread struct {
    const char *format; /* not yet put into words; NULL: text is ready */
    uint64_t a, b;
    char text[640];
} detail __attribute__((tls_model("initial-exec")));

int shmr_fail(int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    detail.format = NULL;
    vsnprintf(detail.text, sizeof detail.text, format, args);
    va_end(args);
    return -error;
}

int shmr_fail_fast(int error, const char *format, uint64_t a, uint64_t b)
{
    detail.format = format;
    detail.a = a;
    detail.b = b;
    return -error;
}

const char *shmring_strerror_detail(void)
{
    if (detail.format) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(detail.text, sizeof detail.text, detail.format, (unsigned long long)detail.a,
                 (unsigned long long)detail.b);
#pragma GCC diagnostic pop
        detail.format = NULL;
    }
    return detail.text;
}
