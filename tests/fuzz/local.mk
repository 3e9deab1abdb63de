# SPDX-License-Identifier: MIT
#
# Fuzz targets: see README.md here. In `make check` each runs its corpus, through replay.c.

fuzz_targets = tests/fuzz/replay_open tests/fuzz/replay_operations tests/fuzz/replay_rings \
	tests/fuzz/replay_tools
fuzz_common = tests/fuzz/replay.c tests/fuzz/world.c tests/fuzz/around.c tests/fuzz/fuzz.h \
	tests/crc32c.h
fuzz_ldflags = $(AM_LDFLAGS) -Wl,--wrap=mmap,--wrap=munmap,--wrap=clock_gettime,--wrap=syscall

if !STAND_IN
check_PROGRAMS += $(fuzz_targets)
endif
tests_fuzz_replay_open_SOURCES = tests/fuzz/open.c tests/fuzz/file.c $(fuzz_common)
tests_fuzz_replay_open_LDADD = lib/libshmring-core.la
tests_fuzz_replay_open_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_replay_operations_SOURCES = tests/fuzz/operations.c $(fuzz_common)
tests_fuzz_replay_operations_LDADD = lib/libshmring-core.la
tests_fuzz_replay_operations_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_replay_rings_SOURCES = tests/fuzz/rings.c $(fuzz_common)
tests_fuzz_replay_rings_LDADD = lib/libshmring-core.la
tests_fuzz_replay_rings_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_replay_tools_SOURCES = \
	tests/fuzz/tools.c tests/fuzz/file.c $(fuzz_common) \
	tests/json_check.h tests/openmetrics_check.h $(fuzzed_commands)
tests_fuzz_replay_tools_LDADD = lib/libshmring-core.la
tests_fuzz_replay_tools_LDFLAGS = $(fuzz_ldflags)
# tools/main.c is included by the target, and the screen of shmring top left out.
fuzzed_commands = \
	tools/arguments.c tools/create.c tools/dump.c tools/find.c tools/gc.c tools/ls.c tools/openmetrics.c \
	tools/parse.c tools/recover.c tools/recv.c tools/rm.c tools/send.c tools/stat.c tools/text.c \
	tools/tool.h tools/view.c tools/wait.c tools/who.c

script_tests += tests/fuzz/corpus.sh
EXTRA_DIST += tests/fuzz/README.md tests/fuzz/run \
	tests/fuzz/corpus/open.tar tests/fuzz/corpus/operations.tar tests/fuzz/corpus/rings.tar \
	tests/fuzz/corpus/tools.tar

# With libFuzzer, if it is there: each target for so many seconds.
FUZZ_SECONDS = 60
.PHONY: fuzz
fuzz:
	@$(srcdir)/tests/fuzz/run -s $(FUZZ_SECONDS) $(FUZZ_FLAGS) || test $$? = 77 -a "$$SKIPPED" != failed
