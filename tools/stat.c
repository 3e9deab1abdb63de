/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "tool.h"

static void put_messages(const char *title, uint64_t messages, uint64_t bytes)
{
    printf("\n  %s%" PRIu64 " message%s, %" PRIu64 " byte%s", title, messages, plural(messages),
           bytes, plural(bytes));
}

static void put_text(const char *name, const struct view *view)
{
    const struct shmring_stat *st = &view->stat;
    const struct kind_view *kind = kind_view(st->kind);
    put_escaped(stdout, name, strlen(name));
    printf("\n  kind             %s", kind->name);
    printf("\n  capacity         %" PRIu64 " %s%s (", st->capacity, kind->unit,
           plural(st->capacity));
    put_size(stdout, st->capacity);
    printf(")\n  longest message  %" PRIu32 " byte%s", st->max_message, plural(st->max_message));
    printf("\n  segment          %" PRIu64 " bytes (", st->segment_bytes);
    put_size(stdout, st->segment_bytes);
    printf(")%s", st->flags & SHMRING_HUGE_PAGES ? ", huge pages" : "");
    printf("\n  mode             %04" PRIo32, st->mode);
    printf("\n  owner            ");
    put_user(stdout, st->uid);
    printf(" (uid %" PRIu32 ", gid %" PRIu32 ")", st->uid, st->gid);
    printf("\n  created          ");
    put_time(stdout, st->created_ns);
    printf(" by pid %" PRIu32 " (", st->creator_pid);
    put_escaped(stdout, st->creator_comm, sizeof st->creator_comm);
    printf(")%s, uid %" PRIu32 "\n  created as       ",
           in_our_pid_namespace(st->creator_pid_namespace) ? "" : " of another pid namespace",
           st->creator_uid);
    put_escaped(stdout, st->name, sizeof st->name);
    put_messages("waiting          ", st->depth, st->depth_bytes);
    printf(" of the %s%s", kind->place, kind->to_each ? ", for the slowest reliable consumer" : "");
    printf("\n  high water       %" PRIu64 " %s%s%s", st->high_water, kind->unit,
           plural(st->high_water), kind->in_messages ? "" : " of the ring");
    put_messages("sent             ", st->sent, st->sent_bytes);
    put_messages("received         ", st->received, st->received_bytes);
    if (kind->to_each)
        printf("\n  missed           %" PRIu64 " message%s", st->missed, plural(st->missed));
    printf("\n  found full       %" PRIu64 " time%s", st->full_events, plural(st->full_events));
    printf("\n  found empty      %" PRIu64 " time%s", st->empty_events, plural(st->empty_events));
    printf(!kind->role_rows ? "\n  recovered        %" PRIu64 " dead participant%s"
                            : "\n  taken over       %" PRIu64 " time%s from the dead",
           st->takeovers, plural(st->takeovers));
    if (kind->knows_holders)
        printf("\n  delivered again  %" PRIu64 " message%s\n  dropped          %" PRIu64
               " message%s%s",
               st->redelivered, plural(st->redelivered), st->dropped, plural(st->dropped),
               st->flags & SHMRING_AT_MOST_ONCE ? " (at most once)" : "");
    printf("\n  participants     %" PRIu32 " alive, %" PRIu32 " dead", st->participants, st->dead);
    if (!kind->role_rows)
        printf(", room for %" PRIu32, st->max_participants);
    putchar('\n');
    for (int i = 0; i < view->n; i++) {
        fputs("    ", stdout);
        put_participant(stdout, &view->rows[i]);
        fputs(", since ", stdout);
        put_time(stdout, view->rows[i].attached_ns);
        fputc('\n', stdout);
    }
}

/* The counters' increase a second, between two calls of shmring_stat(). */
static void put_rates(const struct shmring_stat *was, const struct shmring_stat *is, double seconds)
{
    printf("%12.0f %12.0f %14.0f %14.0f %9" PRIu64 " %5.1f%% %9.0f %9.0f\n",
           (double)(is->sent - was->sent) / seconds,
           (double)(is->received - was->received) / seconds,
           (double)(is->sent_bytes - was->sent_bytes) / seconds,
           (double)(is->received_bytes - was->received_bytes) / seconds, is->depth,
           100 * view_fill(is), (double)(is->full_events - was->full_events) / seconds,
           (double)(is->empty_events - was->empty_events) / seconds);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Print the queue's figures every `every`. Ends with an error, when the queue is removed, or by a
 * signal. */
static int watch(shmring_t *q, const char *name, bool json, const struct timespec *every)
{
    struct shmring_stat was = {0};
    double then = now();
    if (!json)
        printf("%12s %12s %14s %14s %9s %6s %9s %9s\n", "sent/s", "received/s", "sent B/s",
               "received B/s", "waiting", "used", "full/s", "empty/s");
    for (bool first = true;; first = false) {
        struct view view;
        int rc = view_take(q, &view);
        double moment = now();
        if (rc < 0)
            return failed(name, "cannot read it", rc);
        if (json) {
            put_view_json(stdout, name, &view);
            putchar('\n');
        } else if (!first) {
            put_rates(&was, &view.stat, moment - then);
        }
        was = view.stat;
        then = moment;
        view_free(&view);
        if (fflush(stdout) != 0)
            return EXIT_FAILED; /* main() says why */
        rc = shmring_check(q);
        if (rc < 0)
            return failed(name, "cannot go on", rc);
        nanosleep(every, NULL);
    }
}

/* OpenMetrics of all queues in one text, as a collector reads one file. */
static int tell_collector(char *const *arguments, int n)
{
    struct list list = {0};
    int status = find(&list, arguments, n);
    put_openmetrics(&list);
    list_free(&list);
    return status;
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"openmetrics", no_argument, NULL, 'o'},
        {"watch", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    bool json = false, openmetrics = false, watching = false;
    struct timespec every;

    for (int option; (option = getopt_long(argc, argv, "jow:h", options, NULL)) != -1;) {
        switch (option) {
        case 'j':
            json = true;
            break;
        case 'o':
            openmetrics = true;
            break;
        case 'w':
            if (!parse_seconds(optarg, &every) || (every.tv_sec == 0 && every.tv_nsec < 1000000))
                return bad_value(self, "--watch", optarg, "seconds, 0.001 or more");
            watching = true;
            break;
        case 'h':
            return help(self);
        default:
            return usage(self, NULL);
        }
    }
    if (openmetrics && (json || watching))
        return usage(self, "--openmetrics goes with neither --json nor --watch");
    if (openmetrics)
        return tell_collector(argv + optind, argc - optind);
    if (argc - optind != 1)
        return usage(self, "one NAME, please");

    const char *name = argv[optind];
    shmring_t *q;
    int rc = shmring_open(&q, name, SHMRING_OBSERVER);
    if (rc < 0)
        return failed(name, "cannot open", rc);
    int status = EXIT_OK;
    struct view view;
    if (watching) {
        status = watch(q, name, json, &every);
    } else if ((rc = view_take(q, &view)) < 0) {
        status = failed(name, "cannot read it", rc);
    } else {
        if (json) {
            put_view_json(stdout, name, &view);
            putchar('\n');
        } else {
            put_text(name, &view);
        }
        view_free(&view);
    }
    shmring_close(&q);
    return status;
}

const struct command stat_command = {
    .name = "stat",
    .arguments = "[OPTION]... NAME",
    .summary = "show a queue's description and counters",
    .options =
        "  -j, --json             a JSON object\n"
        "  -o, --openmetrics      OpenMetrics text, for a Prometheus collector: of one NAME, of\n"
        "                         several, of directories, or of all queues in /dev/shm\n"
        "  -w, --watch SECONDS    rates since the last line, again and again; with --json an\n"
        "                         object a line\n",
    .run = run,
};
