/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <inttypes.h>

#include "tool.h"

static void put_text(const struct view *view)
{
    const struct kind_view *kind = kind_view(view->stat.kind);
    printf("%4s %8s  %-7s  %-17s %*s %*s %12s %12s  %s\n", "ROW", "PID", "STATE", "ROLE",
           kind->to_each ? 10 : 5, kind->to_each ? "LAG" : "HELD", kind->to_each ? 12 : 10,
           kind->to_each ? "MISSED" : "FOR", "SENT", "RECEIVED", "COMMAND");
    for (int i = 0; i < view->n; i++) {
        const struct shmring_participant *row = &view->rows[i];
        char held[24] = "-", held_for[32] = "-";
        if (kind->knows_holders)
            snprintf(held, sizeof held, "%" PRIu64, row->held);
        if (row->held_ns > 0)
            snprintf(held_for, sizeof held_for, "%.3f s", (double)row->held_ns * 1e-9);
        printf("%4" PRIu32 " %8" PRIu32 "  %-7s  %-17s ", row->row, row->pid,
               participant_state(row),
               row->flags & SHMRING_RELIABLE ? "reliable consumer" : role_name(row->role));
        if (!kind->to_each)
            printf("%5s %10s", held, held_for);
        else if (row->role == SHMRING_CONSUMER)
            printf("%10" PRIu64 " %12" PRIu64, row->lag, row->missed);
        else
            printf("%10s %12s", "-", "-");
        printf(" %12" PRIu64 " %12" PRIu64 "  ", row->sent, row->received);
        put_escaped(stdout, row->comm, sizeof row->comm);
        puts(in_our_pid_namespace(row->pid_namespace) ? "" : " (of another pid namespace)");
    }
}

static int run(const struct command *self, int argc, char **argv)
{
    const char *name = NULL;
    bool json;
    int status = parse_arguments(self, argc, argv, &json, &name);
    if (status != GO_ON)
        return status;

    shmring_t *q;
    int rc = shmring_open(&q, name, SHMRING_OBSERVER);
    if (rc < 0)
        return failed(name, "cannot open", rc);
    struct view view;
    rc = view_take(q, &view);
    shmring_close(&q);
    if (rc < 0)
        return failed(name, "cannot read it", rc);
    if (json) {
        put_participants_json(stdout, &view);
        putchar('\n');
    } else if (view.n > 0) {
        put_text(&view);
    }
    view_free(&view);
    return EXIT_OK;
}

const struct command who_command = {
    .name = "who",
    .arguments = "[OPTION]... NAME",
    .summary =
        "show which processes are attached to a queue, what they hold, and which lag or died",
    .options = "  -j, --json             a JSON array\n",
    .notes =
        "HELD: blocks of an mpmc queue being filled, or taken and not released; FOR: how long\n"
        "it has held any. LAG and MISSED: messages of a broadcast queue that a consumer has\n"
        "not received yet, and that it has missed. SENT, RECEIVED: by all owners of the row\n"
        "since the queue was made.\n",
    .run = run,
};
