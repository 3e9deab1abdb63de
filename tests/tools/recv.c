/* SPDX-License-Identifier: MIT */
/*
 * shmring recv --eof, while producers come and go between two of its steps. The command's own
 * source is in this program, so that the test can stop it there.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support.h"
#include "tools/tool.h"

TestSuite(tools_recv, .timeout = 60);

static char name[TEST_NAME_SIZE];

/* ---- What tools/main.c has, for a command line that is right ----------------------------------
 */

int help(const struct command *self)
{
    (void)self;
    abort();
}

int usage(const struct command *self, const char *format, ...)
{
    (void)self, (void)format;
    abort();
}

int bad_value(const struct command *self, const char *option, const char *value, const char *wanted)
{
    (void)self, (void)option, (void)value, (void)wanted;
    abort();
}

int complain(const char *of, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: ", of);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

int failed(const char *of, const char *what, int error)
{
    return complain(of, "%s: %s", what, error_detail(error));
}

const char *error_detail(int error)
{
    (void)error;
    return shmring_strerror_detail();
}

void *must(void *memory)
{
    child_assert(memory != NULL);
    return memory;
}

/* ---- Between two steps ------------------------------------------------------------------------
 */

/* What happens before the command next looks who is attached, which it does after it was told that
 * all producers have left. */
static void (*interlude)(void);

int __wrap_shmring_stat(shmring_t *q, struct shmring_stat *st);
int __real_shmring_stat(shmring_t *q, struct shmring_stat *st);
int __wrap_shmring_stat(shmring_t *q, struct shmring_stat *st)
{
    void (*const now)(void) = interlude;

    interlude = NULL;
    if (now)
        now();
    return __real_shmring_stat(q, st);
}

static void send_text(const char *text)
{
    shmring_t *q;

    child_assert(shmring_open(&q, name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_send(q, text, strlen(text)) == 0);
    shmring_close(&q);
}

static void send_another(void)
{
    send_text("another");
}

static int receive(const char *option, const char *value)
{
    const char *argv[] = {"recv", option, value, name, NULL};

    optind = 0; /* begin anew: this process was forked from one that may have used getopt() */
    return recv_command.run(&recv_command, 4, (char **)(uintptr_t)argv);
}

static int receive_to_file(void *file)
{
    const int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    child_assert(fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
    send_text("one");
    interlude = send_another;
    const int status = receive("--eof", "--");
    child_assert(interlude == NULL);
    return status;
}

/* A producer attaches, sends and leaves after the wait has reported that all have left: its message
 * is written, too. */
static void check_that_all_is_written(uint32_t kind)
{
    const struct shmring_config config = {
        .kind = kind, .capacity = kind == SHMRING_SPSC ? 4096 : 4, .max_message = 16};
    char directory[TEST_NAME_SIZE], file[TEST_NAME_SIZE + 8], text[64] = "";
    shmring_t *q;

    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0, "%s", shmring_strerror_detail());
    shmring_close(&q);
    test_directory(directory);
    snprintf(file, sizeof file, "%s/output", directory);
    cr_assert_eq(test_run(receive_to_file, file), EXIT_OK);
    FILE *f = fopen(file, "re");
    cr_assert_not_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    cr_assert_str_eq(text, "one\nanother\n");
    cr_assert_eq(shmring_unlink(name), 0);
    cr_assert_eq(unlink(file), 0);
}

Test(tools_recv, a_message_after_the_hang_up)
{
    check_that_all_is_written(SHMRING_SPSC);
}

Test(tools_recv, a_message_after_the_hang_up_mpmc)
{
    check_that_all_is_written(SHMRING_MPMC);
}

/* ---- A clock that stands still ----------------------------------------------------------------
 */

static bool stands_still;

/* As libfaketime replaces it. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (stands_still && clock == CLOCK_MONOTONIC) {
        *time = (struct timespec){.tv_sec = 1000000};
        return 0;
    }
#if defined SYS_clock_gettime64
    int64_t now[2] = {0};
    const int r = (int)syscall(SYS_clock_gettime64, clock, now);
    *time = (struct timespec){.tv_sec = (time_t)now[0], .tv_nsec = (long)now[1]};
    return r;
#else
    return (int)syscall(SYS_clock_gettime, clock, time);
#endif
}

static int receive_in_vain(void *unused)
{
    (void)unused;
    stands_still = true;
    const int status = receive("--timeout", "0.3");
    stands_still = false;
    return status;
}

/* The timeout ends by the kernel's clock. */
Test(tools_recv, a_timeout_with_a_clock_that_stands_still)
{
    const struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = 4096};
    shmring_t *q;

    test_name(name);
    cr_assert_eq(shmring_create(&q, name, &config), 0, "%s", shmring_strerror_detail());
    shmring_close(&q);
    cr_assert_eq(test_run(receive_in_vain, NULL), EXIT_GAVE_UP);
    cr_assert_eq(shmring_unlink(name), 0);
}
