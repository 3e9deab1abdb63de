/* SPDX-License-Identifier: MIT */
/* The kinds of queue, and how large the bench makes one of each: the only place that tells them
 * apart. */
#ifndef BENCH_KIND_H
#define BENCH_KIND_H

#include <shmring/shmring.h>

#include "../lib/kinds.h"

struct kind {
    const char *name;
    /* A queue for messages of size bytes, with room for `messages` of them; if that is 0, for at
     * least eight and for `bytes` bytes. */
    struct shmring_config (*configure)(size_t size, uint64_t messages, uint64_t bytes);
};

#define DECLARE(KIND, name) extern const struct kind kind_##name;
SHMR_KINDS(DECLARE)
#undef DECLARE

/* NULL: no kind has that name. */
const struct kind *kind_named(const char *name);

/* A small queue of one producer and one consumer, opened as flags say. */
struct shmring_config kind_pair(uint64_t bytes, unsigned flags);

#endif
