/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "waiting.h"

char name[TEST_NAME_SIZE];
shmring_t *q;

void setup(void)
{
    test_name(name);
}

void setup_spsc(void)
{
    setup();
    q = test_create(name, BOTH, 4096);
}

void setup_mpmc(void)
{
    setup();
    q = test_create_mpmc(name, BOTH, 4, 100);
}

void teardown(void)
{
    shmring_close(&q);
}

shmring_t *open_role(unsigned flags)
{
    shmring_t *handle;

    cr_assert_eq(shmring_open(&handle, name, flags), 0, "%s", shmring_strerror_detail());
    return handle;
}

shmring_t *child_open(unsigned flags)
{
    shmring_t *handle;

    child_assert(shmring_open(&handle, name, flags) == 0);
    return handle;
}

void send_hello(void)
{
    cr_assert_eq(shmring_send(q, "hello", 5), 0);
}

void fill(shmring_t *handle)
{
    char message[64] = "full";

    while (shmring_send(handle, message, sizeof message) == 0)
        continue;
}

int receive_one(void *settings)
{
    shmring_t *consumer = child_open(SHMRING_CONSUMER);
    char buf[100];

    child_assert(shmring_set_waiting(consumer, settings) == 0);
    child_assert(shmring_recv_wait(consumer, buf, sizeof buf, for_ever) == 5);
    child_assert(memcmp(buf, "hello", 5) == 0);
    shmring_close(&consumer);
    return 0;
}
