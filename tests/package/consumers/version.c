/* SPDX-License-Identifier: MIT */
/* What a project that uses both libraries needs of its build: tests/package/consumers.sh. */
#include <shmring/mux.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    shmring_mux_t *none = NULL;

    shmring_mux_destroy(&none);
    return puts(shmring_version()) < 0;
}
