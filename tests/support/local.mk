# SPDX-License-Identifier: MIT
#
# What suites share: a program gets those files of libsupport.la that it calls. A helper that needs more of
# Criterion than stand-in/ has is listed behind "if !STAND_IN".

AM_CPPFLAGS += -I$(srcdir)/tests/support

# The judge alone, for programs without Criterion.
EXTRA_LTLIBRARIES = tests/support/liboracle.la
CLEANFILES += tests/support/liboracle.la
tests_support_liboracle_la_SOURCES = tests/support/oracle.c tests/support/oracle.h \
	tests/support/messages.h

tests_support_libsupport_la_LIBADD = tests/support/liboracle.la
tests_support_libsupport_la_SOURCES = \
	tests/support/messages.c tests/support/messages.h \
	tests/support/support.c tests/support/support.h
if !STAND_IN
tests_support_libsupport_la_SOURCES += \
	tests/support/bridged.c tests/support/bridged.h \
	tests/support/crc32c.h \
	tests/support/faults.c tests/support/faults.h \
	tests/support/filter.h \
	tests/support/in_place.c tests/support/in_place.h \
	tests/support/json_check.h \
	tests/support/mpmc_pages.h \
	tests/support/nats.c tests/support/nats.h \
	tests/support/numbered.h \
	tests/support/openmetrics_check.h \
	tests/support/program.c tests/support/program.h \
	tests/support/refused.c tests/support/refused.h \
	tests/support/settled.h \
	tests/support/spsc_pages.h \
	tests/support/tap.c tests/support/tap.h \
	tests/support/terminal.c tests/support/terminal.h \
	tests/support/tool.c tests/support/tool.h \
	tests/support/turns.h \
	tests/support/waiting.c tests/support/waiting.h
endif
if COVERAGE
tests_support_libsupport_la_SOURCES += tests/support/coverage.c
endif

EXTRA_DIST += tests/support/leaks.supp tests/support/run-beside tests/support/run-checked \
	tests/support/summarise tests/support/stand-in/criterion/criterion.h
