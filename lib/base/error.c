/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmring/shmring.h>

enum { TEXT_SIZE = 640 };

static __thread struct shmr_detail detail SHMR_SIGNAL_SAFE_TLS;
static __thread char *text SHMR_SIGNAL_SAFE_TLS; /* TEXT_SIZE bytes; NULL: not allocated yet */

/* ---- The words ------------------------------------------------------------------------------- */

/* Frees a thread's text when the thread ends. */
static pthread_key_t text_key;
static bool have_text_key;
static pthread_once_t text_once = PTHREAD_ONCE_INIT;

static void free_text(void *old)
{
    text = NULL;
    free(old);
}

static void make_text_key(void)
{
    have_text_key = pthread_key_create(&text_key, free_text) == 0;
}

/* Make sure that this thread has its text. Its first failure allocates it. */
static bool have_text(void)
{
    if (text)
        return true;
    pthread_once(&text_once, make_text_key);
    char *made = have_text_key ? malloc(TEXT_SIZE) : NULL;
    if (!made || pthread_setspecific(text_key, made) != 0) {
        free(made);
        return false;
    }
    text = made;
    return true;
}

/* ---- Noting what is wrong -------------------------------------------------------------------- */

int shmr_fail_fast(int error, const char *format, uint64_t a, uint64_t b)
{
    detail = (struct shmr_detail){.format = format, .a = a, .b = b};
    return -error;
}

int shmr_fail_call(int error, const char *format, uint64_t a, uint64_t b)
{
    detail = (struct shmr_detail){.format = format, .a = a, .b = b, .call = errno};
    return -error;
}

int shmr_fail(int error, const char *format, ...)
{
    va_list args;

    if (!have_text())
        return shmr_fail_fast(error, "no memory is left to say what was wrong", 0, 0);
    va_start(args, format);
    vsnprintf(text, TEXT_SIZE, format, args);
    va_end(args);
    detail.format = NULL; /* stored last, because a signal handler may have set it meanwhile */
    return -error;
}

struct shmr_detail shmr_detail_save(void)
{
    return detail;
}

void shmr_detail_restore(const struct shmr_detail *saved)
{
    detail = *saved;
}

const char *shmring_strerror_detail(void)
{
    const struct shmr_detail now = detail;

    if (!now.format)
        return text ? text : "";
    if (!now.call && !strchr(now.format, '%'))
        return now.format;
    if (!have_text())
        return "no memory is left to say what was wrong";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n =
        snprintf(text, TEXT_SIZE, now.format, (unsigned long long)now.a, (unsigned long long)now.b);
#pragma GCC diagnostic pop
    if (now.call && n >= 0 && n < TEXT_SIZE)
        snprintf(text + n, TEXT_SIZE - (size_t)n, ": %s", strerror(now.call));
    detail.format = NULL;
    return text;
}
