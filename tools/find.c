/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/segment.h"
#include "tool.h"

const char *error_name(int error)
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
    case -ENOENT:
        return "gone";
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
    if (fd < 0) { /* it may be a directory, a socket or a device */
        const int error = errno;
        return fstatat(dirfd, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode) ? 0
                                                                                           : -error;
    }
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    bool found =
        regular && pread(fd, &magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
        (magic == SHMR_MAGIC || magic == __builtin_bswap64(SHMR_MAGIC) || magic == SHMR_UNFINISHED);
    close(fd);
    return found;
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

void list_free(struct list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->entries[i].name);
        free(list->entries[i].reason);
        view_free(&list->entries[i].view);
    }
    free(list->entries);
}

/* Open the queue NAME, whose file is `file` in dirfd, as an observer, and add it to the list. */
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
    if (rc == -ENOENT) { /* removed since the directory was read */
        list->n--;
        return;
    }
    entry->name = must(strdup(name));
    if (rc < 0) {
        entry->error = rc;
        entry->reason = must(strdup(error_detail(rc)));
    }
}

/* An argument that names no queue and no directory: complain, or list it with the reason. */
static int not_there(struct list *list, const char *name, const char *what, int error,
                     const char *reason)
{
    if (!list->quiet)
        return complain(name, "%s: %s", what, reason);
    struct entry *entry = list_add(list);
    entry->name = must(strdup(name));
    entry->error = error;
    entry->reason = must(strdup(reason));
    return EXIT_FAILED;
}

/* Add the segments in a directory: those in /dev/shm by plain name, others as file:PATH. */
static int add_directory(struct list *list, const char *path)
{
    int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return not_there(list, path, "cannot list", -errno, strerror(errno));
    struct dirent **files;
    int n = scandir(path, &files, NULL, alphasort);
    if (n < 0) {
        int error = errno;
        close(dirfd);
        return not_there(list, path, "cannot list", -error, strerror(error));
    }

    bool posix = strcmp(path, POSIX_DIRECTORY) == 0;
    bool slash = path[strlen(path) - 1] == '/';
    for (int i = 0; i < n; free(files[i++])) {
        const char *file = files[i]->d_name;
        int found = is_segment(dirfd, file);
        if (found == 0 || found == -ELOOP || found == -ENOENT)
            continue; /* another program's file, a link, or removed */
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

/* Add one queue that the user named. It may be damaged, of another layout, or forbidden to read,
 * but it must exist. */
static int add_named(struct list *list, const char *name)
{
    bool file = strncmp(name, "file:", 5) == 0;
    int dirfd = open(file ? "." : POSIX_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *path = file ? name + 5 : name;
    int found = is_segment(dirfd, path);
    struct stat st;
    bool forbidden = (found == -EACCES || found == -EPERM) &&
                     fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (found != 1 && !forbidden) {
        shmring_t *q;
        int rc = shmring_open(&q, name, SHMRING_OBSERVER);
        if (rc < 0) {
            close(dirfd);
            return not_there(list, name, "cannot open", rc, error_detail(rc));
        }
        shmring_close(&q);
    }
    add_queue(list, name, dirfd, path);
    close(dirfd);
    return EXIT_OK;
}

bool is_directory(const char *argument)
{
    return strncmp(argument, "file:", 5) != 0 && strchr(argument, '/');
}

int find(struct list *list, char *const *arguments, int n)
{
    int status = n == 0 ? add_directory(list, POSIX_DIRECTORY) : EXIT_OK;
    for (int i = 0; i < n; i++) {
        if ((is_directory(arguments[i]) ? add_directory : add_named)(list, arguments[i]) != EXIT_OK)
            status = EXIT_FAILED;
    }
    return status;
}
