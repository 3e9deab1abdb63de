/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/name.h"
#include "support.h"

/* PREFIX followed by n times 'a'. */
static const char *long_name(const char *prefix, size_t n)
{
    static char text[1024];
    const size_t used = strlen(prefix);

    strcpy(text, prefix);
    memset(text + used, 'a', n);
    text[used + n] = 0;
    return text;
}

Test(name, posix)
{
    struct shmr_name name;

    cr_assert_eq(shmr_name_parse(&name, "orders"), 0);
    cr_assert_eq(name.backend, SHMR_POSIX);
    cr_assert_str_eq(name.text, "orders");
    cr_assert_str_eq(name.path, "/dev/shm/orders");
}

Test(name, memfd)
{
    struct shmr_name name;

    cr_assert_eq(shmr_name_parse(&name, "memfd:orders"), 0);
    cr_assert_eq(name.backend, SHMR_MEMFD);
    cr_assert_str_eq(name.text, "memfd:orders");
    cr_assert_str_eq(name.path, "orders");
}

Test(name, file)
{
    struct shmr_name name;

    cr_assert_eq(shmr_name_parse(&name, "file:/var/tmp/or ders\n\xc3\xa9"), 0);
    cr_assert_eq(name.backend, SHMR_FILE);
    cr_assert_str_eq(name.text, "file:/var/tmp/or ders\n\xc3\xa9");
    cr_assert_str_eq(name.path, "/var/tmp/or ders\n\xc3\xa9");
}

Test(name, relative_path_becomes_absolute)
{
    char directory[TEST_NAME_SIZE], path[TEST_NAME_SIZE + 32];
    struct shmr_name name;

    test_directory(directory);
    cr_assert_eq(chdir(directory), 0);
    cr_assert_eq(shmr_name_parse(&name, "file:sub/orders"), 0);
    snprintf(path, sizeof path, "%s/sub/orders", directory);
    cr_assert_str_eq(name.path, path);
    cr_assert_str_eq(name.text, "file:sub/orders");
}

Test(name, relative_path_without_a_current_directory)
{
    char directory[TEST_NAME_SIZE];
    struct shmr_name name;

    test_directory(directory);
    cr_assert_eq(chdir(directory), 0);
    cr_assert_eq(rmdir(directory), 0);
    assert_refused(shmr_name_parse(&name, "file:orders"), ENOENT, "current directory");
}

Test(name, relative_path_in_a_deep_directory)
{
    char directory[TEST_NAME_SIZE];
    const char *part = long_name("", 250);
    int depth;
    struct shmr_name name;

    test_directory(directory);
    cr_assert_eq(chdir(directory), 0);
    for (depth = 0; depth < 17; depth++) {
        cr_assert_eq(mkdir(part, 0700), 0);
        cr_assert_eq(chdir(part), 0);
    }
    assert_refused(shmr_name_parse(&name, "file:orders"), ENAMETOOLONG, "current directory");
    while (depth-- > 0) {
        cr_assert_eq(chdir(".."), 0);
        cr_assert_eq(rmdir(part), 0);
    }
}

Test(name, every_byte)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    struct shmr_name name;

    for (int byte = 1; byte < 256; byte++) {
        const char text[] = {'a', (char)byte, 0},
                   label[] = {'m', 'e', 'm', 'f', 'd', ':', 'a', (char)byte, 0};
        if (strchr(good, byte)) {
            cr_assert_eq(shmr_name_parse(&name, text), 0, "byte 0x%02x", (unsigned)byte);
            cr_assert_eq(shmr_name_parse(&name, label), 0, "byte 0x%02x", (unsigned)byte);
        } else {
            char words[16] = "slash";
            if (byte != '/')
                snprintf(words, sizeof words, "0x%02x at 1", (unsigned)byte);
            assert_refused(shmr_name_parse(&name, text), EINVAL, words);
            assert_refused(shmr_name_parse(&name, label), EINVAL, words);
        }
    }
}

Test(name, first_byte)
{
    struct shmr_name name;

    assert_refused(shmr_name_parse(&name, ".hidden"), EINVAL, "starts with '.'");
    assert_refused(shmr_name_parse(&name, "-option"), EINVAL, "starts with '-'");
    assert_refused(shmr_name_parse(&name, "."), EINVAL, "starts with '.'");
    assert_refused(shmr_name_parse(&name, ".."), EINVAL, "starts with '.'");
    assert_refused(shmr_name_parse(&name, "/orders"), EINVAL, "slash");
    assert_refused(shmr_name_parse(&name, "memfd:.hidden"), EINVAL, "starts with '.'");
    cr_assert_eq(shmr_name_parse(&name, "_9"), 0);
}

Test(name, empty_or_null)
{
    struct shmr_name name;

    assert_refused(shmr_name_parse(&name, NULL), EINVAL, "NULL");
    assert_refused(shmr_name_parse(&name, ""), EINVAL, "empty");
    assert_refused(shmr_name_parse(&name, "memfd:"), EINVAL, "empty");
    assert_refused(shmr_name_parse(&name, "file:"), EINVAL, "empty");
    assert_refused(shmr_name_parse(&name, "file:/tmp/"), EINVAL, "ends with a slash");
}

/* The longest name is accepted; with one byte more it is refused, and the detail has both
 * numbers. */
static void check_longest(const char *prefix, size_t longest, const char *at_most)
{
    struct shmr_name name;
    char words[64];

    cr_assert_eq(shmr_name_parse(&name, long_name(prefix, longest)), 0);
    cr_assert_str_eq(name.text, long_name(prefix, longest));
    snprintf(words, sizeof words, "%zu bytes: at most %s", longest + 1, at_most);
    assert_refused(shmr_name_parse(&name, long_name(prefix, longest + 1)), ENAMETOOLONG, words);
}

Test(name, longest)
{
    check_longest("", SHMRING_NAME_MAX, "200");
    check_longest("memfd:", SHMRING_NAME_MAX, "200");
    check_longest("file:", SHMRING_PATH_MAX, "250");
}
