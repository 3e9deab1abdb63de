/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "nats.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char server[256];

void nats_needed(void)
{
    char path[4096] = "";

    snprintf(path, sizeof path, "%s:/usr/sbin:/usr/local/sbin", getenv("PATH"));
    for (char *rest = path, *directory; (directory = strsep(&rest, ":")) != NULL;) {
        snprintf(server, sizeof server, "%s/nats-server", directory);
        if (access(server, X_OK) == 0)
            return;
    }
    cr_skip_test("there is no nats-server (Debian: apt-get install nats-server)");
}

int nats_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(bind(fd, (void *)&address, size), 0);
    cr_assert_eq(getsockname(fd, (void *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* What a memfd that a program writes to holds. */
static void await(int fd, const char *text)
{
    struct deadline deadline = {0};

    for (;;) {
        struct stat st;
        cr_assert_eq(fstat(fd, &st), 0);
        char *written = calloc(1, (size_t)st.st_size + 1);
        cr_assert_eq(pread(fd, written, (size_t)st.st_size, 0), st.st_size);
        bool there = strstr(written, text) != NULL;
        free(written);
        if (there)
            return;
        pause_until(&deadline, text);
    }
}

void nats_start_again(struct nats *n)
{
    n->program = program_start(-1, -1, (const char *const[]){server, "-c", n->config, NULL});
    await(n->program.err, "Server is ready");
}

void nats_start(struct nats *n, const char *lines)
{
    test_directory(n->directory);
    snprintf(n->config, sizeof n->config, "%s/config", n->directory);
    int port = nats_free_port();
    snprintf(n->url, sizeof n->url, "url=nats://127.0.0.1:%d", port);
    FILE *file = fopen(n->config, "we");
    cr_assert_not_null(file);
    fprintf(file, "listen: 127.0.0.1:%d\njetstream: {store_dir: \"%s/store\"}\n%s\n", port,
            n->directory, lines);
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

struct program bridge_start(const struct nats *n, ...)
{
    const char *argv[24] = {"bridge/shmring-bridge", "--create-stream", "--server", n->url};
    int count = 4;
    va_list arguments;

    va_start(arguments, n);
    while ((argv[count] = va_arg(arguments, const char *)) != NULL)
        cr_assert_lt(++count, 24);
    va_end(arguments);
    return program_start(-1, -1, argv);
}

void bridge_await(const struct program *bridge, const char *text)
{
    await(bridge->err, text);
}

void bridge_stop(struct program *bridge)
{
    kill(bridge->pid, SIGTERM);
    struct outcome outcome = program_finish(bridge);
    cr_assert_eq(outcome.status, 0, "%s", outcome.err);
    outcome_free(&outcome);
}
