/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "kind.h"

#include <string.h>

enum {
    MESSAGES_MIN = 8, /* least messages that a ring holds */
    PAGE = 4096,      /* the smallest spsc ring */
    PARTICIPANTS = 64,
    BLOCK_HEAD = 24, /* of a block, before the message */
    LINE = 64        /* blocks are whole lines */
};

static uint64_t doubled_until(uint64_t from, uint64_t least)
{
    while (from < least)
        from *= 2;
    return from;
}

static struct shmring_config configure_spsc(size_t size, uint64_t messages, uint64_t bytes)
{
    const uint64_t record = shmring_record_size((uint32_t)size);
    uint64_t least = (messages > 0 ? messages : MESSAGES_MIN) * record;

    if (messages == 0 && least < bytes)
        least = bytes;
    return (struct shmring_config){.kind = SHMRING_SPSC, .capacity = doubled_until(PAGE, least)};
}

static struct shmring_config configure_mpmc(size_t size, uint64_t messages, uint64_t bytes)
{
    const uint64_t block = (size + BLOCK_HEAD + LINE - 1) / LINE * LINE;

    return (struct shmring_config){
        .kind = SHMRING_MPMC,
        .capacity =
            messages > 0 ? messages : doubled_until(MESSAGES_MIN, (bytes + block - 1) / block),
        .max_message = (uint32_t)size,
        .max_participants = PARTICIPANTS,
    };
}

static struct shmring_config configure_broadcast(size_t size, uint64_t messages, uint64_t bytes)
{
    struct shmring_config config = configure_spsc(size, messages, bytes);

    /* a message takes at most a quarter of the ring */
    config.capacity = doubled_until(config.capacity, 4 * (size + MESSAGES_MIN));
    config.kind = SHMRING_BROADCAST;
    config.max_participants = PARTICIPANTS;
    return config;
}

#define DEFINE(KIND, name) const struct kind kind_##name = {#name, configure_##name};
SHMR_KINDS(DEFINE)
#undef DEFINE

const struct kind *kind_named(const char *name)
{
#define ADDRESS(KIND, name) &kind_##name,
    static const struct kind *const kinds[] = {SHMR_KINDS(ADDRESS)};
#undef ADDRESS

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

struct shmring_config kind_pair(uint64_t bytes, unsigned flags)
{
    struct shmring_config config = kind_spsc.configure(sizeof(uint64_t), 0, bytes);

    config.flags = flags;
    return config;
}
