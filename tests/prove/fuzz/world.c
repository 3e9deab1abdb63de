/* SPDX-License-Identifier: MIT */
/* Small segments of all kinds, and what a hostile peer writes into them. */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <shmring/shmring.h>

#include "fuzz.h"
#include "lib/base/process.h"
#include "lib/broadcast/layout.h"
#include "lib/core/name.h"
#include "lib/core/segment.h"
#include "lib/mpmc/blocks.h"

static const struct shmring_config configurations[WORLDS] = {
    {.kind = SHMRING_SPSC, .capacity = 4096},
    {.kind = SHMRING_SPSC, .capacity = 4096, .max_message = 1},
    {.kind = SHMRING_SPSC, .capacity = 4096, .max_message = 100},
    {.kind = SHMRING_SPSC, .capacity = 8192, .max_message = 4096},
    {.kind = SHMRING_MPMC, .capacity = 2, .max_message = 8, .max_participants = 2},
    {.kind = SHMRING_MPMC, .capacity = 4, .max_message = 100, .max_participants = 4},
    {.kind = SHMRING_MPMC, .capacity = 8, .max_message = 40, .max_participants = 3},
    {.kind = SHMRING_MPMC, .capacity = 8, .max_message = 8, .max_participants = 64},
    {.kind = SHMRING_MPMC,
     .capacity = 4,
     .max_message = 8,
     .max_participants = 4,
     .flags = SHMRING_AT_MOST_ONCE},
    {.kind = SHMRING_MPMC, .capacity = 16, .max_message = 1, .max_participants = 1},
    {.kind = SHMRING_MPMC, .capacity = 128, .max_message = 8, .max_participants = 4},
    {.kind = SHMRING_MPMC, .capacity = 2, .max_message = 5000, .max_participants = 4},
    {.kind = SHMRING_BROADCAST, .capacity = 4096, .max_participants = 3},
    {.kind = SHMRING_BROADCAST, .capacity = 4096, .max_message = 100},
    {.kind = SHMRING_BROADCAST, .capacity = 8192, .max_message = 1, .max_participants = 2},
    {.kind = SHMRING_BROADCAST, .capacity = 16384, .max_message = 1000, .max_participants = 4},
};

/* Multiples of every capacity above, just before a number made from a position wraps: the fields of
 * an entry and of a descriptor, the sign bit, and all 64 bits. */
static const uint64_t starts[] = {
    0,
    UINT64_C(1) << 20,
    (UINT64_C(1) << 47) - 8192,
    (UINT64_C(1) << 48) - 8192,
    (UINT64_C(1) << 63) - 8192,
    UINT64_C(0) - 8192,
    (UINT64_C(1) << 40) * 2 - 2, /* mpmc of 2, 4, 8: a cycle wraps */
    (UINT64_C(1) << 40) * 4 - 4,
    (UINT64_C(1) << 40) * 8 - 8,
};

int world_file(void)
{
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    fuzz_check(fd >= 0, "no file in /dev/shm");
    return fd;
}

static void create(struct world *w, const struct shmring_config *config)
{
    struct shmr_name name;
    struct shmr_header header;

    w->fd = world_file();
    fuzz_check(shmr_name_parse(&name, "fuzzed") == 0 && shmr_geometry(&w->geometry, config) == 0 &&
                   shmr_segment_init(w->fd, &name, &w->geometry, 0600, &header) == 0 &&
                   shmr_segment_mark(w->fd, false, SHMR_MAGIC) == 0,
               "%s", shmring_strerror_detail());
    w->image =
        mmap(NULL, (size_t)w->geometry.segment_size, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
    fuzz_check(w->image != MAP_FAILED, "no memory");
}

static void start_broadcast_at(struct world *w, uint64_t position)
{
    const uint64_t capacity = w->geometry.capacity;
    struct shmr_broadcast_page *page = (void *)(w->image + w->geometry.producer);

    position &= ~(capacity - 1);
    page->progress[0].position = page->progress[1].position = page->horizon = position;
    page->mark[0].position = position;
}

static void start_at(struct world *w, uint64_t position)
{
    const struct shmr_geometry *g = &w->geometry;

    if (g->type->number == SHMR_BROADCAST) {
        start_broadcast_at(w, position);
        return;
    }
    if (g->type->number == SHMR_SPSC) {
        struct shmr_spsc_producer_page *p = (void *)(w->image + g->producer);
        struct shmr_spsc_consumer_page *c = (void *)(w->image + g->consumer);
        position &= ~UINT64_C(7);
        for (int i = 0; i < 2; i++)
            p->progress[i].position = c->progress[i].position = position;
        c->head = c->taken = c->redelivered_until = position;
        return;
    }
    position &= ~(g->capacity - 1);
    for (uint64_t before = position - g->capacity; before != position; before++) {
        struct shmr_block *block =
            (void *)(w->image + g->data + (before & (g->capacity - 1)) * g->stride);
        block->entry = (before / g->capacity + 1) << SHMR_BLOCK_BITS | (before & (g->capacity - 1));
    }
    ((struct shmr_mpmc_page *)(void *)(w->image + g->producer))->hint = position;
    ((struct shmr_mpmc_page *)(void *)(w->image + g->consumer))->hint = position;
}

struct world *world_choose(struct input *in)
{
    static struct world worlds[WORLDS];
    const unsigned which = input_below(in, WORLDS);
    const unsigned start = input_below(in, sizeof starts / sizeof starts[0]);
    struct world *w = &worlds[which];

    if (!w->image)
        create(w, &configurations[which]);
    (void)shmr_process_pauses(); /* measured once, by a clock that runs */
    around_stop_clock();
    memset(w->image + w->geometry.producer, 0,
           (size_t)(w->geometry.segment_size - w->geometry.producer));
    if (start != 0)
        start_at(w, starts[start]);
    return w;
}

/* ---- Scribbling ------------------------------------------------------------------------------ */

/* The header of the next record of one side, as far as its page says. */
static uint8_t *record(const struct world *w, uint64_t section, size_t progress, uint64_t ahead)
{
    const struct shmr_geometry *g = &w->geometry;
    const struct shmr_progress *p = (const void *)(w->image + section + progress);
    uint64_t position = p[0].position > p[1].position ? p[0].position : p[1].position;

    return w->image + g->data + ((position + 8 * ahead) & (g->capacity - 1) & ~UINT64_C(7)) + 4;
}

static uint8_t *place_in_data(struct world *w, struct input *in, unsigned *size)
{
    const struct shmr_geometry *g = &w->geometry;
    const uint64_t at = input_number(in, 1);

    if (g->type->number == SHMR_MPMC) {
        uint8_t *block = w->image + g->data + (at & (g->capacity - 1)) * g->stride;
        static const uint8_t fields[] = {0, 8, 8, 16, 20, 24};
        unsigned field = fields[input_below(in, sizeof fields)];
        *size = field < 16 ? 8 : 4;
        return block + field;
    }
    *size = 4;
    if (g->type->number == SHMR_BROADCAST)
        return at >> 7 ? record(w, g->producer, offsetof(struct shmr_broadcast_page, progress),
                                at & 127)
                       : w->image + g->data + at * 8 % g->capacity + 4;
    switch (at >> 6) {
    case 0:
        return record(w, g->producer, 0, at & 63);
    case 1:
    case 2:
        return record(w, g->consumer, offsetof(struct shmr_spsc_consumer_page, progress), at & 63);
    default:
        return w->image + g->data + (at & 63) * 8 + 4;
    }
}

/* Any word but the header's. */
static uint8_t *choose_place(struct world *w, struct input *in, unsigned *size)
{
    const struct shmr_geometry *g = &w->geometry;

    const unsigned where = input_below(in, 8);

    *size = 8;
    switch (where) {
    case 0:
    case 1:
        if (g->type->number == SHMR_BROADCAST)
            return w->image + g->producer + 8 * input_below(in, 64);
        return where ? w->image + g->consumer + 8 * input_below(in, 32)
                     : w->image + g->producer + 8 * input_below(in, 16);
    case 2:
        return w->image + g->table + sizeof(struct shmr_row) * input_below(in, g->rows) +
               8 * input_below(in, 32);
    case 3:
        *size = 4;
        return w->image + g->table + sizeof(struct shmr_row) * input_below(in, g->rows);
    case 4:
        *size = 4;
        return w->image + g->waitwords + 128 * input_below(in, 2);
    default:
        return place_in_data(w, in, size);
    }
}

static uint64_t choose_value(const struct world *w, struct input *in, uint64_t now)
{
    const struct shmr_geometry *g = &w->geometry;
    const uint64_t interesting[] = {0,
                                    1,
                                    2,
                                    7,
                                    8,
                                    g->capacity - 8,
                                    g->capacity,
                                    g->capacity + 8,
                                    g->max_message,
                                    g->max_message + 1,
                                    g->max_message + 2,
                                    INT32_MAX,
                                    UINT64_C(1) << 31,
                                    UINT32_MAX,
                                    UINT64_C(1) << 47,
                                    UINT64_C(1) << 48,
                                    INT64_MAX,
                                    UINT64_C(1) << 63,
                                    UINT64_MAX};

    const unsigned how = input_below(in, 6);
    if (g->type->number == SHMR_BROADCAST && (how == 3 || how == 4)) { /* a horizon, a position */
        const uint64_t step = how == 3 ? g->capacity / SHMR_BROADCAST_CHUNKS : 8;
        return (now & ~(step - 1)) + step * (uint64_t)(int64_t)(int8_t)input_number(in, 1);
    }
    switch (how) {
    case 0:
        return interesting[input_below(in, sizeof interesting / sizeof interesting[0])];
    case 1:
        return now + (uint64_t)(int64_t)(int8_t)input_number(in, 1);
    case 2:
        return now ^ UINT64_C(1) << input_below(in, 64);
    case 3: /* an entry or a descriptor of about now */
        return (now & ~UINT64_C(0xff)) | input_number(in, 1);
    case 4: { /* a descriptor, with every part chosen */
        uint64_t state = (uint64_t)input_below(in, 16) << 60;
        uint32_t owner = (uint32_t)input_number(in, 1);
        return shmr_descriptor(state, owner, now + (uint64_t)(int64_t)(int8_t)input_number(in, 1));
    }
    default:
        return input_number(in, 8);
    }
}

void world_scribble(struct world *w, struct input *in)
{
    unsigned size;
    uint8_t *place = choose_place(w, in, &size);
    uint64_t value = 0;
    uint32_t half;

    /* Whole words, as the others' atomics see them. */
    if (size == 8) {
        memcpy(&value, place, 8);
        value = choose_value(w, in, value);
        memcpy(place, &value, 8);
    } else {
        memcpy(&half, place, 4);
        half = (uint32_t)choose_value(w, in, half);
        memcpy(place, &half, 4);
    }
}
