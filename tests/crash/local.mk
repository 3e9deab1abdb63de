# SPDX-License-Identifier: MIT
#
# Processes killed and stopped at each instruction: see README.md here. One program a kind of queue
# and a way of dying; the kind is in NAME.c.

crash_common = tests/crash/crash.h \
	tests/crash/figures.c tests/crash/figures.h \
	tests/crash/play.c tests/crash/play.h \
	tests/crash/program.c tests/crash/program.h \
	tests/crash/step.c tests/crash/step.h
# Bound at the start: or the first call of a function would be thousands of instructions long.
crash_ldflags = $(AM_LDFLAGS) -Wl,-z,now

suites += tests/crash/spsc
tests_crash_spsc_SOURCES = tests/crash/crash.c tests/crash/spsc.c $(crash_common)
tests_crash_spsc_LDADD = lib/libshmring-core.la
tests_crash_spsc_LDFLAGS = $(crash_ldflags)

crash_mpmc = tests/crash/mpmc.c tests/crash/mpmc.h tests/crash/mpmc_operations.c \
	tests/crash/mpmc_participants.c tests/crash/ledger.c tests/crash/ledger.h
suites += tests/crash/mpmc
tests_crash_mpmc_SOURCES = tests/crash/crash.c $(crash_mpmc) $(crash_common)
tests_crash_mpmc_LDADD = lib/libshmring-core.la
tests_crash_mpmc_LDFLAGS = $(crash_ldflags)

suites += tests/crash/waits
tests_crash_waits_SOURCES = tests/crash/waits.c tests/crash/waits.h tests/crash/sleepers.c \
	tests/settled.h \
	tests/crash/waits_operations.c $(crash_common)
tests_crash_waits_LDADD = lib/libshmring-core.la
tests_crash_waits_LDFLAGS = $(crash_ldflags)

crash_pairs = tests/crash/pairs_spsc tests/crash/pairs_mpmc
tests_crash_pairs_spsc_SOURCES = tests/crash/pairs.c tests/crash/spsc.c $(crash_common)
tests_crash_pairs_spsc_LDADD = lib/libshmring-core.la
tests_crash_pairs_spsc_LDFLAGS = $(crash_ldflags)
tests_crash_pairs_mpmc_SOURCES = tests/crash/pairs.c $(crash_mpmc) $(crash_common)
tests_crash_pairs_mpmc_LDADD = lib/libshmring-core.la
tests_crash_pairs_mpmc_LDFLAGS = $(crash_ldflags)

EXTRA_PROGRAMS += $(crash_pairs)
CLEANFILES += $(crash_pairs)
EXTRA_DIST += tests/crash/README.md

# One process stopped at an instruction while another is killed at one of its own; and a process
# killed, then its successor. Some minutes.
.PHONY: check-pairs
check-pairs: $(crash_pairs)
	@status=0; for program in $(crash_pairs); do ./$$program || status=1; done; exit $$status

# Each instruction of the long operations too. Some minutes.
.PHONY: check-deaths
check-deaths: tests/crash/spsc tests/crash/mpmc tests/crash/waits
	tests/crash/spsc --all
	tests/crash/mpmc --all
	tests/crash/waits --all
