/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shmring_ends.h"

const struct transport shmring_transport = {
    .name = "shmring",
    .group = "rings",
    .what = "spsc queue, shmring_send and shmring_recv",
    .flags = CAN_SPIN | CAN_BLOCK | HAS_CAPACITY | CAN_BE_ALONE | IS_LOCK_FREE,
    .open = shmring_ends_open,
    .attach = shmring_ends_attach,
    .send = shmring_ends_send,
    .recv = shmring_ends_recv,
    .try_send = shmring_ends_try_send,
    .try_recv = shmring_ends_try_recv,
    .close = shmring_ends_close,
};
