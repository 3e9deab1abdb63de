/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "histogram.h"

#include <string.h>

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

void histogram_add(struct histogram *to, const struct histogram *from)
{
    to->samples += from->samples;
    to->sum += from->sum;
    if (from->min < to->min)
        to->min = from->min;
    if (from->max > to->max)
        to->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->count[i] += from->count[i];
}

uint64_t histogram_value(unsigned bucket)
{
    unsigned octave = bucket / HISTOGRAM_STEPS;
    if (octave == 0)
        return bucket;
    uint64_t low = (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << (octave - 1);
    return low + ((UINT64_C(1) << (octave - 1)) >> 1);
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    if (h->samples == 0)
        return 0;
    double exact = share * (double)h->samples;
    uint64_t wanted = (uint64_t)exact, seen = 0;
    if ((double)wanted < exact)
        wanted++;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->count[i];
        if (seen >= wanted && h->count[i] > 0) {
            uint64_t value = histogram_value(i);
            return value < h->min ? h->min : value > h->max ? h->max : value;
        }
    }
    return h->max;
}
