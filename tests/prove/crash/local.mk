# SPDX-License-Identifier: MIT
#
# Processes are killed and stopped at each instruction: see README.md here. There is a program for each kind
# of queue and way of dying; the kind is in NAME.c.

crash_common = tests/prove/crash/crash.h \
	tests/prove/crash/figures.c tests/prove/crash/figures.h tests/prove/crash/messages.h \
	tests/prove/crash/play.c tests/prove/crash/play.h \
	tests/prove/crash/program.c tests/prove/crash/program.h \
	tests/prove/crash/step.c tests/prove/crash/step.h
crash_libs = tests/support/liboracle.la lib/libshmring-core.la
# Symbols are bound at the start: else the first call of a function would take thousands of instructions.
crash_ldflags = $(AM_LDFLAGS) -Wl,-z,now

crash_spsc = tests/prove/crash/spsc.c tests/prove/crash/spsc.h tests/prove/crash/spsc_operations.c \
	tests/prove/crash/spsc_participants.c
suites += tests/prove/crash/spsc
tests_prove_crash_spsc_SOURCES = tests/prove/crash/crash.c $(crash_spsc) $(crash_common)
tests_prove_crash_spsc_LDADD = $(crash_libs)
tests_prove_crash_spsc_LDFLAGS = $(crash_ldflags)

crash_mpmc = tests/prove/crash/mpmc.c tests/prove/crash/mpmc.h tests/prove/crash/mpmc_operations.c \
	tests/prove/crash/mpmc_participants.c tests/prove/crash/ledger.c tests/prove/crash/ledger.h
suites += tests/prove/crash/mpmc
tests_prove_crash_mpmc_SOURCES = tests/prove/crash/crash.c $(crash_mpmc) $(crash_common)
tests_prove_crash_mpmc_LDADD = $(crash_libs)
tests_prove_crash_mpmc_LDFLAGS = $(crash_ldflags)

crash_broadcast = tests/prove/crash/broadcast.c tests/prove/crash/broadcast.h \
	tests/prove/crash/broadcast_figures.c tests/prove/crash/broadcast_operations.c \
	tests/prove/crash/broadcast_participants.c
suites += tests/prove/crash/broadcast
tests_prove_crash_broadcast_SOURCES = tests/prove/crash/crash.c $(crash_broadcast) $(crash_common)
tests_prove_crash_broadcast_LDADD = $(crash_libs)
tests_prove_crash_broadcast_LDFLAGS = $(crash_ldflags)

suites += tests/prove/crash/waits
tests_prove_crash_waits_SOURCES = tests/prove/crash/waits.c tests/prove/crash/waits.h \
	tests/prove/crash/sleepers.c tests/prove/crash/waits_operations.c $(crash_common)
tests_prove_crash_waits_LDADD = $(crash_libs)
tests_prove_crash_waits_LDFLAGS = $(crash_ldflags)

crash_pairs = tests/prove/crash/pairs_spsc tests/prove/crash/pairs_mpmc \
	tests/prove/crash/pairs_broadcast
tests_prove_crash_pairs_spsc_SOURCES = tests/prove/crash/pairs.c $(crash_spsc) $(crash_common)
tests_prove_crash_pairs_spsc_LDADD = $(crash_libs)
tests_prove_crash_pairs_spsc_LDFLAGS = $(crash_ldflags)
tests_prove_crash_pairs_mpmc_SOURCES = tests/prove/crash/pairs.c $(crash_mpmc) $(crash_common)
tests_prove_crash_pairs_mpmc_LDADD = $(crash_libs)
tests_prove_crash_pairs_mpmc_LDFLAGS = $(crash_ldflags)
tests_prove_crash_pairs_broadcast_SOURCES = tests/prove/crash/pairs.c $(crash_broadcast) $(crash_common)
tests_prove_crash_pairs_broadcast_LDADD = $(crash_libs)
tests_prove_crash_pairs_broadcast_LDFLAGS = $(crash_ldflags)

EXTRA_PROGRAMS += $(crash_pairs)
CLEANFILES += $(crash_pairs)
EXTRA_DIST += tests/prove/crash/README.md

# One process stopped at an instruction while another is killed at one of its own; and a process
# killed, then its successor. Some minutes.
.PHONY: check-pairs
check-pairs: $(crash_pairs)
	@status=0; for program in $(crash_pairs); do ./$$program || status=1; done; exit $$status

# Each instruction of the long operations too. Some minutes.
.PHONY: check-deaths
check-deaths: tests/prove/crash/spsc tests/prove/crash/mpmc tests/prove/crash/broadcast \
	tests/prove/crash/waits
	tests/prove/crash/spsc --all
	tests/prove/crash/mpmc --all
	tests/prove/crash/broadcast --all
	tests/prove/crash/waits --all
