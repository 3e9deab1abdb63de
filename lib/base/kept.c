/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/kept.h"

#include <stddef.h>
#include <unistd.h>

#include "base/process.h"

/* Both are protected by the fork lock. */
static struct shmr_kept *first;
static uint32_t forks;

static void lock(bool held, sigset_t *signals)
{
    if (!held)
        shmr_process_hold_fork(signals);
}

static void unlock(bool held, const sigset_t *signals)
{
    if (!held)
        shmr_process_let_fork(signals);
}

uint32_t shmr_kept_forks(bool held)
{
    sigset_t signals;
    lock(held, &signals);
    const uint32_t n = forks;
    unlock(held, &signals);
    return n;
}

bool shmr_kept_note(struct shmr_kept *kept, int fd, uint32_t before, bool held)
{
    sigset_t signals;
    lock(held, &signals);
    const bool same = forks == before;
    if (same) {
        *kept = (struct shmr_kept){.fd = fd, .next = first, .link = &first};
        if (first)
            first->link = &kept->next;
        first = kept;
    }
    unlock(held, &signals);
    return same;
}

int shmr_kept_take(struct shmr_kept *kept, bool held)
{
    sigset_t signals;
    lock(held, &signals);
    const int fd = kept->fd;
    if (fd >= 0) {
        *kept->link = kept->next;
        if (kept->next)
            kept->next->link = kept->link;
    }
    kept->fd = -1;
    unlock(held, &signals);
    return fd;
}

void shmr_kept_before_fork(void)
{
    forks++;
}

void shmr_kept_in_child(void)
{
    for (; first; first = first->next) {
        close(first->fd);
        first->fd = -1;
    }
}
