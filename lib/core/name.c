/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static_assert(SHMRING_PATH_MAX + sizeof "file:" <= sizeof((struct shmr_name *)0)->text, "fits");
static_assert(SHMRING_NAME_MAX + sizeof "memfd:" <= sizeof((struct shmr_name *)0)->text, "fits");

static int check_label(const char *label)
{
    const char *p;

    if (!*label)
        return shmr_fail(EINVAL, "the name is empty");
    if (strlen(label) > SHMRING_NAME_MAX)
        return shmr_fail(ENAMETOOLONG, "the name has %zu bytes: at most %d", strlen(label),
                         SHMRING_NAME_MAX);
    for (p = label; *p; p++) {
        if (*p == '/')
            return shmr_fail(EINVAL, "the name has a slash: use a plain name, or \"file:PATH\"");
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9') &&
            !strchr("._-", *p))
            return shmr_fail(
                EINVAL,
                "the name's byte 0x%02x at %td: only ASCII letters, digits, '.', '_' and '-'",
                (unsigned char)*p, p - label);
    }
    if (*label == '.' || *label == '-')
        return shmr_fail(EINVAL, "the name starts with '%c': start with a letter, a digit or '_'",
                         *label);
    return 0;
}

static int parse_file(struct shmr_name *name, const char *path)
{
    size_t used = 0;

    if (!*path)
        return shmr_fail(EINVAL, "the path after \"file:\" is empty");
    if (strlen(path) > SHMRING_PATH_MAX)
        return shmr_fail(ENAMETOOLONG, "the path has %zu bytes: at most %d", strlen(path),
                         SHMRING_PATH_MAX);
    if (path[strlen(path) - 1] == '/')
        return shmr_fail(EINVAL, "the path ends with a slash: name a file in that directory");
    if (*path != '/') { /* make it absolute, so that a later chdir(2) does not change its meaning */
        if (!getcwd(name->path, sizeof name->path - SHMRING_PATH_MAX - 2))
            return shmr_fail(errno == ERANGE ? ENAMETOOLONG : errno, "the current directory: %s",
                             strerror(errno));
        used = strlen(name->path);
        name->path[used++] = '/';
    }
    strcpy(name->path + used, path);
    return 0;
}

static void note_root(struct shmr_name *name)
{
    struct stat root;

    if (stat("/", &root) < 0)
        return;
    name->root_device = root.st_dev;
    name->root_inode = root.st_ino;
}

bool shmr_name_has_another_root(const struct shmr_name *name)
{
    struct stat root;

    return name->root_inode != 0 && stat("/", &root) == 0 &&
           (root.st_dev != name->root_device || root.st_ino != name->root_inode);
}

int shmr_name_parse(struct shmr_name *name, const char *text)
{
    int r;

    memset(name, 0, sizeof *name);
    if (!text)
        return shmr_fail(EINVAL, "the name is NULL");
    if (strncmp(text, "file:", 5) == 0) {
        name->backend = SHMR_FILE;
        r = parse_file(name, text + 5);
    } else if (strncmp(text, "memfd:", 6) == 0) {
        name->backend = SHMR_MEMFD;
        r = check_label(text + 6);
        if (r == 0)
            strcpy(name->path, text + 6);
    } else {
        name->backend = SHMR_POSIX;
        r = check_label(text);
        if (r == 0)
            snprintf(name->path, sizeof name->path, SHMR_POSIX_DIRECTORY "/%s", text);
    }
    if (r < 0)
        return r;
    strcpy(name->text, text);
    if (name->backend != SHMR_MEMFD)
        note_root(name);
    return 0;
}
