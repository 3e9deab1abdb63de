/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "bridged.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct nats server;
const char *from, *to;
shmring_t *producer, *consumer;
char out_route[400], in_route[400];

static shmring_t *make(const char *name, uint32_t kind, unsigned role)
{
    return kind == SHMRING_SPSC ? test_create(name, role, CAPACITY)
                                : test_create_mpmc(name, role, MESSAGES, LONGEST);
}

void make_queues(uint32_t kind)
{
    producer = make(from, kind, SHMRING_PRODUCER);
    consumer = make(to, kind, SHMRING_CONSUMER);
}

void remove_queues(void)
{
    shmring_close(&producer);
    shmring_close(&consumer);
    DO("rm", from, to);
}

void prepare(uint32_t kind, const char *more_out, const char *more_in)
{
    from = queue_name();
    to = queue_name();
    make_queues(kind);
    snprintf(out_route, sizeof out_route,
             "direction=to-subject queue=%s stream=S subject=s.x storage=memory %s", from,
             more_out);
    snprintf(
        in_route, sizeof in_route,
        "direction=to-queue queue=%s stream=S consumer=c subject=s.x ack-wait=500 state=%s/state "
        "%s",
        to, server.directory, more_in);
}

void finish(void)
{
    remove_queues();
    nats_stop(&server);
}

void put(uint64_t first, uint64_t count)
{
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};

    for (uint64_t i = first; i < first + count; i++)
        cr_assert_eq(shmring_send_wait(producer, &i, sizeof i, &patience), 0, "message %d", (int)i);
}

void receive(uint64_t first, uint64_t count)
{
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};
    uint64_t number;

    for (uint64_t i = first; i < first + count; i++) {
        cr_assert_eq(shmring_recv_wait(consumer, &number, sizeof number, &patience), 8,
                     "waiting for message %d: %s", (int)i, shmring_strerror_detail());
        cr_assert_eq(number, i);
    }
}

void receive_all(uint64_t first, uint64_t count)
{
    struct timespec patience = {.tv_sec = PROGRAM_DEADLINE_S};
    bool *seen = calloc(count, sizeof *seen);
    uint64_t number;

    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(shmring_recv_wait(consumer, &number, sizeof number, &patience), 8,
                     "after %d: %s", (int)i, shmring_strerror_detail());
        cr_assert(number - first < count && !seen[number - first], "%d once more", (int)number);
        seen[number - first] = true;
    }
    free(seen);
}

const char *metrics_file(void)
{
    static char path[TEST_NAME_SIZE + 16];

    snprintf(path, sizeof path, "%smetrics", directory_name());
    return path;
}

uint64_t metric(const char *path, const char *name, const char *direction)
{
    char text[8192] = "", start[64], end[64] = "";
    FILE *file = fopen(path, "re");

    cr_assert_not_null(file);
    cr_assert_gt(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    cr_assert_not_null(strstr(text, "\n# EOF\n"));
    snprintf(start, sizeof start, "shmring_bridge_%s%s", name, direction ? "{route=\"" : " ");
    if (direction)
        snprintf(end, sizeof end, ",direction=\"%s\"} ", direction);
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
        const char *tail = strstr(line, end);
        if (strncmp(line, start, strlen(start)) == 0 && tail)
            return strtoull(tail + (direction ? strlen(end) : strlen(start)), NULL, 10);
    }
    cr_assert_fail("no %s of %s", name, direction ? direction : "all");
    return 0;
}

void expect_metric(const char *path, const char *name, const char *direction, uint64_t value)
{
    cr_assert_eq(metric(path, name, direction), value, "%s of %s: %d, not %d", name,
                 direction ? direction : "all", (int)metric(path, name, direction), (int)value);
}

void assert_nothing_more(void)
{
    cr_assert_eq(shmring_recv(consumer, &(uint64_t){0}, 8), -EAGAIN);
}
