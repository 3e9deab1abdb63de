/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

enum { NAME, KIND, CAPACITY, SIZE, DEPTH, MODE, OWNER, CREATOR, PARTICIPANTS, COLUMNS };

static void put_cell(FILE *out, const struct entry *entry, int column)
{
    const struct shmring_stat *st = &entry->view.stat;
    bool open = entry->error == 0;
    switch (column) {
    case NAME:
        put_escaped(out, entry->name, strlen(entry->name));
        break;
    case KIND:
        fputs(open ? kind_view(st->kind)->name : error_name(entry->error), out);
        break;
    case CAPACITY:
        if (open)
            put_size(out, st->capacity);
        if (open && kind_view(st->kind)->in_messages)
            fputs("msg", out);
        break;
    case SIZE:
        put_size(out, open ? st->segment_bytes : (uint64_t)entry->file.st_size);
        break;
    case DEPTH:
        if (open)
            fprintf(out, "%" PRIu64, st->depth);
        break;
    case MODE:
        fprintf(out, "%04" PRIo32, open ? st->mode : entry->file.st_mode & 07777);
        break;
    case OWNER:
        put_user(out, open ? st->uid : entry->file.st_uid);
        break;
    case CREATOR:
        if (open) {
            fprintf(out, "%" PRIu32 " (", st->creator_pid);
            put_escaped(out, st->creator_comm, sizeof st->creator_comm);
            fputs(in_our_pid_namespace(st->creator_pid_namespace) ? ")" : ") elsewhere", out);
        }
        break;
    case PARTICIPANTS:
        for (int i = 0; i < entry->view.n; i++) {
            fputs(i == 0 ? "" : ", ", out);
            put_participant(out, &entry->view.rows[i]);
        }
        if (!open)
            put_escaped(out, entry->reason, strlen(entry->reason));
        break;
    }
}

static char *cell_text(const struct entry *entry, int column)
{
    char *text = NULL;
    size_t size;
    FILE *out = must(open_memstream(&text, &size));
    put_cell(out, entry, column);
    if (fclose(out) != 0 || size == 0) {
        free(text);
        text = must(strdup("-"));
    }
    return text;
}

static void put_table(const struct list *list)
{
    static const char *const titles[COLUMNS] = {"NAME", "KIND",  "CAPACITY", "SIZE",        "DEPTH",
                                                "MODE", "OWNER", "CREATOR",  "PARTICIPANTS"};
    char *(*rows)[COLUMNS] = must(calloc(list->n + 1, sizeof *rows));
    int widths[COLUMNS] = {0};
    for (size_t i = 0; i <= list->n; i++)
        for (int c = 0; c < COLUMNS; c++) {
            rows[i][c] = i == 0 ? must(strdup(titles[c])) : cell_text(&list->entries[i - 1], c);
            int width = (int)strlen(rows[i][c]);
            widths[c] = c < COLUMNS - 1 && width > widths[c] ? width : widths[c];
        }
    for (size_t i = 0; i <= list->n; i++)
        for (int c = 0; c < COLUMNS; c++) {
            printf("%-*s%s", widths[c], rows[i][c], c < COLUMNS - 1 ? "  " : "\n");
            free(rows[i][c]);
        }
    free(rows);
}

static void put_error_json(const struct entry *entry)
{
    fputs("{\"name\":", stdout);
    put_json_string(stdout, entry->name, strlen(entry->name));
    printf(",\"kind\":null,\"error\":\"%s\",\"reason\":", error_name(entry->error));
    put_json_string(stdout, entry->reason, strlen(entry->reason));
    printf(",\"segment_bytes\":%" PRIu64 ",\"mode\":\"%04" PRIo32 "\",\"uid\":%" PRIu32
           ",\"gid\":%" PRIu32 "}",
           (uint64_t)entry->file.st_size, entry->file.st_mode & 07777, entry->file.st_uid,
           entry->file.st_gid);
}

static void put_json(const struct list *list)
{
    putchar('[');
    for (size_t i = 0; i < list->n; i++) {
        const struct entry *entry = &list->entries[i];
        fputs(i == 0 ? "\n " : ",\n ", stdout);
        if (entry->error)
            put_error_json(entry);
        else
            put_view_json(stdout, entry->name, &entry->view);
    }
    puts(list->n == 0 ? "]" : "\n]");
}

static int run(const struct command *self, int argc, char **argv)
{
    bool json;
    int status = parse_arguments(self, argc, argv, &json, NULL);
    if (status != GO_ON)
        return status;

    struct list list = {0};
    status = find(&list, argv + optind, argc - optind);
    if (json)
        put_json(&list);
    else if (list.n > 0)
        put_table(&list);
    list_free(&list);
    return status;
}

const struct command ls_command = {
    .name = "ls",
    .arguments = "[OPTION]... [NAME|DIRECTORY]...",
    .summary = "list queues, and the processes that are attached to them",
    .options = "  -j, --json             a JSON array\n",
    .notes = "Without arguments: the queues in /dev/shm. A DIRECTORY, which is an argument with a\n"
             "slash, is searched for file: queues.\n",
    .run = run,
};
