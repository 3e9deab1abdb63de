/* SPDX-License-Identifier: MIT */
/* Waiting for a name to appear: inotify on its directory, and another look after each event. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "deadline.h"
#include "name.h"
#include "process.h"

/* Sleep until something happens in the directory. 0, -ETIMEDOUT, -EINTR. */
static int sleep_on(int watch, int64_t deadline)
{
    struct pollfd p = {.fd = watch, .events = POLLIN};
    struct timespec left, *limit = NULL;
    char events[4096];

    if (deadline != SHMR_FOR_EVER) {
        int64_t ns = deadline - shmr_now();
        if (ns <= 0)
            return shmr_fail(ETIMEDOUT, "the queue did not appear in time");
        left = (struct timespec){.tv_sec = (time_t)(ns / SHMR_SECOND),
                                 .tv_nsec = (long)(ns % SHMR_SECOND)};
        limit = &left;
    }
    int n = ppoll(&p, 1, limit, NULL);
    if (n < 0)
        return shmr_fail(errno, "waiting for the queue to appear: %s", strerror(errno));
    if (n > 0 && read(watch, events, sizeof events) < 0 && errno != EAGAIN)
        return shmr_fail(errno, "waiting for the queue to appear: %s", strerror(errno));
    return 0;
}

/* Again before each look: the directory may have been replaced. */
static int watch_directory(int watch, const struct shmr_name *name)
{
    char directory[PATH_MAX];

    strcpy(directory, name->path);
    strrchr(directory, '/')[1] = 0;
    /* IN_ATTRIB: a file made in place is finished when its mode is set. */
    if (inotify_add_watch(watch, directory,
                          IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_MOVE_SELF | IN_ONLYDIR) < 0)
        return shmr_fail(errno, "watching %s: %s", directory, strerror(errno));
    return 0;
}

int shmring_open_wait(shmring_t **q, const char *text, unsigned flags,
                      const struct timespec *timeout)
{
    struct shmr_name name;
    int64_t deadline;
    int watch, r;

    SHMR_NO_CANCEL();
    if (q)
        *q = NULL;
    r = shmr_deadline(timeout, &deadline);
    if (r < 0)
        return r;
    r = shmring_open(q, text, flags);
    if (r != -ENOENT && r != -EAGAIN)
        return r;
    r = shmr_name_parse(&name, text);
    if (r < 0)
        return r;
    watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch < 0)
        return shmr_fail(errno, "inotify: %s", strerror(errno));
    while ((r = watch_directory(watch, &name)) == 0) {
        r = shmring_open(q, text, flags);
        if (r != -ENOENT && r != -EAGAIN)
            break;
        r = sleep_on(watch, deadline);
        if (r < 0)
            break;
    }
    close(watch);
    return r;
}
