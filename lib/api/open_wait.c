/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a name to appear: inotify on its directory, and another attempt after each event.
 * Where inotify does not work, another attempt every 20 ms.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "base/deadline.h"
#include "base/process.h"
#include "core/name.h"

/* Time between two attempts without inotify. */
#define POLL_NS INT64_C(20000000)

/*
 * How this process learns of changes in the directory. descriptor: of inotify; -1: inotify failed
 * with `error`, and the call tries the name every POLL_NS.
 */
struct watch {
    int descriptor, error;
};

static int say_timed_out(const struct watch *watch)
{
    if (watch->descriptor >= 0)
        return shmr_fail(ETIMEDOUT, "the queue did not appear in time");
    return shmr_fail(
        ETIMEDOUT,
        "the queue did not appear in time (looked up every 20 ms, for want of inotify: "
        "%s: see fs.inotify.max_user_instances and fs.inotify.max_user_watches)",
        strerror(watch->error));
}

/* Sleep until something happens in the directory. 0, -ETIMEDOUT, -EINTR. */
static int sleep_on(const struct watch *watch, int64_t *deadline)
{
    struct pollfd p = {.fd = watch->descriptor, .events = POLLIN}; /* -1 is ignored */
    const int64_t now = shmr_now();
    int64_t ns = *deadline == SHMR_FOR_EVER ? INT64_MAX : *deadline - now;
    struct timespec left;
    char events[4096];

    if (ns <= 0)
        return say_timed_out(watch);
    if (watch->descriptor < 0 && ns > POLL_NS)
        ns = POLL_NS;
    left = (struct timespec){.tv_sec = (time_t)(ns / SHMR_SECOND),
                             .tv_nsec = (long)(ns % SHMR_SECOND)};
    int n = ppoll(&p, 1, ns == INT64_MAX ? NULL : &left, NULL);
    if (n < 0)
        return shmr_fail(errno, "waiting for the queue to appear: %s", strerror(errno));
    /* The sleep lasted ns by the kernel's clock. This process's clock may have been replaced, and
     * lag: so make the deadline earlier by the difference. */
    const int64_t lag = n == 0 ? now + ns - shmr_now() : 0;
    if (lag > 0 && *deadline != SHMR_FOR_EVER)
        *deadline -= lag;
    if (n > 0 && read(watch->descriptor, events, sizeof events) < 0 && errno != EAGAIN)
        return shmr_fail(errno, "waiting for the queue to appear: %s", strerror(errno));
    return 0;
}

static void do_without(struct watch *watch)
{
    watch->error = errno;
    if (watch->descriptor >= 0)
        close(watch->descriptor);
    watch->descriptor = -1;
}

static void start_watch(struct watch *watch)
{
    watch->descriptor = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->descriptor < 0)
        do_without(watch);
}

/* Called before each attempt, because the directory may have been replaced. */
static int watch_directory(struct watch *watch, const struct shmr_name *name)
{
    char directory[PATH_MAX];

    if (watch->descriptor < 0)
        return 0;
    strcpy(directory, name->path);
    strrchr(directory, '/')[1] = 0;
    /* IN_ATTRIB: a change of mode may let this process in. */
    if (inotify_add_watch(watch->descriptor, directory,
                          IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_MOVE_SELF | IN_ONLYDIR) >= 0) {
        /* A file that is created in place is finished when its magic is written. If there is no
         * such file yet, IN_CREATE will report it. */
        (void)inotify_add_watch(watch->descriptor, name->path, IN_MODIFY | IN_DONT_FOLLOW);
        return 0;
    }
    if (errno == ENOENT || errno == ENOTDIR)
        return shmr_fail(errno, "watching %s: %s", directory, strerror(errno));
    /* Too many watches, or this process may search the directory but not read it. */
    do_without(watch);
    return 0;
}

int shmring_open_wait(shmring_t **q, const char *text, unsigned flags,
                      const struct timespec *timeout)
{
    struct shmr_name name;
    struct watch watch = {.descriptor = -1};
    int64_t deadline;
    int r;

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
    start_watch(&watch);
    while ((r = watch_directory(&watch, &name)) == 0) {
        r = shmring_open(q, text, flags);
        if (r != -ENOENT && r != -EAGAIN)
            break;
        r = sleep_on(&watch, &deadline);
        if (r < 0)
            break;
    }
    if (watch.descriptor >= 0)
        close(watch.descriptor);
    return r;
}
