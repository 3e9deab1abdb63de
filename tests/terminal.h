/* SPDX-License-Identifier: MIT */
/*
 * A program on a terminal of its own, and what is on the screen. Understands what curses
 * sends to a VT100, and more for Linux's own terminals, which have colours.
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
    int slave; /* kept open, so that the modes the program left can be looked at */
    struct termios before;
    int rows, columns, row, column;
    char cells[TERMINAL_ROWS][TERMINAL_COLUMNS + 1];
    bool colours; /* some were asked for */
    char sequence[32];
    size_t in_sequence; /* bytes of an escape sequence so far */
};

/* Start argv, a path in the build tree, on a terminal of the kind TERM and of this size. */
void terminal_start(struct terminal *t, const char *kind, int rows, int columns,
                    const char *const argv[]);

void terminal_type(struct terminal *t, const char *keys);
void terminal_resize(struct terminal *t, int rows, int columns);

/* Wait until this is on the screen, or is not any more. */
void terminal_await(struct terminal *t, const char *text);
void terminal_await_gone(struct terminal *t, const char *text);

/* Wait until this row, counted from 0, starts so. */
void terminal_await_line(struct terminal *t, int row, const char *start);

/* Wait for the program's end: its exit code, or 128 + signal. */
int terminal_finish(struct terminal *t);

/* Are its modes those from before the start? After terminal_finish(); then close it. */
bool terminal_is_restored(const struct terminal *t);
void terminal_close(struct terminal *t);

#endif
