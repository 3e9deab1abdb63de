/* SPDX-License-Identifier: MIT */
/* The shmring command in this process, through its main(), and what it may write. */
#include <config.h>

int shmring_main(int argc, char **argv);
#define main shmring_main
#include "tools/main.c"
#undef main

#include <getopt.h>
#include <unistd.h>

#include "command.h"
#include "fuzz.h"
#include "lib/base/process.h"

/* Its screen needs a terminal. */
const struct command top_command = {.name = "top"};

char command_directory[64], command_path[80], command_name[96];

static void remove_files(void)
{
    unlink(command_path);
    rmdir(command_directory);
}

void command_make_place(void)
{
    if (*command_directory)
        return;
    snprintf(command_directory, sizeof command_directory, "/dev/shm/shmring-fuzz-XXXXXX");
    fuzz_check(mkdtemp(command_directory), "no directory in /dev/shm");
    snprintf(command_path, sizeof command_path, "%s/queue", command_directory);
    snprintf(command_name, sizeof command_name, "file:%s", command_path);
    strcat(command_directory, "/"); /* so that it is taken for one */
    atexit(remove_files);
    (void)shmr_process_pauses(); /* measures once, before the clock is stopped */
}

void command_check_text(const char *text, size_t size, bool ascii)
{
    fuzz_check(strlen(text) == size, "a NUL in: %s", text);
    for (const char *c = text; *c; c++) {
        const unsigned char u = (unsigned char)*c, next = (unsigned char)c[1];
        fuzz_check(u >= ' ' || u == '\n', "%d in: %s", u, text);
        fuzz_check(u != 0x7f && !(u == 0xc2 && next >= 0x80 && next < 0xa0), "%d in: %s", u, text);
        fuzz_check(!ascii || u < 0x7f, "%d in: %s", u, text);
    }
}

struct command_result command_run(int argc, char **argv)
{
    FILE *const out = stdout, *const err = stderr;
    struct command_result r = {0};

    optind = 0; /* getopt starts anew */
    stdout = open_memstream(&r.text, &r.size);
    stderr = open_memstream(&r.complaint, &r.complaint_size);
    r.status = shmring_main(argc, argv);
    fclose(stdout);
    fclose(stderr);
    stdout = out;
    stderr = err;
    command_check_text(r.complaint, r.complaint_size, true);
    fuzz_check((r.status == EXIT_OK) == (r.complaint_size == 0), "%d and: %s", r.status,
               r.complaint);
    return r;
}

void command_forget(struct command_result *r)
{
    free(r->text);
    free(r->complaint);
}
