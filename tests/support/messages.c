/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The text of each message is a part of the same random bytes; it begins at one of STARTS
 * places. */
#define STARTS 4096

uint64_t test_seed(void)
{
    const char *given = getenv("SHMRING_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given ? strtoull(given, NULL, 0)
                 : (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + (uint64_t)getpid();
    fprintf(stderr, "SHMRING_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

uint32_t message_length(uint64_t seed, uint64_t number, uint32_t longest)
{
    uint64_t state = seed ^ number * UINT64_C(0xd1342543de82ef95);
    uint64_t r = test_random(&state);
    uint32_t limit = r % 16 == 0 ? longest : r % 16 < 4 ? 512 : 48;

    return (uint32_t)((r >> 8) % ((limit < longest ? limit : longest) + 1));
}

const uint8_t *message_content(uint64_t number)
{
    static uint8_t bytes[MESSAGE_LONGEST + STARTS];
    static bool filled;

    if (!filled) {
        uint64_t state = 1;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)test_random(&state);
        filled = true;
    }
    /* Coprime to STARTS: the texts of neighbours begin far apart. */
    return bytes + number * 2749 % STARTS;
}

bool message_is(uint64_t number, const void *bytes, size_t len)
{
    return len == 0 || memcmp(message_content(number), bytes, len) == 0;
}
