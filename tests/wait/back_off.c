/* SPDX-License-Identifier: MIT */
/* How long a participant backs off, depending on what has passed since it last backed off. */
#include <config.h>

#include <criterion/criterion.h>

#include "lib/base/back_off.h"

enum { PAUSES = 16, CAPACITY = 1 << 18, SHORT = 16, LONG = 1032 };

static struct shmr_stream stream;
static uint64_t messages, bytes;

static void start(void)
{
    messages = 1000000;
    bytes = 1;
    shmr_stream_start(&stream, messages, bytes);
}

/* After N more messages with records of that length; the result is in units of SHMR_BACK_OFF_NS. */
static unsigned after(uint64_t n, uint64_t record)
{
    messages += n;
    bytes += n * record;
    const unsigned pauses = shmr_back_off(&stream, PAUSES, messages, bytes, CAPACITY);
    cr_assert(n <= 1 || pauses % PAUSES == 0);
    return pauses / PAUSES;
}

Test(back_off, one_message_is_a_request, .init = start)
{
    for (int i = 0; i < 2; i++) {
        messages++;
        bytes += LONG;
        cr_assert_eq(shmr_back_off(&stream, PAUSES, messages, bytes, CAPACITY),
                     1 + PAUSES / SHMR_BACK_OFF_SINGLE);
    }
}

Test(back_off, as_long_as_the_messages_took, .init = start)
{
    cr_assert_eq(after(2, SHORT), 1);
    cr_assert_eq(after(4, SHORT), 1);
    cr_assert_eq(after(20, SHORT), 5);
    cr_assert_eq(after(8, LONG), 8);
    cr_assert_eq(after(4, 64 * LONG), 4, "counts as one, however long");
}

Test(back_off, longer_if_the_ring_is_not_half_filled_meanwhile, .init = start)
{
    cr_assert_eq(after(1000, SHORT), 2 * SHMR_BACK_OFF_FIRST);
    cr_assert_eq(after(1000, SHORT), SHMR_BACK_OFF_MOST);
    cr_assert_eq(after(1000, SHORT), SHMR_BACK_OFF_MOST);
    cr_assert_eq(after(8, SHORT), 2, "no stream any more");
    cr_assert_eq(after(1000, SHORT), SHMR_BACK_OFF_MOST);
}

Test(back_off, the_same_if_more_than_half_is_filled, .init = start)
{
    for (int i = 0; i < 3; i++)
        cr_assert_eq(after(CAPACITY / SHORT, SHORT), SHMR_BACK_OFF_FIRST);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(after(CAPACITY / SHORT / 2, SHORT), SHMR_BACK_OFF_FIRST);
}

Test(back_off, shorter_if_the_ring_overflows_meanwhile, .init = start)
{
    for (unsigned longest = SHMR_BACK_OFF_FIRST; longest > 1; longest /= 2)
        cr_assert_eq(after(CAPACITY / LONG + 1, LONG), longest / 2);
    cr_assert_eq(after(CAPACITY / LONG + 1, LONG), 1);
    cr_assert_eq(after(CAPACITY / LONG / 3, LONG), 2);
}

Test(back_off, totals_may_wrap)
{
    messages = UINT64_MAX - 3;
    bytes = UINT64_MAX - 7;
    shmr_stream_start(&stream, messages, bytes);
    cr_assert_eq(after(20, SHORT), 5);
}
