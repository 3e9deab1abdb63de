/* SPDX-License-Identifier: MIT */
/*
 * The part of Criterion's interface that the suites in $(thread_suites) use, for builds with
 * --enable-sanitizer=thread: Criterion itself cannot start there, because it maps its memory at a
 * fixed address (between 0x200000000000 and 0x600000000000) that ThreadSanitizer keeps for itself.
 * And for builds with --with-criterion=stand-in, with another libc than Criterion's.
 *
 * Each test runs in a forked process, as with Criterion, and the last line is Criterion's.
 */
#ifndef STAND_IN_CRITERION_H
#define STAND_IN_CRITERION_H

#include <string.h>

struct stand_in_options {
    void (*init)(void);
    void (*fini)(void);
    int signal;
    int exit_code;
    double timeout; /* seconds, ten times that here */
};

struct stand_in_test {
    const char *suite;
    const char *name;
    void (*body)(void);
    struct stand_in_options options;
    struct stand_in_test *next;
};

void stand_in_register(struct stand_in_test *test);
_Noreturn void stand_in_fail(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
_Noreturn void stand_in_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Test(suite, name, .init = ..., .timeout = ...) { ... } */
#define Test(Suite, Name, ...)                                                                     \
    static void Suite##_##Name(void);                                                              \
    static struct stand_in_test Suite##_##Name##_test = {                                          \
        #Suite, #Name, Suite##_##Name, {__VA_ARGS__}, NULL};                                       \
    __attribute__((constructor)) static void Suite##_##Name##_register(void)                       \
    {                                                                                              \
        stand_in_register(&Suite##_##Name##_test);                                                 \
    }                                                                                              \
    static void Suite##_##Name(void)

/* Each takes a printf format and its arguments after the values, or nothing. */
#define cr_assert(Condition, ...)                                                                  \
    ((Condition) ? (void)0 : stand_in_fail(__FILE__, __LINE__, #Condition, " " __VA_ARGS__))
#define cr_assert_fail(...)               cr_assert(!"reached", ##__VA_ARGS__)
#define cr_assert_not(Condition, ...)     cr_assert(!(Condition), ##__VA_ARGS__)
#define cr_assert_eq(A, B, ...)           cr_assert((A) == (B), ##__VA_ARGS__)
#define cr_assert_neq(A, B, ...)          cr_assert((A) != (B), ##__VA_ARGS__)
#define cr_assert_lt(A, B, ...)           cr_assert((A) < (B), ##__VA_ARGS__)
#define cr_assert_leq(A, B, ...)          cr_assert((A) <= (B), ##__VA_ARGS__)
#define cr_assert_gt(A, B, ...)           cr_assert((A) > (B), ##__VA_ARGS__)
#define cr_assert_geq(A, B, ...)          cr_assert((A) >= (B), ##__VA_ARGS__)
#define cr_assert_null(A, ...)            cr_assert((A) == NULL, ##__VA_ARGS__)
#define cr_assert_not_null(A, ...)        cr_assert((A) != NULL, ##__VA_ARGS__)
#define cr_assert_str_eq(A, B, ...)       cr_assert(strcmp((A), (B)) == 0, ##__VA_ARGS__)
#define cr_assert_str_neq(A, B, ...)      cr_assert(strcmp((A), (B)) != 0, ##__VA_ARGS__)
#define cr_assert_arr_eq(A, B, Size, ...) cr_assert(memcmp((A), (B), (Size)) == 0, ##__VA_ARGS__)
#define cr_fatal(...)                     cr_assert_fail(__VA_ARGS__)
#define cr_skip_test(...)                 stand_in_skip(" " __VA_ARGS__)

#endif
