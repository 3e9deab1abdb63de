/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "nats.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char server[256];

/* libnats has no frame pointers, and leaks.supp names one of its functions: make AddressSanitizer,
 * if the bridge was built with it, find the callers all the same. */
static void unwind_slowly(void)
{
    const char *options = getenv("ASAN_OPTIONS");
    char more[4096];

    snprintf(more, sizeof more, "%s%sfast_unwind_on_malloc=0", options ? options : "",
             options ? ":" : "");
    setenv("ASAN_OPTIONS", more, 1);
}

void nats_needed(void)
{
    char path[4096] = "";

    unwind_slowly();
    snprintf(path, sizeof path, "%s:/usr/sbin:/usr/local/sbin", getenv("PATH"));
    for (char *rest = path, *directory; (directory = strsep(&rest, ":")) != NULL;) {
        snprintf(server, sizeof server, "%s/nats-server", directory);
        if (access(server, X_OK) == 0)
            return;
    }
    cr_skip_test("there is no nats-server (Debian: apt-get install nats-server)");
}

struct sockaddr_in nats_loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int nats_free_port(void)
{
    struct sockaddr_in address = nats_loopback(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (void *)&address, size), 0);
    cr_assert_eq(getsockname(fd, (void *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* Wait until the memfd, to which a program writes, has the text this many times. */
static void await(int fd, const char *text, int times)
{
    struct deadline deadline = {0};

    for (;;) {
        struct stat st;
        cr_assert_eq(fstat(fd, &st), 0);
        char *written = calloc(1, (size_t)st.st_size + 1);
        cr_assert_eq(pread(fd, written, (size_t)st.st_size, 0), st.st_size);
        int found = 0;
        for (const char *at = written; (at = strstr(at, text)) != NULL; at++)
            found++;
        free(written);
        if (found >= times)
            return;
        pause_until(&deadline, text);
    }
}

void nats_start_again(struct nats *n)
{
    n->program = program_start(-1, -1, (const char *const[]){server, "-c", n->config, NULL});
    await(n->program.err, "Server is ready", 1);
}

void nats_start(struct nats *n, const char *lines)
{
    test_directory(n->directory);
    snprintf(n->config, sizeof n->config, "%s/config", n->directory);
    int port = nats_free_port();
    n->monitor = nats_free_port();
    snprintf(n->url, sizeof n->url, "url=nats://127.0.0.1:%d", port);
    FILE *file = fopen(n->config, "we");
    cr_assert_not_null(file);
    fprintf(file,
            "listen: 127.0.0.1:%d\nhttp: 127.0.0.1:%d\njetstream: {store_dir: \"%s/store\"}\n%s\n",
            port, n->monitor, n->directory, lines);
    cr_assert_eq(fclose(file), 0);
    nats_start_again(n);
}

static void end(struct nats *n, int signal)
{
    kill(n->program.pid, signal);
    struct outcome outcome = program_finish(&n->program);
    outcome_free(&outcome);
}

void nats_kill(struct nats *n)
{
    end(n, SIGKILL);
}

void nats_stop(struct nats *n)
{
    char command[TEST_NAME_SIZE + 32];

    end(n, SIGKILL);
    snprintf(command, sizeof command, "rm -rf '%s/store'", n->directory);
    cr_assert_eq(system(command), 0);
}

/* Get a page of the server's monitor. Returns whether the server answered "200 OK". */
static bool ask(const struct nats *n, const char *path, char *answer, size_t size)
{
    const struct sockaddr_in address = nats_loopback(n->monitor);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t length = 0;

    answer[0] = '\0';
    if (connect(fd, (const void *)&address, sizeof address) == 0) {
        dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", path);
        for (ssize_t got; length < size - 1; length += (size_t)got)
            if ((got = read(fd, answer + length, size - 1 - length)) <= 0)
                break;
        answer[length] = '\0';
    }
    close(fd);
    return strncmp(answer, "HTTP/1.0 200", 12) == 0;
}

void nats_await_health(const struct nats *n)
{
    struct deadline deadline = {0};
    char answer[1024];

    while (!ask(n, "/healthz", answer, sizeof answer))
        pause_until(&deadline, "a server to catch up");
}

uint64_t nats_stored(const struct nats *n)
{
    char answer[1 << 14];

    cr_assert(ask(n, "/jsz", answer, sizeof answer), "%s", answer);
    const char *count = strstr(answer, "\"messages\":");
    /* The server leaves the count out when it is 0. */
    return count ? strtoull(count + 11, NULL, 10) : 0;
}

void nats_publish(const struct nats *n, const char *subject, const char *payload)
{
    const struct sockaddr_in address = nats_loopback(atoi(strrchr(n->url, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answers[8192] = "";
    size_t length = 0;

    cr_assert_eq(connect(fd, (const void *)&address, sizeof address), 0);
    dprintf(fd, "CONNECT {\"verbose\":false}\r\nPUB %s %zu\r\n%s\r\nPING\r\n", subject,
            strlen(payload), payload);
    while (!strstr(answers, "PONG\r\n")) {
        ssize_t got = read(fd, answers + length, sizeof answers - 1 - length);
        cr_assert_gt(got, 0, "%s", answers);
        length += (size_t)got;
    }
    close(fd);
}

static struct program start_bridge(const char *url, va_list arguments)
{
    const char *argv[24] = {"bridge/shmring-bridge", "--create-stream", "--server", url};
    int count = 4;

    while ((argv[count] = va_arg(arguments, const char *)) != NULL)
        cr_assert_lt(++count, 24);
    return program_start(-1, -1, argv);
}

struct program bridge_start(const struct nats *n, ...)
{
    va_list arguments;

    va_start(arguments, n);
    struct program program = start_bridge(n->url, arguments);
    va_end(arguments);
    return program;
}

struct program bridge_start_at(const char *url, ...)
{
    va_list arguments;

    va_start(arguments, url);
    struct program program = start_bridge(url, arguments);
    va_end(arguments);
    return program;
}

void bridge_await(const struct program *bridge, const char *text)
{
    await(bridge->err, text, 1);
}

void bridge_await_times(const struct program *bridge, const char *text, int times)
{
    await(bridge->err, text, times);
}

void bridge_stop(struct program *bridge)
{
    kill(bridge->pid, SIGTERM);
    struct outcome outcome = program_finish(bridge);
    cr_assert_eq(outcome.status, 0, "%s", outcome.err);
    outcome_free(&outcome);
}
