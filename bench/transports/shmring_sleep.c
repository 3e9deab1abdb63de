/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shmring_ends.h"

static int open_sleep(struct link *l)
{
    int r = shmring_ends_open(l);
    struct shmring_ends *s = l->state;
    if (r == 0)
        s->sleep = true;
    return r;
}

const struct transport shmring_sleep_transport = {
    .name = "shmring-sleep",
    .group = "rings",
    .what = "spsc queue, sleeping at once where shmring polls first",
    .flags = HAS_CAPACITY | CAN_BLOCK | IS_LOCK_FREE,
    .open = open_sleep,
    .attach = shmring_ends_attach,
    .send = shmring_ends_send,
    .recv = shmring_ends_recv,
    .close = shmring_ends_close,
};
