# SPDX-License-Identifier: MIT
#
# Fuzz targets: see README.md here. In `make check` each runs its corpus, through replay.c.

fuzz_targets = tests/fuzz/replay_open tests/fuzz/replay_operations tests/fuzz/replay_rings
fuzz_common = tests/fuzz/replay.c tests/fuzz/world.c tests/fuzz/around.c tests/fuzz/fuzz.h
fuzz_ldflags = $(AM_LDFLAGS) -Wl,--wrap=mmap,--wrap=munmap,--wrap=clock_gettime

if !THREAD_SANITIZER
check_PROGRAMS += $(fuzz_targets)
endif
tests_fuzz_replay_open_SOURCES = tests/fuzz/open.c $(fuzz_common)
tests_fuzz_replay_open_LDADD = lib/libshmring-core.la
tests_fuzz_replay_open_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_replay_operations_SOURCES = tests/fuzz/operations.c $(fuzz_common)
tests_fuzz_replay_operations_LDADD = lib/libshmring-core.la
tests_fuzz_replay_operations_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_replay_rings_SOURCES = tests/fuzz/rings.c $(fuzz_common)
tests_fuzz_replay_rings_LDADD = lib/libshmring-core.la
tests_fuzz_replay_rings_LDFLAGS = $(fuzz_ldflags)

script_tests += tests/fuzz/corpus.sh
EXTRA_DIST += tests/fuzz/README.md tests/fuzz/corpus tests/fuzz/run

# With libFuzzer, if it is there: each target for so many seconds.
FUZZ_SECONDS = 60
.PHONY: fuzz
fuzz:
	@$(srcdir)/tests/fuzz/run -s $(FUZZ_SECONDS) $(FUZZ_FLAGS) || test $$? = 77
