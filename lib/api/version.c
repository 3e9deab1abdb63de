/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <shmring/shmring.h>

const char *shmring_version(void)
{
    return PACKAGE_VERSION;
}
