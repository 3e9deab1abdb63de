/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../lib/kinds.h"
#include "tool.h"

int view_take(shmring_t *q, struct view *view)
{
    *view = (struct view){.n = 0};
    int rc = shmring_stat(q, &view->stat);
    if (rc < 0)
        return rc;
    int n = shmring_participants(q, NULL, 0);
    if (n <= 0)
        return n;
    view->rows = must(calloc((size_t)n, sizeof *view->rows));
    view->n = shmring_participants(q, view->rows, n);
    if (view->n < 0) {
        rc = view->n;
        view_free(view);
        return rc;
    }
    if (view->n > n) /* a participant attached between the two calls */
        view->n = n;
    for (int i = 0; i < view->n && kind_view(view->stat.kind)->role_rows; i++) {
        if (view->rows[i].role == SHMRING_PRODUCER)
            view->rows[i].sent = view->stat.sent;
        if (view->rows[i].role == SHMRING_CONSUMER)
            view->rows[i].received = view->stat.received;
    }
    return 0;
}

void view_free(struct view *view)
{
    free(view->rows);
    view->rows = NULL;
    view->n = 0;
}

double view_fill(const struct shmring_stat *st)
{
    uint64_t used = kind_view(st->kind)->in_messages ? st->depth : st->depth_bytes;
    return (double)used / (double)st->capacity;
}

const struct shmring_participant *view_longest_holder(const struct view *view)
{
    const struct shmring_participant *longest = NULL;
    for (int i = 0; i < view->n; i++)
        if (view->rows[i].held_ns > (longest ? longest->held_ns : 0))
            longest = &view->rows[i];
    return longest;
}

/* A macro with an argument for each member: a kind that lacks one does not compile. */
#define VIEW(Brief, Unit, Place, In_messages, Role_rows, Knows_holders, To_each, Capacity,         \
             Max_message, Participants)                                                            \
    .brief = (Brief), .unit = (Unit), .place = (Place), .in_messages = (In_messages),              \
    .role_rows = (Role_rows), .knows_holders = (Knows_holders), .to_each = (To_each),              \
    .capacity = (Capacity), .max_message = (Max_message), .participants = (Participants)

#define SPSC_VIEW      VIEW("spsc", "byte", "ring", false, true, false, false, 1 << 20, 0, 0)
#define MPMC_VIEW      VIEW("mpmc", "message", "blocks", true, false, true, false, 1024, 1000, 64)
#define BROADCAST_VIEW VIEW("cast", "byte", "ring", false, false, false, true, 1 << 20, 0, 64)
#define UNKNOWN_VIEW   VIEW("?", "message", "queue", false, false, false, false, 0, 0, 0)

#define KIND_VIEW(KIND, kind) {.number = SHMRING_##KIND, .name = #kind, KIND##_VIEW},
static const struct kind_view kinds[] = {
    SHMR_KINDS(KIND_VIEW) /* and at the end the entry for all others */
    {.name = "unknown", UNKNOWN_VIEW},
};
#undef KIND_VIEW
enum { KINDS = sizeof kinds / sizeof kinds[0] - 1 };

const struct kind_view *kind_view(uint32_t number)
{
    int i = 0;
    while (i < KINDS && kinds[i].number != number)
        i++;
    return &kinds[i];
}

const struct kind_view *kind_named(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

const struct shmring_participant *view_furthest_behind(const struct view *view)
{
    const struct shmring_participant *furthest = NULL;
    for (int i = 0; i < view->n; i++)
        if (view->rows[i].lag > (furthest ? furthest->lag : 0))
            furthest = &view->rows[i];
    return furthest;
}

const char *role_name(uint32_t role)
{
    return role == SHMRING_PRODUCER                        ? "producer"
           : role == SHMRING_CONSUMER                      ? "consumer"
           : role == (SHMRING_PRODUCER | SHMRING_CONSUMER) ? "producer+consumer"
                                                           : "unknown";
}

/* Is this the pid namespace of this process, so that a pid of it means the same here? */
bool in_our_pid_namespace(uint64_t inode)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) < 0 || st.st_ino == inode;
}

/* Is the process stopped? Its start time must match too, as the pid may be another process's by
 * now. */
static bool is_stopped(const struct shmring_participant *row)
{
    char path[64], text[1024], state;
    uint64_t start_time;
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", row->pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *fields = strrchr(text, ')'); /* behind the command's name: any characters */
    return fields &&
           sscanf(fields,
                  ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                  "%" SCNu64,
                  &state, &start_time) == 2 &&
           start_time == row->start_time && (state == 'T' || state == 't');
}

const char *participant_state(const struct shmring_participant *row)
{
    if (!row->alive)
        return "dead";
    return in_our_pid_namespace(row->pid_namespace) && is_stopped(row) ? "stopped" : "alive";
}

void put_participant(FILE *out, const struct shmring_participant *row)
{
    fprintf(out, "%s %" PRIu32 " (", role_name(row->role), row->pid);
    put_escaped(out, row->comm, sizeof row->comm);
    fprintf(out, ")%s %s",
            in_our_pid_namespace(row->pid_namespace) ? "" : " of another pid namespace,",
            participant_state(row));
}

static void put_key(FILE *out, const char *key)
{
    fprintf(out, ",\"%s\":", key);
}

static void put_number(FILE *out, const char *key, uint64_t number)
{
    put_key(out, key);
    fprintf(out, "%" PRIu64, number);
}

static void put_bool(FILE *out, const char *key, bool value)
{
    put_key(out, key);
    fputs(value ? "true" : "false", out);
}

static void put_time_json(FILE *out, const char *key, int64_t ns)
{
    put_key(out, key);
    fputc('"', out);
    put_time(out, ns);
    fputc('"', out);
}

static void put_participant_json(FILE *out, uint32_t kind, const struct shmring_participant *row)
{
    fprintf(out, "{\"role\":\"%s\"", role_name(row->role));
    put_number(out, "row", row->row);
    put_bool(out, "alive", row->alive);
    put_number(out, "pid", row->pid);
    put_number(out, "pid_namespace", row->pid_namespace);
    put_number(out, "start_time", row->start_time);
    put_number(out, "uid", row->uid);
    put_key(out, "comm");
    put_json_string(out, row->comm, sizeof row->comm);
    put_time_json(out, "attached", row->attached_ns);
    put_number(out, "generation", row->generation);
    fprintf(out, ",\"state\":\"%s\"", participant_state(row));
    put_number(out, "sent", row->sent);
    put_number(out, "received", row->received);
    if (kind_view(kind)->knows_holders) {
        put_number(out, "held", row->held);
        fprintf(out, ",\"held_seconds\":%.3f", (double)row->held_ns * 1e-9);
    }
    if (kind_view(kind)->to_each) {
        put_number(out, "lag", row->lag);
        put_number(out, "missed", row->missed);
        put_bool(out, "reliable", row->flags & SHMRING_RELIABLE);
    }
    fputc('}', out);
}

void put_participants_json(FILE *out, const struct view *view)
{
    for (int i = 0; i < view->n; i++) {
        fputc(i == 0 ? '[' : ',', out);
        put_participant_json(out, view->stat.kind, &view->rows[i]);
    }
    fputs(view->n == 0 ? "[]" : "]", out);
}

void put_view_json(FILE *out, const char *name, const struct view *view)
{
    const struct shmring_stat *st = &view->stat;
    fputs("{\"name\":", out);
    put_json_string(out, name, strlen(name));
    fprintf(out, ",\"kind\":\"%s\"", kind_view(st->kind)->name);
    put_number(out, "capacity", st->capacity);
    fprintf(out, ",\"capacity_unit\":\"%ss\"", kind_view(st->kind)->unit);
    put_number(out, "max_message", st->max_message);
    put_number(out, "segment_bytes", st->segment_bytes);
    fprintf(out, ",\"mode\":\"%04" PRIo32 "\"", st->mode);
    put_number(out, "uid", st->uid);
    put_number(out, "gid", st->gid);
    put_bool(out, "huge_pages", st->flags & SHMRING_HUGE_PAGES);
    put_bool(out, "at_most_once", st->flags & SHMRING_AT_MOST_ONCE);
    put_bool(out, "stale", st->flags & SHMRING_STALE);
    put_time_json(out, "created", st->created_ns);
    put_key(out, "created_as");
    put_json_string(out, st->name, sizeof st->name);
    fprintf(out, ",\"creator\":{\"pid\":%" PRIu32, st->creator_pid);
    put_number(out, "pid_namespace", st->creator_pid_namespace);
    put_number(out, "uid", st->creator_uid);
    put_key(out, "comm");
    put_json_string(out, st->creator_comm, sizeof st->creator_comm);
    fputc('}', out);
    put_number(out, "depth", st->depth);
    put_number(out, "depth_bytes", st->depth_bytes);
    put_number(out, "high_water", st->high_water);
    put_number(out, "sent", st->sent);
    put_number(out, "sent_bytes", st->sent_bytes);
    put_number(out, "received", st->received);
    put_number(out, "received_bytes", st->received_bytes);
    put_number(out, "full_events", st->full_events);
    put_number(out, "empty_events", st->empty_events);
    put_number(out, "takeovers", st->takeovers);
    put_number(out, "redelivered", st->redelivered);
    put_number(out, "dropped", st->dropped);
    if (kind_view(st->kind)->to_each)
        put_number(out, "missed", st->missed);
    put_number(out, "producers_ever", st->producers_ever);
    put_number(out, "consumers_ever", st->consumers_ever);
    put_bool(out, "consumers_asleep", st->asleep & SHMRING_READABLE);
    put_bool(out, "producers_asleep", st->asleep & SHMRING_WRITABLE);
    put_number(out, "max_participants", st->max_participants);
    put_key(out, "participants");
    put_participants_json(out, view);
    fputc('}', out);
}
