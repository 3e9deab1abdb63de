/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "all.h"

/* l->end holds queue identifiers; l->buffer is a struct msgbuf, so messages start after its type.
 */
enum { TYPE_BYTES = sizeof(long) };

static int sysv_msg_open(struct link *l)
{
    const long type = 1;
    memcpy(l->buffer, &type, sizeof type);
    for (int side = 0; side < 2; side++) {
        int id = msgget(IPC_PRIVATE, 0600);
        if (id < 0)
            return link_errno(l, "msgget");
        l->end[side].out = l->end[1 - side].in = id;
    }
    struct msginfo limits;
    if (msgctl(0, IPC_INFO, (struct msqid_ds *)(void *)&limits) < 0)
        return link_errno(l, "msgctl");
    if (l->size > (size_t)limits.msgmax || l->size > (size_t)limits.msgmnb)
        return link_skip(l, "the kernel allows %d bytes a message and %d a queue", limits.msgmax,
                         limits.msgmnb);
    return 0;
}

static long sysv_msg_send(struct link *l, uint64_t seq, long n)
{
    const int flags = l->block ? 0 : IPC_NOWAIT;
    for (long i = 0; i < n; i++) {
        payload_fill(l->buffer + TYPE_BYTES, l->size, seq + (uint64_t)i);
        while (msgsnd(l->out, l->buffer, l->size, flags) != 0)
            if (errno != EAGAIN && errno != EINTR)
                return link_errno(l, "msgsnd");
    }
    return n;
}

static long sysv_msg_recv(struct link *l, uint64_t seq, long n)
{
    const int flags = l->block ? 0 : IPC_NOWAIT;
    for (long i = 0; i < n; i++) {
        ssize_t r;
        while ((r = msgrcv(l->in, l->buffer, l->size, 0, flags)) < 0)
            if (errno != ENOMSG && errno != EINTR)
                return link_errno(l, "msgrcv");
        if (r != (ssize_t)l->size)
            return link_bad_length(l, seq + (uint64_t)i, (long)r);
        if (!link_check(l, l->buffer + TYPE_BYTES, seq + (uint64_t)i))
            return -1;
    }
    return n;
}

static void sysv_msg_close(struct link *l)
{
    for (int side = 0; side < 2; side++)
        if (l->end[side].out >= 0)
            msgctl(l->end[side].out, IPC_RMID, NULL);
}

const struct transport sysv_msg_transport = {
    .name = "sysv-msg",
    .group = "queues",
    .what = "msgget(2), one msgsnd and one msgrcv a message",
    .flags = CAN_SPIN | CAN_BLOCK,
    .open = sysv_msg_open,
    .send = sysv_msg_send,
    .recv = sysv_msg_recv,
    .close = sysv_msg_close,
};
