/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "slots.h"

/* The semaphores of one direction, each on cache lines of its own. */
struct counts {
    _Alignas(128) sem_t free;
    _Alignas(128) sem_t filled;
};

struct posix_shm {
    struct slots slots;
    struct counts *counts; /* [2], the start of the mapping; the slots follow */
    size_t bytes;
};

/* Map shared memory of s->bytes, whose name is removed before this returns. */
static int map(struct link *l, struct posix_shm *s)
{
    char name[64];
    snprintf(name, sizeof name, "/shmring-bench.%ld.posix-shm", (long)getpid());
    shm_unlink(name); /* left by a killed run that had this process id */
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return link_errno(l, "shm_open");
    shm_unlink(name);
    void *base = MAP_FAILED;
    errno = posix_fallocate(fd, 0, (off_t)s->bytes);
    if (errno == 0)
        base = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int result = base == MAP_FAILED ? link_errno(l, "/dev/shm") : 0;
    close(fd);
    s->counts = result == 0 ? base : NULL;
    return result;
}

static int posix_shm_open(struct link *l)
{
    struct posix_shm *s = calloc(1, sizeof *s);
    if (!s)
        return link_errno(l, "calloc");
    l->state = s;
    s->slots = slots_for(l);
    s->bytes = 2 * sizeof(struct counts) + slots_bytes(&s->slots);
    if (map(l, s) != 0)
        return -1;
    s->slots.base = (unsigned char *)(s->counts + 2);
    for (int side = 0; side < 2; side++)
        if (sem_init(&s->counts[side].free, 1, (unsigned)s->slots.count) != 0 ||
            sem_init(&s->counts[side].filled, 1, 0) != 0)
            return link_errno(l, "sem_init");
    return 0;
}

static void posix_shm_close(struct link *l)
{
    struct posix_shm *s = l->state;
    if (!s)
        return;
    if (s->counts)
        munmap(s->counts, s->bytes);
    free(s);
}

static int take(struct link *l, sem_t *semaphore)
{
    while ((l->block ? sem_wait(semaphore) : sem_trywait(semaphore)) != 0)
        if (errno != EAGAIN && errno != EINTR)
            return link_errno(l, "sem_wait");
    return 0;
}

static long posix_shm_send(struct link *l, uint64_t seq, long n)
{
    const struct posix_shm *s = l->state;
    struct counts *counts = &s->counts[l->side];
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        if (take(l, &counts->free) != 0)
            return -1;
        payload_fill(slots_at(&s->slots, l->side, seq), l->size, seq);
        sem_post(&counts->filled);
    }
    return n;
}

static long posix_shm_recv(struct link *l, uint64_t seq, long n)
{
    const struct posix_shm *s = l->state;
    const enum side peer = l->side == SIDE_A ? SIDE_B : SIDE_A;
    struct counts *counts = &s->counts[peer];
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        if (take(l, &counts->filled) != 0 || !link_check(l, slots_at(&s->slots, peer, seq), seq))
            return -1;
        sem_post(&counts->free);
    }
    return n;
}

const struct transport posix_shm_transport = {
    .name = "posix-shm",
    .group = "memory",
    .what =
        "shm_open(3) and sem_init(3): slots, and a semaphore operation around each on both sides",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = posix_shm_open,
    .send = posix_shm_send,
    .recv = posix_shm_recv,
    .close = posix_shm_close,
};
