/* SPDX-License-Identifier: MIT */
/* EXPECT(): ends the program if a condition is false. For the programs of tests/package/cxx.sh. */
#ifndef CXX_EXPECT_HPP
#define CXX_EXPECT_HPP

#include <cstdio>
#include <cstdlib>

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);           \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

#endif
