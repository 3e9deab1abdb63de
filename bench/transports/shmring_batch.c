/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shmring_ends.h"

const struct transport shmring_batch_transport = {
    .name = "shmring-batch",
    .group = "rings",
    .what = "spsc queue, shmring_send_batch and shmring_recv_batch",
    .flags = CAN_SPIN | IS_BATCH | HAS_CAPACITY | IS_LOCK_FREE,
    .open = shmring_ends_open,
    .attach = shmring_ends_attach,
    .send = shmring_ends_send_batch,
    .recv = shmring_ends_recv_batch,
    .close = shmring_ends_close,
};
