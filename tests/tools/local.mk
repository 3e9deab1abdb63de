# SPDX-License-Identifier: MIT
#
# The programs: the command and the examples, run as processes. Not under valgrind, which would follow
# them through libtool's shell scripts.

suites += \
	tests/tools/commands \
	tests/tools/dump_gc \
	tests/tools/examples \
	tests/tools/figures \
	tests/tools/mpmc \
	tests/tools/openmetrics \
	tests/tools/send_recv \
	tests/tools/top \
	tests/tools/waiting
script_tests += tests/tools/completion.sh
