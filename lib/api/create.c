/* SPDX-License-Identifier: MIT */
/* Creating queues. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <shmring/shmring.h>

#include "api/open.h"
#include "base/error.h"
#include "base/trace.h"

/* With SHMRING_OPEN_OR_CREATE another process may create or remove the name between opening and
 * creating: limit on the attempts. */
#define OPEN_OR_CREATE_TRIES 100

/* The mode asked for, or the default. */
static mode_t mode_of(const struct shmr_name *name, const struct shmring_config *config)
{
    return config->mode ? config->mode : name->backend == SHMR_MEMFD ? 0666 : 0600;
}

/* Create and attach, and only then publish the name: so no other process can take the creator's
 * roles first. */
static int create_new(shmring_t **out, const struct shmr_name *name, const struct shmr_geometry *g,
                      const struct shmring_config *config)
{
    bool in_place = false;
    shmring_t *q;
    int r = shmr_handle_new(&q);

    if (r < 0)
        return r;
    q->name = *name;
    q->geometry = *g;
    r = name->backend == SHMR_MEMFD ? shmr_memfd_create(name, g->flags)
                                    : shmr_file_create(name, g->flags, &in_place);
    if (r >= 0 && (q->fd = shmr_process_keep_fd(r)) < 0)
        r = shmr_fail(errno, "moving the segment's descriptor: %s", strerror(errno));
    if (r >= 0)
        r = shmr_segment_init(q->fd, name, g, mode_of(name, config), &q->header);
    if (r == 0)
        r = shmr_attach(q, config->flags, false);
    if (r == 0)
        r = shmr_segment_mark(q->fd, g->flags & SHMRING_HUGE_PAGES, SHMR_MAGIC);
    if (r == 0 && !in_place && name->backend != SHMR_MEMFD)
        r = shmr_file_publish(q->fd, name);
    if (r < 0) {
        if (in_place)
            shmr_file_abandon(q->fd, name);
        shmr_handle_free(q);
        return r;
    }
    *out = q;
    return 0;
}

/* Open the existing queue, if it has the parameters that the new one would have. */
static int open_same(shmring_t **out, const struct shmr_name *name, const struct shmr_geometry *g,
                     const struct shmring_config *config)
{
    const struct shmr_wanted wanted = {g, mode_of(name, config)};
    const unsigned roles = config->flags & (SHMR_ROLES | SHMRING_OBSERVER);

    return shmr_open_named(out, name,
                           (roles ? roles : SHMRING_OBSERVER) | (config->flags & SHMR_OPEN_OPTIONS),
                           &wanted);
}

int shmring_create(shmring_t **q, const char *text, const struct shmring_config *config)
{
    struct shmr_name name;
    struct shmr_geometry g;
    int r;

    SHMR_NO_CANCEL();
    if (!q)
        return shmr_fail(EINVAL, "the place for the handle is NULL");
    *q = NULL;
    if (!config)
        return shmr_fail(EINVAL, "the configuration is NULL");
    r = shmr_name_parse(&name, text);
    if (r == 0)
        r = shmr_geometry(&g, config);
    if (r == 0 && config->flags & SHMRING_OBSERVER && config->flags & SHMR_ROLES)
        r = shmr_fail(EINVAL, "an observer has no other role");
    if (r < 0)
        return r;
    if (!(config->flags & SHMRING_OPEN_OR_CREATE) || name.backend == SHMR_MEMFD)
        return create_new(q, &name, &g, config);
    for (int tries = OPEN_OR_CREATE_TRIES;; tries--) {
        r = open_same(q, &name, &g, config);
        /* -EAGAIN: the file is unfinished. If its creator died, create_new() replaces it. */
        if ((r != -ENOENT && r != -EAGAIN) || tries == 0)
            return r;
        r = create_new(q, &name, &g, config);
        if (r != -EEXIST)
            return r;
    }
}
