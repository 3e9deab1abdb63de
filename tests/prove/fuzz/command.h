/* SPDX-License-Identifier: MIT */
/* The shmring command, run by fuzz targets in their own process. */
#ifndef SHMR_FUZZ_COMMAND_H
#define SHMR_FUZZ_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* A directory of the target's own, and one queue in it: its file and its name. */
extern char command_directory[64], command_path[80], command_name[96];

/* The first call makes the directory, which is removed when the target ends. */
void command_make_place(void);

/* Check that no byte is a command to a terminal, and that text for people is ASCII. */
void command_check_text(const char *text, size_t size, bool ascii);

struct command_result {
    int status;
    char *text, *complaint;
    size_t size, complaint_size;
};

/* Also checks what it complains of. argv has argc arguments and a NULL behind them. */
struct command_result command_run(int argc, char **argv);
void command_forget(struct command_result *r);

#endif
