/* SPDX-License-Identifier: MIT */
/*
 * replay [FILE|DIRECTORY|ARCHIVE.tar]...: run the target on files, on those in directories and on
 * the members of archives, without a fuzzer. So the corpus is tried wherever the tests are. Without
 * arguments the input comes from stdin.
 *
 * An input that fails ends the program by a signal, after its name. An archive that is missing,
 * empty, damaged or cut off ends it with exit status 2 before the first of its members is tried.
 */
#include <config.h>

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum {
    INPUT_MOST = 1 << 20,
    SECONDS = 60 /* for one input: a loop without end, under valgrind too */
};

static unsigned inputs;

static void try_bytes(const void *bytes, size_t n, const char *name)
{
    /* Of exactly that size, so that a read beyond its end is seen. */
    uint8_t *exact = malloc(n ? n : 1);

    fuzz_check(exact, "no memory");
    memcpy(exact, bytes, n);
    fprintf(stderr, "%s: %zu bytes\n", name, n);
    alarm(SECONDS);
    LLVMFuzzerTestOneInput(exact, n);
    alarm(0);
    free(exact);
    inputs++;
}

static void try_stream(FILE *f, const char *name)
{
    uint8_t *bytes = malloc(INPUT_MOST);

    fuzz_check(f && bytes, "%s cannot be read", name);
    try_bytes(bytes, fread(bytes, 1, INPUT_MOST, f), name);
    free(bytes);
}

static void try_file(const char *path)
{
    FILE *f = fopen(path, "re");

    try_stream(f, path);
    fclose(f);
}

static void try_directory(const char *path)
{
    char file[4096];
    struct dirent **files;
    int n = scandir(path, &files, NULL, alphasort);

    fuzz_check(n >= 0, "%s cannot be read", path);
    for (int i = 0; i < n; free(files[i++])) {
        if (files[i]->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, files[i]->d_name);
        try_file(file);
    }
    free(files);
}

/* ---- Archives -------------------------------------------------------------------------------- */

/* The fields of a ustar header that are looked at: POSIX.1-2017, pax, "ustar Interchange Format".
 */
enum {
    BLOCK = 512, /* a header; and what each member's bytes are filled up to with zeroes */
    NAME_BYTES = 100,
    SIZE_AT = 124, /* octal */
    SUM_AT = 148,  /* octal: of the header's bytes, its own taken for spaces */
    SUM_BYTES = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    END_BLOCKS = 2 /* of zeroes, behind the last member */
};

struct archive {
    const char *path;
    uint8_t *bytes;
    size_t length, at;
};

static void refuse(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    exit(2);
}

static struct archive read_archive(const char *path)
{
    struct archive a = {.path = path};
    struct stat st;
    FILE *f = fopen(path, "re");

    if (!f || fstat(fileno(f), &st) < 0)
        refuse(path, "cannot be read");
    a.length = (size_t)st.st_size;
    a.bytes = malloc(a.length + 1);
    if (!a.bytes || fread(a.bytes, 1, a.length, f) != a.length)
        refuse(path, "cannot be read");
    fclose(f);
    return a;
}

static bool is_zero(const uint8_t *block)
{
    static const uint8_t zeroes[BLOCK];

    return memcmp(block, zeroes, BLOCK) == 0;
}

static void check_header(const struct archive *a, const uint8_t *header)
{
    unsigned long sum = 0;

    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : header[i];
    if (sum != strtoul((const char *)header + SUM_AT, NULL, 8))
        refuse(a->path, "a header is damaged");
    if (memcmp(header + MAGIC_AT, "ustar", 6) != 0 || header[TYPE_AT] != '0')
        refuse(a->path, "a member is not a plain file of a ustar archive");
}

/* The end of the archive, at the first of its blocks of zeroes. */
static void check_end(const struct archive *a)
{
    if (a->length - a->at != END_BLOCKS * BLOCK || !is_zero(a->bytes + a->at + BLOCK))
        refuse(a->path, "does not end with two blocks of zeroes");
}

/* Go to the next member. Returns its header and the length of the bytes behind it; NULL: no more.
 */
static const uint8_t *next_member(struct archive *a, size_t *n)
{
    const uint8_t *header = a->bytes + a->at;

    if (a->length - a->at < BLOCK)
        refuse(a->path, "ends in the middle");
    if (is_zero(header)) {
        check_end(a);
        return NULL;
    }
    check_header(a, header);
    *n = strtoul((const char *)header + SIZE_AT, NULL, 8);
    a->at += BLOCK;
    if (*n > INPUT_MOST || (*n + BLOCK - 1) / BLOCK * BLOCK > a->length - a->at)
        refuse(a->path, "ends in the middle of a member");
    a->at += (*n + BLOCK - 1) / BLOCK * BLOCK;
    return header;
}

static void try_archive(const char *path)
{
    struct archive a = read_archive(path);
    const uint8_t *header;
    unsigned members = 0;
    size_t n;

    while (next_member(&a, &n))
        members++;
    if (members == 0)
        refuse(path, "has no members");
    for (a.at = 0; (header = next_member(&a, &n));) {
        char name[NAME_BYTES + 1] = "";
        memcpy(name, header, NAME_BYTES);
        try_bytes(header + BLOCK, n, name);
    }
    free(a.bytes);
}

/* ---------------------------------------------------------------------------------------------- */

static bool is_archive(const char *path)
{
    const char *suffix = strrchr(path, '.');

    return suffix && strcmp(suffix, ".tar") == 0;
}

int main(int argc, char **argv)
{
    struct stat st;

    if (argc == 1)
        try_stream(stdin, "stdin");
    for (int i = 1; i < argc; i++)
        if (is_archive(argv[i]))
            try_archive(argv[i]);
        else if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            try_directory(argv[i]);
        else
            try_file(argv[i]);
    printf("%u inputs\n", inputs);
    return inputs == 0;
}
