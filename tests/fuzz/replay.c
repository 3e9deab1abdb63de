/* SPDX-License-Identifier: MIT */
/*
 * replay [FILE|DIRECTORY]...: run the target on files and on those in directories, without a
 * fuzzer. So the corpus is tried wherever the tests are. Without arguments the input comes from
 * stdin.
 *
 * An input that fails ends the program by a signal, after its name.
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

static void try_stream(FILE *f, const char *name)
{
    uint8_t *bytes = malloc(INPUT_MOST);
    size_t n;

    fuzz_check(f && bytes, "%s cannot be read", name);
    n = fread(bytes, 1, INPUT_MOST, f);
    /* Of exactly that size, so that whoever reads on is seen. */
    uint8_t *exact = realloc(bytes, n ? n : 1);
    fuzz_check(exact, "no memory");
    fprintf(stderr, "%s: %zu bytes\n", name, n);
    alarm(SECONDS);
    LLVMFuzzerTestOneInput(exact, n);
    alarm(0);
    free(exact);
    inputs++;
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

int main(int argc, char **argv)
{
    struct stat st;

    if (argc == 1)
        try_stream(stdin, "stdin");
    for (int i = 1; i < argc; i++)
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            try_directory(argv[i]);
        else
            try_file(argv[i]);
    printf("%u inputs\n", inputs);
    return inputs == 0;
}
