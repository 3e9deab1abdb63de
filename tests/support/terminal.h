/* SPDX-License-Identifier: MIT */
/*
 * A program on a terminal of its own, and the content of the screen. Understands the sequences that
 * curses sends to a VT100, and to a Linux console, which has colours.
 */
#ifndef TESTS_TERMINAL_H
#define TESTS_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

enum { TERMINAL_ROWS = 50, TERMINAL_COLUMNS = 132 };

struct terminal {
    pid_t pid;
    int fd;
    int slave; /* kept open, to read the modes that the program left */
    struct termios before;
    int rows, columns, row, column;
    char cells[TERMINAL_ROWS][TERMINAL_COLUMNS + 1];
    bool colours; /* the program has set colours */
    char sequence[32];
    size_t in_sequence; /* bytes of an escape sequence so far */
};

/* Start argv, a path in the build tree, on a terminal of the kind TERM and of this size. */
void terminal_start(struct terminal *t, const char *kind, int rows, int columns,
                    const char *const argv[]);

void terminal_type(struct terminal *t, const char *keys);
void terminal_resize(struct terminal *t, int rows, int columns);

/* Wait until this text is on the screen; or is not any more. */
void terminal_await(struct terminal *t, const char *text);
void terminal_await_gone(struct terminal *t, const char *text);

/* Wait until this row, counted from 0, starts with this text. */
void terminal_await_line(struct terminal *t, int row, const char *start);

/* Wait for the program's end. Returns its exit code, or 128 + signal. */
int terminal_finish(struct terminal *t);

/* Are the terminal's modes those from before the start? Call it after terminal_finish(), and then
 * terminal_close(). */
bool terminal_is_restored(const struct terminal *t);
void terminal_close(struct terminal *t);

#endif
