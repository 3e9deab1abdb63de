# SPDX-License-Identifier: MIT

dist_man_MANS += man/shmring-bench.1
