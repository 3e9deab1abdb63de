# SPDX-License-Identifier: MIT
#
# shmring-bench, and the programs that make reports of its figures.

suites += \
	tests/bench/parts \
	tests/bench/program
script_tests += \
	tests/bench/check.sh \
	tests/bench/instructions.sh \
	tests/bench/report.sh

tests_bench_parts_LDADD = bench/libshmring-bench.la $(test_libs)
