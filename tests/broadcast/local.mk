# SPDX-License-Identifier: MIT
#
# The broadcast queue: through the public interface, and the algorithm in lib/broadcast/ring.h.

suites += \
	tests/broadcast/damage \
	tests/broadcast/deaths \
	tests/broadcast/joining \
	tests/broadcast/lapped \
	tests/broadcast/operations \
	tests/broadcast/processes \
	tests/broadcast/threads \
	tests/broadcast/waiting \
	tests/broadcast/wrap

thread_suites += tests/broadcast/threads
# Not processes: hundreds of processes that live for a moment. Nor joining: it would step through
# valgrind's own code.
memcheck_suites += \
	tests/broadcast/damage \
	tests/broadcast/deaths \
	tests/broadcast/lapped \
	tests/broadcast/operations \
	tests/broadcast/waiting \
	tests/broadcast/wrap

tests_broadcast_damage_SOURCES = tests/broadcast/damage.c tests/broadcast/pages.h tests/broadcast/queue.h
tests_broadcast_damage_LDADD = $(core_test_libs)
tests_broadcast_joining_SOURCES = tests/broadcast/joining.c tests/broadcast/pages.h tests/broadcast/queue.h
tests_broadcast_joining_LDADD = $(core_test_libs)
tests_broadcast_lapped_SOURCES = tests/broadcast/lapped.c tests/broadcast/queue.h
tests_broadcast_operations_SOURCES = tests/broadcast/operations.c tests/broadcast/queue.h
tests_broadcast_processes_SOURCES = tests/broadcast/processes.c tests/broadcast/queue.h
tests_broadcast_threads_SOURCES = tests/broadcast/threads.c tests/broadcast/queue.h
tests_broadcast_threads_LDADD = $(core_test_libs)
tests_broadcast_waiting_SOURCES = tests/broadcast/waiting.c tests/broadcast/queue.h
tests_broadcast_wrap_SOURCES = tests/broadcast/wrap.c tests/broadcast/pages.h tests/broadcast/queue.h
tests_broadcast_wrap_LDADD = $(core_test_libs)
