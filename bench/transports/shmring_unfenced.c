/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shmring_ends.h"

static int open_unfenced(struct link *l)
{
    int r = shmring_ends_open(l);
    struct shmring_ends *s = l->state;
    if (r == 0)
        s->options = SHMRING_ASYMMETRIC_FENCE;
    return r;
}

const struct transport shmring_unfenced_transport = {
    .name = "shmring-unfenced",
    .group = "rings",
    .what = "spsc queue, SHMRING_ASYMMETRIC_FENCE",
    .flags = CAN_SPIN | CAN_BLOCK | HAS_CAPACITY | IS_LOCK_FREE,
    .open = open_unfenced,
    .attach = shmring_ends_attach,
    .send = shmring_ends_send,
    .recv = shmring_ends_recv,
    .close = shmring_ends_close,
};
