/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shmring_ends.h"

static int open_mpmc(struct link *l)
{
    return shmring_ends_open_kind(l, SHMRING_MPMC);
}

const struct transport shmring_mpmc_transport = {
    .name = "shmring-mpmc",
    .group = "rings",
    .what = "mpmc queue, shmring_send and shmring_recv",
    .flags = CAN_SPIN | CAN_BLOCK | CAN_BE_ALONE | IS_MANY,
    .open = open_mpmc,
    .attach = shmring_ends_attach,
    .send = shmring_ends_send,
    .recv = shmring_ends_recv,
    .close = shmring_ends_close,
};
