# SPDX-License-Identifier: MIT

examples = \
	examples/durable_file \
	examples/fork_queue \
	examples/hello \
	examples/pass_fd \
	examples/system_logger \
	examples/two_counters \
	examples/work_queue
noinst_PROGRAMS += $(examples)
examples_durable_file_LDADD = lib/libshmring.la
examples_fork_queue_LDADD = lib/libshmring.la
examples_hello_LDADD = lib/libshmring.la
examples_pass_fd_LDADD = lib/libshmring.la
examples_system_logger_LDADD = lib/libshmring.la
examples_two_counters_LDADD = lib/libshmring.la
examples_work_queue_LDADD = lib/libshmring.la
EXTRA_DIST += examples/README.md
