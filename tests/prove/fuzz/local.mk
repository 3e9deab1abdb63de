# SPDX-License-Identifier: MIT
#
# Fuzz targets: see README.md here. In `make check` each runs its corpus, through replay.c.

fuzz_targets = tests/prove/fuzz/replay_open tests/prove/fuzz/replay_operations tests/prove/fuzz/replay_rings \
	tests/prove/fuzz/replay_recordings tests/prove/fuzz/replay_tools
fuzz_around = tests/prove/fuzz/around.c tests/prove/fuzz/fuzz.h
fuzz_command = tests/prove/fuzz/command.c tests/prove/fuzz/command.h
fuzz_common = tests/prove/fuzz/replay.c tests/prove/fuzz/world.c $(fuzz_around)
fuzz_ldflags = $(AM_LDFLAGS) -Wl,--wrap=mmap,--wrap=munmap,--wrap=clock_gettime,--wrap=syscall

if !STAND_IN
check_PROGRAMS += $(fuzz_targets)
endif
tests_prove_fuzz_replay_open_SOURCES = tests/prove/fuzz/open.c tests/prove/fuzz/file.c $(fuzz_common)
tests_prove_fuzz_replay_open_LDADD = lib/libshmring-core.la
tests_prove_fuzz_replay_open_LDFLAGS = $(fuzz_ldflags)
tests_prove_fuzz_replay_operations_SOURCES = tests/prove/fuzz/operations.c $(fuzz_common)
tests_prove_fuzz_replay_operations_LDADD = lib/libshmring-core.la
tests_prove_fuzz_replay_operations_LDFLAGS = $(fuzz_ldflags)
tests_prove_fuzz_replay_rings_SOURCES = tests/prove/fuzz/rings.c $(fuzz_common)
tests_prove_fuzz_replay_rings_LDADD = lib/libshmring-core.la
tests_prove_fuzz_replay_rings_LDFLAGS = $(fuzz_ldflags)
tests_prove_fuzz_replay_recordings_SOURCES = \
	tests/prove/fuzz/recordings.c $(fuzz_command) $(fuzz_common) $(fuzzed_commands)
tests_prove_fuzz_replay_recordings_LDADD = lib/libshmring-core.la
tests_prove_fuzz_replay_recordings_LDFLAGS = $(fuzz_ldflags)
tests_prove_fuzz_replay_tools_SOURCES = \
	tests/prove/fuzz/tools.c tests/prove/fuzz/file.c $(fuzz_command) $(fuzz_common) \
	$(fuzzed_commands)
tests_prove_fuzz_replay_tools_LDADD = lib/libshmring-core.la
tests_prove_fuzz_replay_tools_LDFLAGS = $(fuzz_ldflags)
# command.c includes tools/main.c. The screen of shmring top is left out.
fuzzed_commands = \
	tools/arguments.c tools/create.c tools/dump.c tools/find.c tools/gc.c tools/ls.c tools/openmetrics.c \
	tools/parse.c tools/receive.c tools/receive.h tools/record.c tools/recording.c tools/recording.h \
	tools/recover.c tools/recv.c tools/replay.c tools/rm.c tools/send.c tools/stat.c tools/text.c \
	tools/tool.h tools/view.c tools/wait.c tools/who.c

script_tests += tests/prove/fuzz/corpus.sh
EXTRA_DIST += tests/prove/fuzz/README.md tests/prove/fuzz/run \
	tests/prove/fuzz/corpus/open.tar tests/prove/fuzz/corpus/operations.tar tests/prove/fuzz/corpus/rings.tar \
	tests/prove/fuzz/corpus/recordings.tar tests/prove/fuzz/corpus/tools.tar

# With libFuzzer, if clang is installed: each target for FUZZ_SECONDS seconds.
FUZZ_SECONDS = 60
.PHONY: fuzz
fuzz:
	@$(srcdir)/tests/prove/fuzz/run -s $(FUZZ_SECONDS) $(FUZZ_FLAGS) || test $$? = 77 -a "$$SKIPPED" != failed
