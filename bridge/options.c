/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

enum { EXIT_WRONG_USAGE = 2 };

static const char help[] =
    "Usage: shmring-bridge [OPTION]... [FILE]...\n"
    "Pass messages on between shmring queues and NATS JetStream, as configuration FILEs say.\n"
    "\n"
    "  -r, --route 'KEY=VALUE ...'   a route, as in a section [route] of a FILE\n"
    "  -s, --server 'KEY=VALUE ...'  the server, as in the section [server]\n"
    "      --create-stream          create the streams and consumers that are missing\n"
    "      --openmetrics FILE       write metrics to FILE every ten seconds\n"
    "  -l, --log-level LEVEL        error, warning, info or debug [info]\n"
    "  -c, --check                  read the configuration and exit\n"
    "  -h, --help                   this help\n"
    "  -V, --version                the version\n"
    "\n"
    "keys of a server: url, user, password, credentials, tls, tls-ca, tls-cert, tls-key, name,\n"
    "openmetrics\n"
    "keys of a route: direction (to-subject, to-queue), queue, stream, subject, consumer,\n"
    "dead-letter, state, wait, create-stream, storage, replicas, duplicates, message-ids,\n"
    "window, ack-wait\n"
    "\n"
    "  shmring-bridge --route 'direction=to-subject queue=orders stream=ORDERS "
    "subject=orders.new'\n"
    "\n"
    "Exit codes: 0 stopped by SIGTERM or SIGINT, 1 failed, 2 wrong usage or configuration.\n"
    "See shmring-bridge(1).\n";

static int wrong(const char *what, const char *value)
{
    say(LOG_ERROR, "%s: %s", value, what);
    fputs("Try 'shmring-bridge --help'.\n", stderr);
    return EXIT_WRONG_USAGE;
}

/* "KEY=VALUE KEY=VALUE": the same keys and values as in a file. NULL, or what is wrong. */
static const char *set_words(struct config *c, struct route_config *route, char *words)
{
    char *rest;

    for (char *word = strtok_r(words, " \t\n", &rest); word;
         word = strtok_r(NULL, " \t\n", &rest)) {
        char *value = strchr(word, '=');
        if (!value)
            return "a word is not KEY=VALUE";
        *value++ = '\0';
        const char *bad = config_set(c, route, word, value);
        if (bad)
            return bad;
    }
    return NULL;
}

static const char *add_route(struct config *c, char *words)
{
    char name[32];

    snprintf(name, sizeof name, "%zu", c->count + 1);
    struct route_config *route = config_add_route(c, name);
    return route ? set_words(c, route, words) : "a route in a file has its number for a name";
}

static bool set_level(const char *name)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            log_level = (enum level)i;
            return true;
        }
    return false;
}

int options_parse(struct config *c, int argc, char **argv)
{
    enum { CREATE_STREAM = 256, OPENMETRICS };
    static const struct option options[] = {
        {"route", required_argument, NULL, 'r'},
        {"server", required_argument, NULL, 's'},
        {"create-stream", no_argument, NULL, CREATE_STREAM},
        {"openmetrics", required_argument, NULL, OPENMETRICS},
        {"log-level", required_argument, NULL, 'l'},
        {"check", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    bool create = false, check = false;
    const char *bad = NULL;

    for (int option; (option = getopt_long(argc, argv, "r:s:l:chV", options, NULL)) != -1;) {
        switch (option) {
        case 'r':
            bad = add_route(c, optarg);
            break;
        case 's':
            bad = set_words(c, NULL, optarg);
            break;
        case CREATE_STREAM:
            create = true;
            break;
        case OPENMETRICS:
            bad = config_set(c, NULL, "openmetrics", optarg);
            break;
        case 'l':
            bad = set_level(optarg) ? NULL : "a level is error, warning, info or debug";
            break;
        case 'c':
            check = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        case 'V':
            printf("shmring-bridge %s, libshmring %s, libnats %s\n", PACKAGE_VERSION,
                   shmring_version(), nats_GetVersion());
            return 0;
        default:
            fputs("Try 'shmring-bridge --help'.\n", stderr);
            return EXIT_WRONG_USAGE;
        }
        if (bad)
            return wrong(bad, optarg);
    }
    for (int i = optind; i < argc; i++)
        if (config_read(c, argv[i]) < 0)
            return EXIT_WRONG_USAGE;
    for (size_t i = 0; create && i < c->count; i++)
        c->routes[i].create = true;
    bad = config_check(c);
    if (bad)
        return wrong(bad, "configuration");
    return check ? 0 : -1;
}
