# SPDX-License-Identifier: MIT
#
# libshmring-mux. Not under valgrind, which does not know futex_waitv (valgrind 3.19).

if HAVE_MUX
suites += \
	tests/mux/broadcast \
	tests/mux/calls \
	tests/mux/many \
	tests/mux/refused \
	tests/mux/threads
thread_suites += tests/mux/threads
endif

mux_test_libs = tests/support/libsupport.la mux/libshmring-mux.la lib/libshmring.la $(test_harness)
muxed = tests/mux/muxed.c tests/mux/muxed.h
tests_mux_broadcast_SOURCES = tests/mux/broadcast.c $(muxed)
tests_mux_broadcast_LDADD = $(mux_test_libs)
tests_mux_calls_SOURCES = tests/mux/calls.c $(muxed)
tests_mux_calls_LDADD = $(mux_test_libs) $(URCU_LIBS)
tests_mux_many_SOURCES = tests/mux/many.c $(muxed)
tests_mux_many_LDADD = $(mux_test_libs)
tests_mux_refused_SOURCES = tests/mux/refused.c $(muxed)
tests_mux_refused_LDADD = $(mux_test_libs)
tests_mux_threads_LDADD = $(mux_test_libs)
