/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <getopt.h>
#include <inttypes.h>

#include "tool.h"

struct format {
    bool json, hex;
    uint64_t shown;
};

static void put_hex(const struct shmring_message *m)
{
    const unsigned char *bytes = m->data;
    for (uint32_t i = 0; i < m->length; i++)
        printf("%02x", bytes[i]);
}

static void put_text(const struct format *format, const struct shmring_message *m)
{
    char state[32] = "waiting";
    if (m->state == SHMRING_HELD)
        snprintf(state, sizeof state, "held by row %" PRIu32, m->row);
    if (format->shown == 0)
        printf("%12s %10s  %-16s %10s  %s\n", "POSITION", "LENGTH", "STATE", "DELIVERIES",
               "MESSAGE");
    printf("%12" PRIu64 " %10" PRIu32 "  %-16s %10" PRIu32 "  ", m->position, m->length, state,
           m->deliveries);
    if (format->hex)
        put_hex(m);
    else
        put_escaped_bytes(stdout, m->data, m->length);
    putchar('\n');
}

static void put_json(const struct format *format, const struct shmring_message *m)
{
    printf("%s{\"position\":%" PRIu64 ",\"length\":%" PRIu32 ",\"state\":\"%s\",\"row\":",
           format->shown == 0 ? "\n " : ",\n ", m->position, m->length,
           m->state == SHMRING_HELD ? "held" : "waiting");
    if (m->state == SHMRING_HELD)
        printf("%" PRIu32, m->row);
    else
        fputs("null", stdout);
    printf(",\"deliveries\":%" PRIu32 ",\"%s\":", m->deliveries, format->hex ? "hex" : "text");
    if (format->hex) {
        putchar('"');
        put_hex(m);
        putchar('"');
    } else {
        put_json_bytes(stdout, m->data, m->length);
    }
    putchar('}');
}

static int show(void *arg, const struct shmring_message *m)
{
    struct format *format = arg;
    (format->json ? put_json : put_text)(format, m);
    format->shown++;
    return ferror(stdout); /* main() says why */
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"hex", no_argument, NULL, 'x'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct format format = {0};

    for (int option; (option = getopt_long(argc, argv, "xjh", options, NULL)) != -1;) {
        switch (option) {
        case 'x':
            format.hex = true;
            break;
        case 'j':
            format.json = true;
            break;
        case 'h':
            return help(self);
        default:
            return usage(self, NULL);
        }
    }
    if (argc - optind != 1)
        return usage(self, "one NAME, please");

    const char *name = argv[optind];
    shmring_t *q;
    int rc = shmring_open(&q, name, SHMRING_OBSERVER);
    if (rc < 0)
        return failed(name, "cannot open", rc);
    if (format.json)
        putchar('[');
    rc = shmring_dump(q, show, &format);
    if (format.json)
        puts(format.shown == 0 ? "]" : "\n]");
    shmring_close(&q);
    return rc < 0 ? failed(name, "cannot go on", rc) : EXIT_OK;
}

const struct command dump_command = {
    .name = "dump",
    .arguments = "[OPTION]... NAME",
    .summary = "show the messages in a queue without taking them",
    .options = "  -x, --hex              messages in hexadecimal\n"
               "  -j, --json             a JSON array; with --hex, text that is no text is safe\n",
    .notes =
        "It also works when all participants of the queue are dead, and on a copy of its file.\n",
    .run = run,
};
