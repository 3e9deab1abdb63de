# SPDX-License-Identifier: MIT
#
# The segment: its file, opening, membership; and the process that the library is in.

suites += \
	tests/segment/alive \
	tests/segment/backends \
	tests/segment/bad_input \
	tests/segment/containers \
	tests/segment/dump \
	tests/segment/faults \
	tests/segment/file_systems \
	tests/segment/fork \
	tests/segment/golden \
	tests/segment/in_place \
	tests/segment/layout \
	tests/segment/layout_document \
	tests/segment/limits \
	tests/segment/mounts \
	tests/segment/name \
	tests/segment/open \
	tests/segment/open_wait \
	tests/segment/participants \
	tests/segment/process \
	tests/segment/races \
	tests/segment/recovery \
	tests/segment/sigbus \
	tests/segment/signal_safe \
	tests/segment/system_calls
if CHECKS
suites += tests/segment/checks
endif
script_tests += tests/segment/signal_safe_calls.sh

thread_suites += tests/segment/fork
# Not races: it starts hundreds of processes that live for a millisecond.
memcheck_suites += \
	tests/segment/backends \
	tests/segment/bad_input \
	tests/segment/dump \
	tests/segment/file_systems \
	tests/segment/fork \
	tests/segment/golden \
	tests/segment/in_place \
	tests/segment/layout \
	tests/segment/layout_document \
	tests/segment/limits \
	tests/segment/name \
	tests/segment/open \
	tests/segment/open_wait \
	tests/segment/participants

tests_segment_backends_LDADD = $(core_test_libs)
tests_segment_dump_LDADD = $(core_test_libs)
tests_segment_in_place_LDADD = $(core_test_libs)
tests_segment_layout_LDADD = $(core_test_libs)
tests_segment_name_LDADD = $(core_test_libs)
tests_segment_process_LDADD = $(core_test_libs)
tests_segment_races_LDADD = $(core_test_libs)
tests_segment_sigbus_LDADD = $(core_test_libs)

tests_segment_alive_LDADD = $(core_test_libs)
tests_segment_alive_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=dup3,--wrap=fcntl,--wrap=fcntl64,--wrap=nanosleep,--wrap=open,--wrap=open64

# Every function that lib/ calls and that can fail is replaced: see tests/support/faults.h.
faults_ldflags = $(AM_LDFLAGS) \
	-Wl,--wrap=__asprintf_chk,--wrap=__open_2 \
	-Wl,--wrap=access,--wrap=asprintf,--wrap=calloc,--wrap=chmod,--wrap=close,--wrap=dup3 \
	-Wl,--wrap=epoll_create1 \
	-Wl,--wrap=epoll_ctl,--wrap=fallocate,--wrap=fchmod,--wrap=fchown,--wrap=fcntl,--wrap=fgets \
	-Wl,--wrap=flock,--wrap=ioctl,--wrap=lseek,--wrap=uname \
	-Wl,--wrap=fopen,--wrap=fstat,--wrap=fstatfs,--wrap=fstatvfs,--wrap=getcwd \
	-Wl,--wrap=getrlimit,--wrap=inotify_add_watch,--wrap=inotify_init1,--wrap=link \
	-Wl,--wrap=linkat,--wrap=lstat,--wrap=madvise,--wrap=malloc,--wrap=memfd_create \
	-Wl,--wrap=mkfifo,--wrap=mlock,--wrap=mmap,--wrap=open,--wrap=openat \
	-Wl,--wrap=posix_memalign,--wrap=ppoll,--wrap=pread \
	-Wl,--wrap=pwrite,--wrap=read,--wrap=readlink,--wrap=stat,--wrap=statfs,--wrap=syscall \
	-Wl,--wrap=timerfd_create,--wrap=timerfd_settime,--wrap=unlink,--wrap=unlinkat,--wrap=write \
	-Wl,--wrap=__open64_2,--wrap=fcntl64,--wrap=fopen64,--wrap=fstat64,--wrap=fstatfs64 \
	-Wl,--wrap=fstatvfs64,--wrap=getrlimit64,--wrap=lstat64,--wrap=mmap64,--wrap=open64 \
	-Wl,--wrap=openat64,--wrap=fallocate64,--wrap=lseek64,--wrap=pread64,--wrap=pwrite64,--wrap=stat64 \
	-Wl,--wrap=statfs64 \
	-Wl,--wrap=__fcntl_time64,--wrap=__fstat64_time64,--wrap=__lstat64_time64,--wrap=__ppoll64 \
	-Wl,--wrap=__stat64_time64,--wrap=__timerfd_settime64
tests_segment_faults_SOURCES = tests/segment/faults.c tests/segment/faults_operations.c \
	tests/segment/faults_operations.h
tests_segment_faults_LDADD = $(core_test_libs)
tests_segment_faults_LDFLAGS = $(faults_ldflags)

# And every function that a signal handler must not call: signal_safe_calls.sh checks the list.
tests_segment_signal_safe_LDADD = $(core_test_libs)
tests_segment_signal_safe_LDFLAGS = $(faults_ldflags) \
	-Wl,--wrap=__isoc23_fscanf,--wrap=__isoc23_sscanf,--wrap=__isoc99_fscanf \
	-Wl,--wrap=__isoc23_strtoull,--wrap=__isoc99_sscanf,--wrap=__snprintf_chk \
	-Wl,--wrap=__vsnprintf_chk,--wrap=fclose,--wrap=free,--wrap=pthread_atfork \
	-Wl,--wrap=pthread_key_create,--wrap=pthread_mutex_lock \
	-Wl,--wrap=pthread_mutex_trylock,--wrap=pthread_mutex_unlock,--wrap=pthread_once \
	-Wl,--wrap=pthread_setspecific,--wrap=snprintf,--wrap=strerror,--wrap=strtoull \
	-Wl,--wrap=vsnprintf

# All file systems that can be mounted, as root: makes the table in doc/design.md.
.PHONY: check-mounts
check-mounts: tests/segment/mounts
	rm -f tests/mounts.table
	SHMRING_TEST_TABLE=tests/mounts.table tests/segment/mounts --jobs 1 --verbose=1
	@LC_ALL=C sort tests/mounts.table
CLEANFILES += tests/mounts.table

# Memory is taken away while processes use it: `make soak-sigbus RACES=N`.
RACES = 10000
.PHONY: soak-sigbus
soak-sigbus: tests/segment/sigbus
	@SHMRING_TEST_RACES=$(RACES) tests/segment/sigbus --verbose=1 --filter 'sigbus/races'
