/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "segment.h"
#include "tool.h"

#define POSIX_DIRECTORY "/dev/shm"

/* A segment found, and what became of opening it. */
struct entry {
    char *name;
    int error; /* 0: view is valid; else why there is only the file to tell of */
    char *reason;
    struct view view;
    struct stat file;
};

struct list {
    struct entry *entries;
    size_t n, room;
};

static const char *error_name(int error)
{
    switch (error) {
    case -EBADMSG:
        return "damaged";
    case -EPROTONOSUPPORT:
        return "foreign"; /* another layout */
    case -EACCES:
    case -EPERM:
        return "no-access";
    case -EAGAIN:
        return "unfinished";
    default:
        return "error";
    }
}

/* Does this regular file start as a segment of any layout does? 1, 0 or -errno. */
static int is_segment(int dirfd, const char *file)
{
    uint64_t magic;
    struct stat st;
    int fd = openat(dirfd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    bool found = regular && pread(fd, &magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
                 (magic == SHMR_MAGIC || magic == __builtin_bswap64(SHMR_MAGIC));
    close(fd);
    return found || (regular && st.st_mode & SHMR_UNFINISHED);
}

static struct entry *list_add(struct list *list)
{
    if (list->n == list->room) {
        list->room = list->room ? list->room * 2 : 16;
        list->entries = must(reallocarray(list->entries, list->room, sizeof *list->entries));
    }
    struct entry *entry = &list->entries[list->n++];
    memset(entry, 0, sizeof *entry);
    return entry;
}

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->entries[i].name);
        free(list->entries[i].reason);
        view_free(&list->entries[i].view);
    }
    free(list->entries);
}

/* Look at the queue NAME, whose file is `file` in dirfd, and add it to the list. */
static void add_queue(struct list *list, const char *name, int dirfd, const char *file)
{
    struct entry *entry = list_add(list);
    fstatat(dirfd, file, &entry->file, AT_SYMLINK_NOFOLLOW);
    shmring_t *q;
    int rc = shmring_open(&q, name, SHMRING_OBSERVER);
    if (rc == 0) {
        rc = view_take(q, &entry->view);
        shmring_close(&q);
    }
    if (rc == -ENOENT) { /* removed since we saw it */
        list->n--;
        return;
    }
    entry->name = must(strdup(name));
    if (rc < 0) {
        entry->error = rc;
        entry->reason = must(strdup(error_detail(rc)));
    }
}

/* Add the segments in a directory: those in /dev/shm by plain name, others as file:PATH. */
static int add_directory(struct list *list, const char *path)
{
    int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return complain(path, "cannot list: %s", strerror(errno));
    struct dirent **files;
    int n = scandirat(dirfd, ".", &files, NULL, alphasort);
    if (n < 0) {
        close(dirfd);
        return complain(path, "cannot list: %s", strerror(errno));
    }

    bool posix = strcmp(path, POSIX_DIRECTORY) == 0;
    bool slash = path[strlen(path) - 1] == '/';
    for (int i = 0; i < n; free(files[i++])) {
        const char *file = files[i]->d_name;
        int found = is_segment(dirfd, file);
        if (found == 0 || (found < 0 && found != -EACCES))
            continue; /* somebody else's, a link, or gone */
        char *name;
        if (asprintf(&name, "%s%s%s%s", posix ? "" : "file:", posix ? "" : path,
                     posix || slash ? "" : "/", file) < 0)
            name = must(NULL);
        add_queue(list, name, dirfd, file);
        free(name);
    }
    free(files);
    close(dirfd);
    return EXIT_OK;
}

/* Add one queue that the user named. It may be damaged or of another layout, but it must be there.
 */
static int add_named(struct list *list, const char *name)
{
    bool file = strncmp(name, "file:", 5) == 0;
    int dirfd = open(file ? "." : POSIX_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *path = file ? name + 5 : name;
    if (is_segment(dirfd, path) != 1) {
        shmring_t *q;
        int rc = shmring_open(&q, name, SHMRING_OBSERVER);
        if (rc < 0) {
            close(dirfd);
            return failed(name, "cannot open", rc);
        }
        shmring_close(&q);
    }
    add_queue(list, name, dirfd, path);
    close(dirfd);
    return EXIT_OK;
}

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
        fputs(open ? kind_name(st->kind) : error_name(entry->error), out);
        break;
    case CAPACITY:
        if (open)
            put_size(out, st->capacity);
        if (open && st->kind == SHMRING_MPMC)
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
            fputc(')', out);
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
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    bool json = false;

    for (int option; (option = getopt_long(argc, argv, "jh", options, NULL)) != -1;) {
        switch (option) {
        case 'j':
            json = true;
            break;
        case 'h':
            return help(self);
        default:
            return usage(self, NULL);
        }
    }

    struct list list = {0};
    int status = optind == argc ? add_directory(&list, POSIX_DIRECTORY) : EXIT_OK;
    for (int i = optind; i < argc; i++) {
        bool directory = strncmp(argv[i], "file:", 5) != 0 && strchr(argv[i], '/');
        if ((directory ? add_directory : add_named)(&list, argv[i]) != EXIT_OK)
            status = EXIT_FAILED;
    }
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
    .summary = "list queues, and who is attached to them",
    .options = "  -j, --json             a JSON array\n",
    .notes = "Without arguments: the queues in /dev/shm. A DIRECTORY, which is an argument with a\n"
             "slash, is searched for file: queues.\n",
    .run = run,
};
