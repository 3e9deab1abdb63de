# SPDX-License-Identifier: MIT

dist_doc_DATA += \
	doc/abi.md \
	doc/bridge.md \
	doc/design.md \
	doc/evidence.md \
	doc/layout.md \
	doc/mux.md \
	doc/performance.md \
	doc/security.md \
	doc/system-calls.md \
	doc/tracing.md \
	doc/words.md

benchmarksdir = $(docdir)/benchmarks
dist_benchmarks_DATA = \
	doc/benchmarks/method.md \
	doc/benchmarks/results.md \
	doc/benchmarks/transports.md

# The picture in README.md, drawn from the table there: tests/package/readme.sh.
EXTRA_DIST += doc/evidence.tsv doc/comparison.awk doc/comparison.svg
