/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/rows.h"
#include "tool.h"
#include "wait/notifier.h"

static int count(void *arg, const struct shmring_message *message)
{
    (void)message;
    ++*(uint64_t *)arg;
    return 0;
}

static void say(const char *name, const char *what)
{
    put_escaped(stdout, name, strlen(name));
    printf(": %s", what);
}

/*
 * Lock all rows, so that no process can attach until the queue is closed, or removed: a process
 * that attaches locks a row first, and then checks whether the queue still has its name. False: a
 * participant is attached. The locks keep another `shmring gc` out too: when the first has removed
 * the name, a new queue may have it, and the second would remove that one.
 */
static bool lock_out(shmring_t *q)
{
    struct shmr_header h;
    const int fd = shmring_segment_fd(q);

    return (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
           pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && shmr_rows_lock_all(fd, &h);
}

/* A queue without a live participant. Messages that dead participants hold are messages too. */
static int collect_unattended(shmring_t *q, const char *name, bool all, bool dry_run)
{
    uint64_t messages = 0;
    int rc = shmring_dump(q, count, &messages);
    if (rc < 0)
        return failed(name, "kept: cannot read its messages", rc);
    if (messages > 0 && !all) {
        say(name, "kept: ");
        printf("%" PRIu64 " message%s %s in it (--all removes it)\n", messages, plural(messages),
               messages == 1 ? "is" : "are");
        return EXIT_OK;
    }
    if (!dry_run) {
        rc = shmring_check(q); /* else the name may be another queue's by now */
        if (rc == 0)
            rc = shmring_unlink(name);
        if (rc < 0)
            return failed(name, "cannot remove", rc);
    }
    say(name, dry_run ? "would be removed: " : "removed: ");
    const char *be = messages == 1 ? (dry_run ? "is" : "was") : dry_run ? "are" : "were";
    printf("no process is attached, %" PRIu64 " message%s %s in it\n", messages, plural(messages),
           be);
    return EXIT_OK;
}

static int collect(const struct entry *entry, bool all, bool dry_run)
{
    const char *name = entry->name;
    shmring_t *q;
    struct shmring_stat stat;
    if (entry->error) {
        say(name, "kept: ");
        printf("%s: ", error_name(entry->error));
        put_escaped(stdout, entry->reason, strlen(entry->reason));
        putchar('\n');
        return EXIT_OK;
    }
    int rc = shmring_open(&q, name, SHMRING_OBSERVER); /* the list may be long, and old by now */
    if (rc < 0)
        return failed(name, "kept: cannot open", rc);
    int status = EXIT_OK;
    rc = shmring_stat(q, &stat);
    if (rc < 0) {
        status = failed(name, "kept: cannot read it", rc);
    } else if (stat.participants > 0) {
        say(name, "kept: ");
        printf("%" PRIu32 " attached\n", stat.participants);
    } else if (!dry_run && !lock_out(q)) {
        say(name, "kept: another process attaches to it just now, or removes it\n");
    } else {
        status = collect_unattended(q, name, all, dry_run);
    }
    shmring_close(&q);
    return status;
}

static int is_notifier(const struct dirent *file)
{
    return strncmp(file->d_name, SHMR_NOTIFIER_PREFIX, strlen(SHMR_NOTIFIER_PREFIX)) == 0;
}

/* Remove the notifiers that killed participants left of memfd queues, and of queues that were
 * removed meanwhile. If a participant still needs one, it makes it again. */
static void collect_notifiers(const char *path, bool dry_run)
{
    int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent **files;
    int n = dirfd < 0 ? -1 : scandir(path, &files, is_notifier, alphasort);
    for (int i = 0; i < n; free(files[i++]))
        if (shmr_notifier_remove_idle(dirfd, files[i]->d_name, dry_run)) {
            say(files[i]->d_name, dry_run ? "would be removed: " : "removed: ");
            puts("a notifier that no process has open");
        }
    if (n >= 0)
        free(files);
    if (dirfd >= 0)
        close(dirfd);
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"all", no_argument, NULL, 'a'},
        {"dry-run", no_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    bool all = false, dry_run = false;

    for (int option; (option = getopt_long(argc, argv, "anh", options, NULL)) != -1;) {
        switch (option) {
        case 'a':
            all = true;
            break;
        case 'n':
            dry_run = true;
            break;
        case 'h':
            return help(self);
        default:
            return usage(self, NULL);
        }
    }

    struct list list = {0};
    int status = find(&list, argv + optind, argc - optind);
    for (size_t i = 0; i < list.n; i++)
        if (collect(&list.entries[i], all, dry_run) != EXIT_OK)
            status = EXIT_FAILED;
    list_free(&list);
    if (optind == argc)
        collect_notifiers(POSIX_DIRECTORY, dry_run);
    for (; optind < argc; optind++)
        if (is_directory(argv[optind]))
            collect_notifiers(argv[optind], dry_run);
    return status;
}

const struct command gc_command = {
    .name = "gc",
    .arguments = "[OPTION]... [NAME|DIRECTORY]...",
    .summary = "remove queues that are empty and that no process is attached to",
    .options = "  -a, --all              also those with messages\n"
               "  -n, --dry-run          only say what would be removed\n",
    .notes = "Without arguments: the queues in /dev/shm. A DIRECTORY is an argument with a slash.\n"
             "What cannot be read is never removed; rm does that. The messages that a broadcast\n"
             "queue still has count, and consumers without a row are not seen.\n",
    .run = run,
};
