/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shmring_ends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 8 }; /* messages a ring must hold at least */

int shmring_ends_fail(struct link *l, const char *call, long result)
{
    return link_fail(l, "%s: %s: %s", call, strerror((int)-result), shmring_strerror_detail());
}

int shmring_ends_open(struct link *l)
{
    struct shmring_config config = {.kind = SHMRING_SPSC, .capacity = 4096};
    struct shmring_ends *s = calloc(1, sizeof *s);
    if (!s)
        return link_errno(l, "calloc");
    l->state = s;
    while (config.capacity < l->capacity ||
           config.capacity < ROOM * shmring_record_size((uint32_t)l->size))
        config.capacity *= 2;
    for (int side = 0; side < 2; side++) {
        char name[sizeof s->name[0]];
        shmring_t *q;
        snprintf(name, sizeof name, "shmring-bench.%ld.%c", (long)getpid(), 'a' + side);
        shmring_unlink(name); /* left by a killed run that had this process id */
        int r = shmring_create(&q, name, &config);
        if (r != 0)
            return shmring_ends_fail(l, "shmring_create", r);
        memcpy(s->name[side], name, sizeof name);
        shmring_close(&q);
    }
    return 0;
}

int shmring_ends_attach(struct link *l)
{
    struct shmring_ends *s = l->state;
    const char *out = s->name[l->side], *in = s->name[1 - l->side];
    int r = shmring_open(&s->out, out, SHMRING_PRODUCER);
    if (r == 0)
        r = shmring_open(&s->in, in, SHMRING_CONSUMER);
    return r == 0 ? 0 : shmring_ends_fail(l, "shmring_open", r);
}

void shmring_ends_close(struct link *l)
{
    struct shmring_ends *s = l->state;
    if (!s)
        return;
    for (int side = 0; side < 2; side++)
        if (s->name[side][0] != '\0')
            shmring_unlink(s->name[side]);
    free(s);
}
