/* SPDX-License-Identifier: MIT */
/* Reading the messages in a queue without taking them. Any handle will do, also an observer's. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include <shmring/shmring.h>

#include "base/error.h"
#include "core/handle.h"

int shmring_dump(shmring_t *q, int (*each)(void *arg, const struct shmring_message *m), void *arg)
{
    struct shmr_dump d = {.q = q, .each = each, .arg = arg};
    int r = shmr_handle_check(q);

    if (r < 0 && (r != -EBADMSG || q->lost)) /* a corrupt queue can be dumped too */
        return r;
    SHMR_ALONE(q);
    SHMR_NO_CANCEL();
    if (!each)
        return shmr_fail(EINVAL, "the function to tell of messages is NULL");
    d.copy = malloc(q->geometry.max_message);
    if (!d.copy)
        return shmr_fail(ENOMEM, "no memory for a message of max_message bytes");
    r = q->geometry.type->dump(&d);
    free(d.copy);
    return q->lost ? shmr_handle_check_memory(q) : r;
}
