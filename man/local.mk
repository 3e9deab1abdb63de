# SPDX-License-Identifier: MIT

dist_man_MANS += man/shmring-bench.1 man/shmring-bench-report.1

dist_man_MANS += \
	man/shmring.1 \
	man/shmring.7 \
	man/shmring-record.5 \
	man/shmring_create.3 \
	man/shmring_dump.3 \
	man/shmring_fd.3 \
	man/shmring_guard_sigbus.3 \
	man/shmring_recover.3 \
	man/shmring_recv.3 \
	man/shmring_send.3 \
	man/shmring_stat.3 \
	man/shmring_strerror_detail.3 \
	man/shmring_wait.3

dist_man_MANS += \
	man/shmring_broadcast.7 \
	man/shmring_delivery.7 \
	man/shmring_process.7 \
	man/shmring_recovery.7 \
	man/shmring_security.7 \
	man/shmring_tuning.7

# One source for the document and the page.
nodist_man_MANS = man/shmring_layout.5
EXTRA_DIST += man/layout.awk
CLEANFILES += man/shmring_layout.5
man/shmring_layout.5: doc/layout.md man/layout.awk configure.ac
	$(AM_V_GEN)$(MKDIR_P) man && \
	$(AWK) -v version=$(PACKAGE_VERSION) -f $(srcdir)/man/layout.awk $(srcdir)/doc/layout.md >$@

# A function without a page of its own: a line that sends the reader to the page it is on.
aliases_of_create = \
	man/aliases/shmring_close.3 \
	man/aliases/shmring_dup.3 \
	man/aliases/shmring_open.3 \
	man/aliases/shmring_open_fd.3 \
	man/aliases/shmring_open_wait.3 \
	man/aliases/shmring_record_size.3 \
	man/aliases/shmring_segment_fd.3 \
	man/aliases/shmring_unlink.3
aliases_of_fd = \
	man/aliases/shmring_fd_arm.3
aliases_of_mux = \
	man/aliases/shmring_mux_add.3 \
	man/aliases/shmring_mux_create.3 \
	man/aliases/shmring_mux_destroy.3 \
	man/aliases/shmring_mux_done.3 \
	man/aliases/shmring_mux_remove.3 \
	man/aliases/shmring_mux_wait.3 \
	man/aliases/shmring_mux_wake.3
aliases_of_recv = \
	man/aliases/shmring_peek.3 \
	man/aliases/shmring_recv_batch.3 \
	man/aliases/shmring_release.3 \
	man/aliases/shmring_skip.3
aliases_of_send = \
	man/aliases/shmring_cancel.3 \
	man/aliases/shmring_commit.3 \
	man/aliases/shmring_commit_flags.3 \
	man/aliases/shmring_reserve.3 \
	man/aliases/shmring_send_batch.3 \
	man/aliases/shmring_send_flags.3
aliases_of_stat = \
	man/aliases/shmring_check.3 \
	man/aliases/shmring_participants.3
aliases_of_strerror_detail = \
	man/aliases/shmring_version.3
aliases_of_wait = \
	man/aliases/shmring_futex_arm.3 \
	man/aliases/shmring_peek_wait.3 \
	man/aliases/shmring_recv_wait.3 \
	man/aliases/shmring_reserve_wait.3 \
	man/aliases/shmring_send_wait.3 \
	man/aliases/shmring_set_waiting.3

man_aliases = \
	$(aliases_of_create) \
	$(aliases_of_fd) \
	$(aliases_of_recv) \
	$(aliases_of_send) \
	$(aliases_of_stat) \
	$(aliases_of_strerror_detail) \
	$(aliases_of_wait)
nodist_man_MANS += $(man_aliases)
CLEANFILES += $(man_aliases)

if HAVE_MUX
dist_man_MANS += man/shmring_mux.3
nodist_man_MANS += $(aliases_of_mux)
endif
CLEANFILES += $(aliases_of_mux)

$(aliases_of_create):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && echo '.so man3/shmring_create.3' >$@
$(aliases_of_fd):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && echo '.so man3/shmring_fd.3' >$@
$(aliases_of_mux):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && echo '.so man3/shmring_mux.3' >$@
$(aliases_of_recv):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && echo '.so man3/shmring_recv.3' >$@
$(aliases_of_send):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && echo '.so man3/shmring_send.3' >$@
$(aliases_of_stat):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && echo '.so man3/shmring_stat.3' >$@
$(aliases_of_strerror_detail):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && echo '.so man3/shmring_strerror_detail.3' >$@
$(aliases_of_wait):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && echo '.so man3/shmring_wait.3' >$@

if HAVE_BRIDGE
dist_man_MANS += man/shmring-bridge.1
endif
EXTRA_DIST += man/shmring-bridge.1

# The pages as HTML, in html/, with an index; mandoc makes them.
html_pages = $(dist_man_MANS) man/shmring_layout.5
.PHONY: html-pages
html-local: html-pages
html-pages: $(html_pages)
	@$(srcdir)/man/make-html html $^
EXTRA_DIST += man/make-html
clean-local:
	rm -rf html
