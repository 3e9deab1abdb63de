# SPDX-License-Identifier: MIT

EXTRA_DIST += \
	debian/README.source \
	debian/changelog \
	debian/control \
	debian/copyright \
	debian/libshmring-dev.examples \
	debian/libshmring-dev.install \
	debian/libshmring-dev.lintian-overrides \
	debian/libshmring-mux0.install \
	debian/libshmring-mux0.lintian-overrides \
	debian/libshmring-mux0.symbols \
	debian/libshmring0.install \
	debian/libshmring0.lintian-overrides \
	debian/libshmring0.symbols \
	debian/not-installed \
	debian/rules \
	debian/shmring-bridge.install \
	debian/shmring-bridge.lintian-overrides \
	debian/shmring-doc.install \
	debian/shmring-doc.lintian-overrides \
	debian/shmring-tools.install \
	debian/shmring-tools.lintian-overrides \
	debian/source/format \
	debian/source/lintian-overrides \
	debian/tests/bridge \
	debian/tests/client \
	debian/tests/control \
	debian/tests/cxx \
	debian/tests/mux \
	debian/tests/projects \
	debian/tests/python \
	packaging/build-deb \
	packaging/build-deb-twice \
	packaging/build-rpm \
	packaging/check-dist \
	packaging/check-dist-combinations \
	packaging/check-musl \
	packaging/run-in-clean-root \
	packaging/shmring.spec \
	packaging/try-compilers \
	packaging/try-deb \
	packaging/try-installed
