/* SPDX-License-Identifier: MIT */
/* The same in C++, with libshmring alone. */
#include <shmring/shmring.hpp>

int main()
{
    shmring_config config = {};
    config.kind = SHMRING_SPSC;
    config.capacity = 4096;
    config.flags = SHMRING_PRODUCER | SHMRING_CONSUMER;
    auto queue = shmr::queue::create("memfd:consumer", config);
    return queue && queue->send("x") && queue->peek()->text() == "x" ? 0 : 1;
}
