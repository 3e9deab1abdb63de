/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share: an input read as a string of choices, and segments to be damaged.
 * See README.md.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/layout.h"
#include "lib/kind.h"
#include "lib/mpmc/layout.h"
#include "lib/spsc/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Ends the target if the condition, which must hold for any content of the segment, is false. */
#define fuzz_check(Condition, ...)                                                                 \
    ((Condition) ? (void)0                                                                         \
                 : (fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #Condition),                \
                    fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort()))

/* ---- Choices --------------------------------------------------------------------------------- */

/* The rest of an input. Beyond its end there are zeroes. */
struct input {
    const uint8_t *at, *end;
};

static inline uint64_t input_number(struct input *in, unsigned bytes)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < bytes && in->at < in->end; i++)
        number |= (uint64_t)*in->at++ << 8 * i;
    return number;
}

static inline unsigned input_below(struct input *in, unsigned n)
{
    return (unsigned)(input_number(in, 1) % n);
}

/* ---- Segments -------------------------------------------------------------------------------- */

/* A segment and a view of it that may write everywhere, kept from input to input. */
struct world {
    int fd;
    struct shmr_geometry geometry;
    uint8_t *image; /* all of it */
};

enum { WORLDS = 16 };

/* One of the small segments of each kind, as its creator left it, except that the input chooses
 * the position of the first message. */
struct world *world_choose(struct input *in);

/* A file without a name in /dev/shm. */
int world_file(void);

/* Overwrite one word; the input says which, and with what. */
void world_scribble(struct world *w, struct input *in);

/* The rest of an input as a file, repaired as the bits of `what` say: see file.c. */
void file_write(int fd, struct input *in, unsigned what);

/* ---- Around the library, see around.c -------------------------------------------------------- */

/* From now on each read of any clock returns a time a millisecond later than the last, and far in
 * the past. */
void around_stop_clock(void);

#endif
