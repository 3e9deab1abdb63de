/* SPDX-License-Identifier: MIT */
/*
 * Counts every sample in buckets of a logarithmic scale with 128 steps an octave, as HdrHistogram
 * does: a value is known to better than one per cent. Recording takes about ten instructions.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_BITS = 7,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_BITS,
    HISTOGRAM_OCTAVES =
        36, /* up to 2^42 ticks, twenty minutes or more; larger ones count as that */
    HISTOGRAM_BUCKETS = HISTOGRAM_OCTAVES * HISTOGRAM_STEPS
};

struct histogram {
    uint64_t samples;
    uint64_t sum;
    uint64_t min; /* exact; valid when there are samples */
    uint64_t max;
    uint64_t count[HISTOGRAM_BUCKETS];
};

void histogram_reset(struct histogram *h);
void histogram_add(struct histogram *to, const struct histogram *from);

/* The smallest value that at least this share (0 to 1) of the samples does not exceed; 0 without
 * samples. */
uint64_t histogram_quantile(const struct histogram *h, double share);

/* The middle of a bucket. */
uint64_t histogram_value(unsigned bucket);

static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned octave = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS + 1;
    unsigned bucket =
        octave * HISTOGRAM_STEPS + ((unsigned)(value >> (octave - 1)) & (HISTOGRAM_STEPS - 1));
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_record(struct histogram *h, uint64_t value)
{
    h->samples++;
    h->sum += value;
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count[histogram_bucket(value)]++;
}

#endif
