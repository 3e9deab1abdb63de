/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "tool.h"

static void put_sums(uint64_t redelivered, uint64_t dropped, uint64_t freed)
{
    printf("%" PRIu64 " message%s to be delivered again, %" PRIu64 " dropped, %" PRIu64
           " block%s freed\n",
           redelivered, plural(redelivered), dropped, freed, plural(freed));
}

static void put_text(const struct shmring_recovery *report)
{
    if (report->participants == 0)
        puts("nothing to recover");
    for (uint32_t i = 0; i < report->participants && i < SHMRING_RECOVERED_MAX; i++) {
        const struct shmring_recovered *who = &report->who[i];
        printf("row %" PRIu32 ", pid %" PRIu32 " (", who->row, who->pid);
        put_escaped(stdout, who->comm, sizeof who->comm);
        fputs(") died: ", stdout);
        put_sums(who->redelivered, who->dropped, who->freed);
    }
    if (report->participants > SHMRING_RECOVERED_MAX) {
        printf("and %" PRIu32 " more; in all: ", report->participants - SHMRING_RECOVERED_MAX);
        put_sums(report->redelivered, report->dropped, report->freed);
    }
}

static void put_sums_json(uint64_t redelivered, uint64_t dropped, uint64_t freed)
{
    printf("\"redelivered\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"freed\":%" PRIu64, redelivered,
           dropped, freed);
}

static void put_json(const char *name, const struct shmring_recovery *report)
{
    fputs("{\"name\":", stdout);
    put_json_string(stdout, name, strlen(name));
    printf(",\"participants\":%" PRIu32 ",", report->participants);
    put_sums_json(report->redelivered, report->dropped, report->freed);
    fputs(",\"who\":[", stdout);
    for (uint32_t i = 0; i < report->participants && i < SHMRING_RECOVERED_MAX; i++) {
        const struct shmring_recovered *who = &report->who[i];
        printf("%s{\"row\":%" PRIu32 ",\"pid\":%" PRIu32 ",\"comm\":", i == 0 ? "" : ",", who->row,
               who->pid);
        put_json_string(stdout, who->comm, sizeof who->comm);
        putchar(',');
        put_sums_json(who->redelivered, who->dropped, who->freed);
        putchar('}');
    }
    puts("]}");
}

/* Only a participant can recover an mpmc queue. An spsc queue has one producer and one consumer: an
 * observer recovers it, so that both roles stay free. */
static int open_to_recover(shmring_t **q, const char *name)
{
    struct shmring_stat stat;
    shmring_t *observer;
    int rc = shmring_open(&observer, name, SHMRING_OBSERVER);
    if (rc < 0)
        return rc;
    rc = shmring_stat(observer, &stat);
    if (rc < 0 || !kind_view(stat.kind)->knows_holders) {
        *q = observer;
        return rc;
    }
    shmring_close(&observer);
    return shmring_open(q, name, SHMRING_CONSUMER);
}

static int run(const struct command *self, int argc, char **argv)
{
    const char *name = NULL;
    bool json;
    int status = parse_arguments(self, argc, argv, &json, &name);
    if (status != GO_ON)
        return status;

    shmring_t *q = NULL;
    struct shmring_recovery report;
    int rc = open_to_recover(&q, name);
    if (rc < 0) {
        shmring_close(&q);
        return failed(name, "cannot open", rc);
    }
    rc = shmring_recover(q, &report);
    shmring_close(&q);
    if (rc < 0)
        return failed(name, "cannot recover", rc);
    if (json)
        put_json(name, &report);
    else
        put_text(&report);
    return EXIT_OK;
}

const struct command recover_command = {
    .name = "recover",
    .arguments = "[OPTION]... NAME",
    .summary = "make usable again what dead participants held",
    .options = "  -j, --json             a JSON object\n",
    .notes = "The participants of a queue do this while they use it; this does it when there are "
             "none.\n",
    .run = run,
};
