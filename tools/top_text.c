/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "top.h"

enum {
    NAME_LEAST = 14,
    NAME_LEAST_NARROW = 12,
    BESIDE_NAME = 66,   /* width of the other columns of the table */
    EVENT_COLUMNS = 12, /* of FULL and EMPTY among them */
    LAG_COLUMNS = 14,   /* and of two more, if there is a broadcast queue */
    BAR = 6
};

/* ---- Lines ----------------------------------------------------------------------------------- */

static void page_add(struct page *page, enum style style, char *text)
{
    if (page->n == page->room) {
        page->room = page->room ? page->room * 2 : 32;
        page->lines = must(reallocarray(page->lines, page->room, sizeof *page->lines));
    }
    page->lines[page->n].text = text;
    page->lines[page->n++].style = style;
}

static void put_line(struct page *page, enum style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put_line(struct page *page, enum style style, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = must(NULL);
    va_end(arguments);
    page_add(page, style, text);
}

void page_free(struct page *page)
{
    for (size_t i = 0; i < page->n; i++)
        free(page->lines[i].text);
    free(page->lines);
    *page = (struct page){.n = 0};
}

/* Returns the text as printable ASCII; the caller frees it. */
static char *escaped(const char *text, size_t n)
{
    char *copy = NULL;
    size_t size;
    FILE *out = must(open_memstream(&copy, &size));
    put_escaped(out, text, n);
    fclose(out);
    return must(copy);
}

static char *escaped_name(const struct entry *entry)
{
    return escaped(entry->name, strlen(entry->name));
}

/* ---- Figures: at most five characters -------------------------------------------------------- */

struct figure {
    char text[24];
};

static struct figure scaled(double value, double base)
{
    static const char units[] = " kMGTPE";
    struct figure figure;
    size_t unit = 0;
    for (; value >= 999.5 && unit < sizeof units - 2; unit++)
        value /= base;
    /* Rates below 10 get one decimal; counters have none. */
    const bool small = unit == 0 && value < 9.95 && value != (double)(int)value;
    const char *format = small || (unit > 0 && value < 99.95) ? "%.1f%.*s" : "%.0f%.*s";
    snprintf(figure.text, sizeof figure.text, format, value, unit > 0, &units[unit]);
    return figure;
}

static struct figure duration(double seconds)
{
    static const struct {
        double seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
    struct figure figure;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (seconds >= 2 * units[i].seconds) {
            snprintf(figure.text, sizeof figure.text, "%.0f%c", seconds / units[i].seconds,
                     units[i].unit);
            return figure;
        }
    snprintf(figure.text, sizeof figure.text, seconds < 10 ? "%.1fs" : "%.0fs", seconds);
    return figure;
}

/* A damaged segment may give any number, however large. */
static double percent(double part)
{
    return part > 1 ? 100 : part > 0 ? 100 * part : 0;
}

static double high_water(const struct shmring_stat *st)
{
    return percent((double)st->high_water / (double)st->capacity);
}

static const char *bar(double part)
{
    static const char full[BAR + 1] = "||||||";
    int cells = (int)(percent(part) * (double)BAR / 100 + 0.5);
    return full + BAR - (cells == 0 && part > 0 ? 1 : cells);
}

static const char *asleep(const struct shmring_stat *st)
{
    const bool consumers = st->asleep & SHMRING_READABLE, producers = st->asleep & SHMRING_WRITABLE;
    return consumers && producers ? "cp" : consumers ? "c" : producers ? "p" : "-";
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Is there a queue whose consumers can lag, so that the table has columns for that? */
static bool has_lag(const struct gathering *g)
{
    bool found = false;
    for (size_t i = 0; i < g->n_rows; i++)
        found = found ||
                (!g->rows[i].entry->error && kind_view(g->rows[i].entry->view.stat.kind)->to_each);
    return found;
}

/* Which columns the table has. */
struct columns {
    int name_width;
    bool events, lag;
};

/* A screen that is too narrow for all columns shows LAG and MISSED rather than FULL and EMPTY. */
static struct columns columns_within(const struct gathering *g, int width)
{
    struct columns columns = {.events = true, .lag = has_lag(g)};
    int beside = BESIDE_NAME + (columns.lag ? LAG_COLUMNS : 0), least = NAME_LEAST;
    if (columns.lag && width < beside + least) {
        columns.events = false;
        beside -= EVENT_COLUMNS;
        least = NAME_LEAST_NARROW;
    }
    columns.name_width = width - beside > least ? width - beside : least;
    return columns;
}

static void put_heading(struct page *page, struct columns columns)
{
    put_line(page, HEADING, "%-*s %-4s %-*s %4s %6s %6s%s %2s %4s %4s %5s%s", columns.name_width,
             "NAME", "KIND", BAR + 4, "DEPTH", "HIGH", "MSG/S", "B/S",
             columns.events ? "  FULL EMPTY" : "", "SL", "LIVE", "DEAD", "HELD",
             columns.lag ? "    LAG MISSED" : "");
}

/* The columns LAG and MISSED; empty for a queue of another kind. */
struct lag_columns {
    struct figure lag, missed;
};

static struct lag_columns lag_of(const struct view *view)
{
    const struct shmring_participant *furthest = view_furthest_behind(view);
    struct lag_columns columns = {{""}, {""}};
    if (kind_view(view->stat.kind)->to_each) {
        columns.lag = scaled(furthest ? (double)furthest->lag : 0, 1000);
        columns.missed = scaled((double)view->stat.missed, 1000);
    }
    return columns;
}

static void put_row(struct page *page, const struct top_row *row, struct columns columns,
                    enum style style)
{
    const int name_width = columns.name_width;
    const struct entry *entry = row->entry;
    const struct shmring_stat *st = &entry->view.stat;
    char *name = escaped_name(entry);
    if (entry->error) {
        put_line(page, style == PLAIN ? ALARM : style, "%-*.*s %s: %s", name_width, name_width,
                 name, error_name(entry->error), entry->reason);
        free(name);
        return;
    }
    const struct shmring_participant *longest = view_longest_holder(&entry->view);
    const struct lag_columns lag = lag_of(&entry->view);
    const double fill = view_fill(st);
    char events[64] = "";
    if (columns.events)
        snprintf(events, sizeof events, " %5s %5s", scaled((double)st->full_events, 1000).text,
                 scaled((double)st->empty_events, 1000).text);
    put_line(page, style == PLAIN && st->dead > 0 ? ALARM : style,
             "%-*.*s %-4s %-*s%3.0f%% %3.0f%% %6s %6s%s %2s %4" PRIu32 " %4" PRIu32 " %5s%*s%*s",
             name_width, name_width, name, kind_view(st->kind)->brief, BAR, bar(fill),
             percent(fill), high_water(st), scaled(row->messages, 1000).text,
             scaled(row->bytes, 1024).text, events, asleep(st), st->participants, st->dead,
             longest ? duration((double)longest->held_ns * 1e-9).text : "-", *lag.lag.text ? 7 : 0,
             lag.lag.text, *lag.lag.text ? 7 : 0, lag.missed.text);
    free(name);
}

/* The participant that has held blocks for longest, or that is furthest behind; false: there is
 * none. */
static bool put_holder(struct page *page, const struct entry *entry)
{
    const struct shmring_participant *longest = view_longest_holder(&entry->view);
    const struct shmring_participant *furthest = view_furthest_behind(&entry->view);
    const struct shmring_participant *who = longest ? longest : furthest;
    if (entry->error || !who)
        return false;
    char *name = escaped_name(entry), *comm = escaped(who->comm, sizeof who->comm);
    if (longest)
        put_line(page, PLAIN, "%s: pid %" PRIu32 " (%s), %s, holds %" PRIu64 " block%s, for %.1f s",
                 name, who->pid, comm, participant_state(who), who->held, plural(who->held),
                 (double)who->held_ns * 1e-9);
    else
        put_line(page, PLAIN, "%s: pid %" PRIu32 " (%s), %s%s, lags by %" PRIu64 " message%s", name,
                 who->pid, comm, who->flags & SHMRING_RELIABLE ? "reliable, " : "",
                 participant_state(who), who->lag, plural(who->lag));
    free(name);
    free(comm);
    return true;
}

void put_table_of(struct page *page, const struct gathering *g)
{
    struct columns columns = {.name_width = NAME_LEAST, .events = true, .lag = has_lag(g)};
    for (size_t i = 0; i < g->n_rows; i++) {
        char *name = escaped_name(g->rows[i].entry);
        int width = (int)strlen(name);
        columns.name_width = width > columns.name_width ? width : columns.name_width;
        free(name);
    }
    put_heading(page, columns);
    for (size_t i = 0; i < g->n_rows; i++)
        put_row(page, &g->rows[i], columns, PLAIN);
    for (size_t i = 0; i < g->n_rows; i++)
        put_holder(page, g->rows[i].entry);
}

/* ---- The screen with all queues -------------------------------------------------------------- */

size_t selected_row(const struct gathering *g, const struct screen_state *state)
{
    for (size_t i = 0; state->selected && i < g->n_rows; i++)
        if (strcmp(g->rows[i].entry->name, state->selected) == 0)
            return i;
    return 0;
}

/* Index of the first of `total` lines to show where there is room for `room`, so that line `wanted`
 * is shown. */
static size_t scrolled_to(size_t first, size_t wanted, size_t total, size_t room)
{
    if (wanted < first)
        first = wanted;
    if (wanted >= first + room)
        first = wanted - room + 1;
    return total <= room ? 0 : first > total - room ? total - room : first;
}

static void put_all(struct page *page, const struct gathering *g, struct screen_state *state)
{
    const int around = 4; /* lines for title, heading, holder and keys */
    const size_t room = state->height > around ? (size_t)(state->height - around) : 1;
    const struct columns columns = columns_within(g, state->width);
    const size_t selected = selected_row(g, state);
    size_t unreadable = 0;

    for (size_t i = 0; i < g->n_rows; i++)
        unreadable += g->rows[i].entry->error != 0;
    char *filter = escaped(state->filter, sizeof state->filter);
    put_line(page, TITLE, "shmring top   %zu queue%s, %zu unreadable   by %s%s%s%s", g->n_rows,
             plural(g->n_rows), unreadable, sort_name(state->sort_key),
             *state->filter || state->typing ? "   filter: " : "", filter,
             state->typing ? "_" : "");
    free(filter);
    put_heading(page, columns);
    state->scroll = scrolled_to(state->scroll, selected, g->n_rows, room);
    for (size_t i = state->scroll; i < state->scroll + room; i++) {
        if (i < g->n_rows)
            put_row(page, &g->rows[i], columns, i == selected ? SELECTED : PLAIN);
        else
            put_line(page, PLAIN, "%s", i == 0 ? "(there are none)" : "");
    }
    if (g->n_rows == 0 || !put_holder(page, g->rows[selected].entry))
        put_line(page, PLAIN, "%s", "");
    put_line(page, HEADING, "%s",
             state->typing
                 ? "Enter: done   Esc: no filter"
                 : "q quit  / filter  Enter detail  by: n name m msg b bytes d depth w high "
                   "f e x h l");
}

/* ---- The screen with one queue --------------------------------------------------------------- */

static const char *size_of(uint64_t bytes, char text[32])
{
    FILE *out = must(fmemopen(text, 32, "w"));
    put_size(out, bytes);
    fclose(out);
    return text;
}

static void put_description(struct page *page, const struct top_row *row)
{
    const struct shmring_stat *st = &row->entry->view.stat;
    const struct kind_view *kind = kind_view(st->kind);
    const double fill = view_fill(st);
    char size[32], capacity[32];
    char *comm = escaped(st->creator_comm, sizeof st->creator_comm);

    put_line(page, PLAIN,
             "%s, for %s %s%s%s of at most %" PRIu32 " byte%s; segment %s, mode %04" PRIo32
             ", uid %" PRIu32,
             kind->name, size_of(st->capacity, capacity), kind->unit, plural(st->capacity),
             kind->in_messages ? "" : " of messages", st->max_message, plural(st->max_message),
             size_of(st->segment_bytes, size), st->mode, st->uid);
    put_line(page, PLAIN, "created by pid %" PRIu32 " (%s)%s, uid %" PRIu32, st->creator_pid, comm,
             in_our_pid_namespace(st->creator_pid_namespace) ? "" : " (elsewhere)",
             st->creator_uid);
    put_line(page, PLAIN, "waiting   %" PRIu64 " message%s  %-*s%3.0f%%, at most %3.0f%% so far",
             st->depth, plural(st->depth), BAR, bar(fill), percent(fill), high_water(st));
    put_line(page, PLAIN,
             "sent      %" PRIu64 " message%s, %" PRIu64 " byte%s; %s messages/s, %s bytes/s",
             st->sent, plural(st->sent), st->sent_bytes, plural(st->sent_bytes),
             scaled(row->messages, 1000).text, scaled(row->bytes, 1024).text);
    put_line(page, PLAIN, "received  %" PRIu64 " message%s, %" PRIu64 " byte%s; %s messages/s",
             st->received, plural(st->received), st->received_bytes, plural(st->received_bytes),
             scaled(row->received, 1000).text);
    put_line(page, PLAIN, "found     full %" PRIu64 " time%s, empty %" PRIu64 " time%s",
             st->full_events, plural(st->full_events), st->empty_events, plural(st->empty_events));
    put_line(page, PLAIN,
             "recovered %" PRIu64 " dead; %" PRIu64 " message%s delivered again, %" PRIu64
             " dropped",
             st->takeovers, st->redelivered, plural(st->redelivered), st->dropped);
    put_line(page, PLAIN, "asleep    %s",
             st->asleep == 0                  ? "none"
             : st->asleep == SHMRING_READABLE ? "consumers"
             : st->asleep == SHMRING_WRITABLE ? "producers"
                                              : "consumers and producers");
    free(comm);
}

static const char *short_role(uint32_t role)
{
    return role == (SHMRING_PRODUCER | SHMRING_CONSUMER) ? "both" : role_name(role);
}

static void put_who(struct page *page, const struct gathering *g, const struct top_row *row,
                    const struct shmring_participant *who)
{
    double sent, received;
    struct figure held = {"-"}, held_for = {"-"};
    char *comm = escaped(who->comm, sizeof who->comm);
    const struct kind_view *kind = kind_view(row->entry->view.stat.kind);
    participant_rates(g, row, who, &sent, &received);
    if (kind->knows_holders)
        snprintf(held.text, sizeof held.text, "%" PRIu64, who->held);
    if (who->held_ns > 0)
        held_for = duration((double)who->held_ns * 1e-9);
    if (kind->to_each && who->role == SHMRING_CONSUMER) {
        held = scaled((double)who->lag, 1000);
        held_for = scaled((double)who->missed, 1000);
    }
    put_line(page, who->alive ? PLAIN : ALARM,
             "%4" PRIu32 " %8" PRIu32 " %-7s %-8s %5s %6s %7s %7s  %s%s", who->row, who->pid,
             participant_state(who),
             who->flags & SHMRING_RELIABLE ? "reliable" : short_role(who->role), held.text,
             held_for.text, scaled(sent, 1000).text, scaled(received, 1000).text, comm,
             in_our_pid_namespace(who->pid_namespace) ? "" : " (elsewhere)");
    free(comm);
}

static void put_participants(struct page *page, const struct gathering *g,
                             const struct top_row *row, struct screen_state *state)
{
    const struct view *view = &row->entry->view;
    const size_t used = page->n + 2; /* lines, with this heading and the keys */
    const size_t room = state->height > (int)used ? (size_t)state->height - used : 1;

    const bool lags = kind_view(view->stat.kind)->to_each;
    put_line(page, HEADING, "%4s %8s %-7s %-8s %5s %6s %7s %7s  %s", "ROW", "PID", "STATE", "ROLE",
             lags ? "LAG" : "HELD", lags ? "MISSED" : "FOR", "SENT/S", "RECV/S", "COMMAND");
    if (state->scroll + room > (size_t)view->n)
        state->scroll = (size_t)view->n > room ? (size_t)view->n - room : 0;
    for (size_t i = state->scroll; i < state->scroll + room; i++) {
        if (i < (size_t)view->n)
            put_who(page, g, row, &view->rows[i]);
        else
            put_line(page, PLAIN, "%s", i == 0 ? "(no process is attached)" : "");
    }
}

static void put_one(struct page *page, const struct gathering *g, struct screen_state *state)
{
    const size_t selected = selected_row(g, state);
    const struct top_row *row =
        selected < g->n_rows && strcmp(g->rows[selected].entry->name, state->selected) == 0
            ? &g->rows[selected]
            : NULL;
    char *name = escaped(state->selected, strlen(state->selected));
    put_line(page, TITLE, "shmring top   %s", name);
    free(name);
    if (row && !row->entry->error) {
        put_description(page, row);
        put_participants(page, g, row, state);
    } else {
        put_line(page, ALARM, "%s", row ? row->entry->reason : "it is gone");
        while (page->n + 1 < (size_t)state->height)
            put_line(page, PLAIN, "%s", "");
    }
    put_line(page, HEADING, "q quit   Esc back   Up, Down scroll");
}

void put_screen(struct page *page, const struct gathering *g, struct screen_state *state)
{
    if (state->detail)
        put_one(page, g, state);
    else
        put_all(page, g, state);
}
