# SPDX-License-Identifier: MIT
#
# The programs: the command and the examples, run as processes. Not under valgrind, which would follow
# them through libtool's shell scripts.

suites += \
	tests/tools/broadcast \
	tests/tools/commands \
	tests/tools/dump_gc \
	tests/tools/examples \
	tests/tools/figures \
	tests/tools/mpmc \
	tests/tools/openmetrics \
	tests/tools/recordings \
	tests/tools/recv \
	tests/tools/send_recv \
	tests/tools/top \
	tests/tools/waiting
script_tests += tests/tools/completion.sh

# The command's own sources, without its main().
tests_tools_recv_SOURCES = \
	tests/tools/recv.c tools/parse.c tools/receive.c tools/receive.h tools/recv.c tools/text.c \
	tools/tool.h tools/view.c tools/wait.c
tests_tools_recv_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=shmring_stat
