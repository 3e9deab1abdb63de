/* SPDX-License-Identifier: MIT */
/* The shmring command, run by tests. */
#ifndef TESTS_TOOL_H
#define TESTS_TOOL_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "json_check.h"
#include "program.h"
#include "support.h"

/* As test_name() and test_directory(); the texts are valid to the end of the test, and a directory
 * ends with a slash. */
const char *queue_name(void);
const char *directory_name(void);

/* Run shmring with these arguments and this text as its input, to its end. */
#define TOOL(Input, ...)                                                                           \
    tool_run((Input), (const char *const[]){"tools/shmring", __VA_ARGS__, NULL})
struct outcome tool_run(const char *input, const char *const argv[]);

/* Start shmring with these arguments. */
#define START(Input, Output, ...)                                                                  \
    program_start((Input), (Output), (const char *const[]){"tools/shmring", __VA_ARGS__, NULL})

/*
 * Assert how the command has ended: its exit code (or 128 + signal), all of its output (NULL: any),
 * and a part of its standard error ("": that must be empty).
 */
#define EXPECT(Outcome, Status, Output, Complaint)                                                 \
    do {                                                                                           \
        struct outcome outcome_ = (Outcome);                                                       \
        const char *output_ = (Output), *complaint_ = (Complaint);                                 \
        cr_assert(outcome_.status == (Status), "exit %d: %s", outcome_.status, outcome_.err);      \
        cr_assert(!output_ || strcmp(outcome_.out, output_) == 0, "output: %s", outcome_.out);     \
        cr_assert(*complaint_ ? strstr(outcome_.err, complaint_) != NULL : *outcome_.err == '\0',  \
                  "stderr: %s", outcome_.err);                                                     \
        outcome_free(&outcome_);                                                                   \
    } while (0)

/* Kill the program with SIGKILL; it must not have ended before. */
#define KILL(Program)                                                                              \
    do {                                                                                           \
        kill((Program)->pid, SIGKILL);                                                             \
        EXPECT(program_finish(Program), 128 + SIGKILL, NULL, "");                                  \
    } while (0)

/* Run a command that must succeed and print nothing. */
#define DO(...) EXPECT(TOOL("", __VA_ARGS__), 0, "", "")

/* Assert that the command succeeded, and that its output is JSON and contains these texts. */
#define CHECK_JSON(Outcome, ...)                                                                   \
    do {                                                                                           \
        struct outcome json_ = (Outcome);                                                          \
        const char *parts_[] = {__VA_ARGS__};                                                      \
        cr_assert(json_.status == 0, "exit %d: %s", json_.status, json_.err);                      \
        cr_assert(json_is_valid(json_.out), "not JSON: %s", json_.out);                            \
        for (size_t i_ = 0; i_ < sizeof parts_ / sizeof parts_[0]; i_++)                           \
            cr_assert(strstr(json_.out, parts_[i_]), "no %s in %s", parts_[i_], json_.out);        \
        outcome_free(&json_);                                                                      \
    } while (0)

/* Does the output of `shmring stat` of the queue contain this text? */
bool stat_has(const char *name, const char *part);

/* Set signals to their default actions: where tests run with nohup or in the background, some are
 * ignored. */
void reset_signals(void);

/* Wait until stat_has() is true. */
void await_stat(const char *name, const char *part);

/* Write a file with these bytes. */
void write_file(const char *path, const void *bytes, size_t n);

/* DIRECTORY/FILE, and file:PATH: each valid until the fourth call from now. */
const char *path_in(const char *directory, const char *file);
const char *as_file_queue(const char *path);

#endif
