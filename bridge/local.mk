# SPDX-License-Identifier: MIT

# Between queues and NATS JetStream: the only part that uses libnats.
EXTRA_DIST += bridge/shmring-bridge.service.in bridge/shmring-bridge.sysusers bridge/bridge.conf tools/completion/shmring-bridge
if HAVE_BRIDGE
bin_PROGRAMS += bridge/shmring-bridge
bashcompletion_DATA = tools/completion/shmring-bridge
bridgeexampledir = $(docdir)/examples
bridgeexample_DATA = bridge/bridge.conf
systemdunitdir = $(prefix)/lib/systemd/system
systemdunit_DATA = bridge/shmring-bridge@.service
sysusersdir = $(prefix)/lib/sysusers.d
sysusers_DATA = bridge/shmring-bridge.conf
endif
CLEANFILES += bridge/shmring-bridge@.service bridge/shmring-bridge.conf

bridge/shmring-bridge.conf: bridge/shmring-bridge.sysusers
	$(AM_V_GEN)$(MKDIR_P) bridge && cp $(srcdir)/bridge/shmring-bridge.sysusers $@

# Written with brackets, as configure would replace what stands between two @ here too.
bridge/shmring-bridge@.service: bridge/shmring-bridge.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) bridge && sed -e 's|[@]bindir[@]|$(bindir)|' -e 's|[@]sysconfdir[@]|$(sysconfdir)|g' \
		$(srcdir)/bridge/shmring-bridge.service.in >$@

bridge_shmring_bridge_CPPFLAGS = $(AM_CPPFLAGS) $(LIBNATS_CFLAGS)
bridge_shmring_bridge_SOURCES = \
	bridge/wake.c \
	bridge/bridge.h \
	bridge/config.c \
	bridge/in.c \
	bridge/log.c \
	bridge/main.c \
	bridge/metrics.c \
	bridge/notify.c \
	bridge/options.c \
	bridge/out.c \
	bridge/route.c \
	bridge/row.c \
	bridge/seen.c \
	bridge/server.c \
	bridge/stream.c
bridge_shmring_bridge_LDADD = mux/libshmring-mux.la lib/libshmring.la $(LIBNATS_LIBS)

# What it costs: bench/bridge, beside libnats on its own.
if HAVE_BRIDGE
noinst_PROGRAMS += bench/bridge
bench_bridge_SOURCES = bench/bridge.c bench/kind.c bench/kind.h
endif
bench_bridge_CPPFLAGS = $(AM_CPPFLAGS) $(LIBNATS_CFLAGS)
bench_bridge_LDADD = lib/libshmring.la $(LIBNATS_LIBS)
