/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "shmring/shmring.h"

Test(version, library_header_and_package_agree)
{
    char header[32];

    snprintf(header, sizeof header, "%d.%d.%d", SHMRING_VERSION_MAJOR, SHMRING_VERSION_MINOR,
             SHMRING_VERSION_PATCH);
    cr_assert_str_eq(shmring_version(), header);
    cr_assert_str_eq(shmring_version(), PACKAGE_VERSION);
}
