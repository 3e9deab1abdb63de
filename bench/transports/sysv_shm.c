/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "slots.h"

enum { FREE = 0, FILLED = 1, SEMAPHORES = 2 }; /* of each direction */

struct sysv_shm {
    struct slots slots;
    int semaphores;
};

/* System V asks every caller to define this. */
union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static int make_semaphores(struct link *l, struct sysv_shm *s)
{
    unsigned short initial[2 * SEMAPHORES] = {(unsigned short)s->slots.count, 0,
                                              (unsigned short)s->slots.count, 0};
    s->semaphores = semget(IPC_PRIVATE, 2 * SEMAPHORES, 0600);
    if (s->semaphores < 0)
        return link_errno(l, "semget");
    if (semctl(s->semaphores, 0, SETALL, (union semun){.array = initial}) != 0)
        return link_errno(l, "semctl");
    return 0;
}

/* The segment is marked for removal at once: the kernel removes it with the last process
 * attached. */
static int make_slots(struct link *l, struct sysv_shm *s)
{
    s->slots = slots_for(l);
    int id = shmget(IPC_PRIVATE, slots_bytes(&s->slots), 0600);
    if (id < 0)
        return link_errno(l, "shmget");
    void *base = shmat(id, NULL, 0);
    int result = base == (void *)-1 ? link_errno(l, "shmat") : 0;
    shmctl(id, IPC_RMID, NULL);
    s->slots.base = result == 0 ? base : NULL;
    return result;
}

static int sysv_shm_open(struct link *l)
{
    struct sysv_shm *s = calloc(1, sizeof *s);
    if (!s)
        return link_errno(l, "calloc");
    s->semaphores = -1;
    l->state = s;
    return make_slots(l, s) == 0 ? make_semaphores(l, s) : -1;
}

static void sysv_shm_close(struct link *l)
{
    struct sysv_shm *s = l->state;
    if (!s)
        return;
    if (s->semaphores >= 0)
        semctl(s->semaphores, 0, IPC_RMID);
    if (s->slots.base)
        shmdt(s->slots.base);
    free(s);
}

/* Add `by` to a semaphore of the messages that side sends; waits while the result would be
 * negative. */
static int add(struct link *l, enum side side, int which, short by)
{
    const struct sysv_shm *s = l->state;
    struct sembuf op = {.sem_num = (unsigned short)(SEMAPHORES * (int)side + which),
                        .sem_op = by,
                        .sem_flg = l->block ? 0 : IPC_NOWAIT};
    while (semop(s->semaphores, &op, 1) != 0)
        if (errno != EAGAIN && errno != EINTR)
            return link_errno(l, "semop");
    return 0;
}

static long sysv_shm_send(struct link *l, uint64_t seq, long n)
{
    const struct sysv_shm *s = l->state;
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        if (add(l, l->side, FREE, -1) != 0)
            return -1;
        payload_fill(slots_at(&s->slots, l->side, seq), l->size, seq);
        if (add(l, l->side, FILLED, 1) != 0)
            return -1;
    }
    return n;
}

static long sysv_shm_recv(struct link *l, uint64_t seq, long n)
{
    const struct sysv_shm *s = l->state;
    const enum side peer = l->side == SIDE_A ? SIDE_B : SIDE_A;
    for (uint64_t end = seq + (uint64_t)n; seq != end; seq++) {
        if (add(l, peer, FILLED, -1) != 0 || !link_check(l, slots_at(&s->slots, peer, seq), seq) ||
            add(l, peer, FREE, 1) != 0)
            return -1;
    }
    return n;
}

const struct transport sysv_shm_transport = {
    .name = "sysv-shm",
    .group = "memory",
    .what = "shmget(2) and semget(2): slots, and a semop around each on both sides",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = sysv_shm_open,
    .send = sysv_shm_send,
    .recv = sysv_shm_recv,
    .close = sysv_shm_close,
};
