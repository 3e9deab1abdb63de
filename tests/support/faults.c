/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#if !defined MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* ---- What can fail, and how ------------------------------------------------------------------ */

/*
 * EINTR and EIO are returned by file systems on other machines, and in user space. The list does
 * not have functions that cannot fail in the way the library calls them (munmap of a whole mapping,
 * clock_gettime, epoll_wait that does not wait, getpid, prctl(PR_GET_NAME), sigaction).
 */
const struct fallible fallible[FALLIBLE] = {
    [CALL_ACCESS] = {"access", {ENOENT, EACCES}},
    [CALL_ASPRINTF] = {"asprintf", {ENOMEM}},
    [CALL_CALLOC] = {"calloc", {ENOMEM}},
    [CALL_CHMOD] = {"chmod", {EPERM, EIO}},
    [CALL_CLOSE] = {"close", {EINTR, EIO}},
    [CALL_DUP] = {"dup3", {EBUSY, EINTR, EPERM}},
    [CALL_EPOLL_CREATE] = {"epoll_create1", {EMFILE, ENFILE, ENOMEM}},
    [CALL_EPOLL_CTL] = {"epoll_ctl", {ENOMEM, ENOSPC}},
    [CALL_FCHMOD] = {"fchmod", {EPERM, EIO, EROFS, EINTR}},
    [CALL_FCHOWN] = {"fchown", {EPERM, EIO}},
    [CALL_GET_LOCK] = {"fcntl(F_OFD_GETLK)", {ENOLCK, EIO, EINTR}},
    [CALL_GET_SEALS] = {"fcntl(CALL_GET_SEALS)", {EINVAL}},
    [CALL_SEAL] = {"fcntl(F_ADD_SEALS)", {EBUSY, EPERM}},
    [CALL_SET_LOCK] = {"fcntl(F_OFD_SETLK)", {EAGAIN, EACCES, ENOLCK, EINTR}},
    [CALL_FGETS] = {"fgets", {EIO}},
    [CALL_FLOCK] = {"flock", {EWOULDBLOCK, EINTR, ENOLCK}},
    [CALL_FOPEN] = {"fopen", {ENOENT, EMFILE, EACCES}},
    [CALL_FSTAT] = {"fstat", {EIO, ENOMEM, EOVERFLOW}},
    [CALL_FSTATFS] = {"fstatfs", {ENOSYS, EINTR, EIO}},
    [CALL_FSTATVFS] = {"fstatvfs", {ENOSYS, EINTR, EIO}},
    [CALL_GETCWD] = {"getcwd", {ENOENT, EACCES, ERANGE}},
    [CALL_GETRLIMIT] = {"getrlimit", {EPERM}},
    [CALL_INOTIFY_ADD] = {"inotify_add_watch", {EACCES, ENOENT, ENOMEM, ENOSPC, ENOTDIR}},
    [CALL_INOTIFY_INIT] = {"inotify_init1", {EMFILE, ENFILE, ENOMEM}},
    [CALL_LINK] = {"link", {EEXIST, EPERM, ENOSPC, EROFS, ENOENT}},
    [CALL_LINKAT] = {"linkat", {EEXIST, EPERM, ENOSPC, EACCES, EROFS, ENOENT, ENOTDIR, ENOMEM}},
    [CALL_LSTAT] = {"lstat", {ENOENT, EACCES, EIO}},
    [CALL_MADVISE] = {"madvise", {ENOMEM, EAGAIN}},
    [CALL_POPULATE] = {"madvise(MADV_POPULATE_READ)", {EINVAL, ENOMEM, EFAULT, EAGAIN, EINTR}},
    [CALL_WIPE] = {"madvise(MADV_WIPEONFORK)", {EINVAL, ENOMEM, EAGAIN}},
    [CALL_MALLOC] = {"malloc", {ENOMEM}},
    [CALL_MEMALIGN] = {"posix_memalign", {ENOMEM}},
    [CALL_MEMFD] = {"memfd_create", {EMFILE, ENFILE, ENOMEM, EPERM, ENOSYS}},
    [CALL_MKFIFO] = {"mkfifo", {EEXIST, EACCES, ENOSPC, EROFS, ENOENT, EDQUOT}},
    [CALL_MLOCK] = {"mlock", {ENOMEM, EAGAIN, EPERM}},
    [CALL_MMAP] = {"mmap", {ENOMEM, EAGAIN, EACCES, ENODEV, EPERM, ENFILE}},
    [CALL_OPEN] = {"open",
                   {EACCES, EMFILE, ENFILE, ENOMEM, ENOENT, EAGAIN, EINTR, EIO, ELOOP, ENOTDIR,
                    EISDIR, ENOSPC, EROFS, EPERM, EDQUOT}},
    [CALL_TMPFILE] = {"open(O_TMPFILE)",
                      {EOPNOTSUPP, EISDIR, EACCES, EMFILE, ENFILE, ENOMEM, ENOENT, EAGAIN, EINTR,
                       EIO, ENOTDIR, ENOSPC, EROFS, EPERM, EDQUOT}},
    [CALL_OPENAT] = {"openat", {ENOENT, EACCES, EMFILE}},
    [CALL_DONTDUMP] = {"madvise(MADV_DONTDUMP)", {EINVAL, ENOMEM, EAGAIN}},
    [CALL_FALLOCATE] = {"fallocate", {ENOSPC, EFBIG, EIO, EDQUOT, EINTR, EOPNOTSUPP, ENOSYS}},
    [CALL_IOCTL] = {"ioctl", {ENOTTY, EOPNOTSUPP, EPERM, EINVAL, ENOMEM}},
    [CALL_LSEEK] = {"lseek", {EINVAL, ENXIO, EIO}},
    [CALL_UNAME] = {"uname", {EFAULT}},
    [CALL_PPOLL] = {"ppoll", {EINTR, ENOMEM}},
    [CALL_PREAD] = {"pread", {EIO, EINTR, CUT_SHORT}},
    [CALL_PWRITE] = {"pwrite", {ENOSPC, EIO, EDQUOT, EFBIG, EINTR, CUT_SHORT}},
    [CALL_READ] = {"read", {EIO, EINTR, EAGAIN, CUT_SHORT}},
    [CALL_READLINK] = {"readlink", {EACCES, ENOENT, ENOMEM, CUT_SHORT}},
    [CALL_STAT] = {"stat", {ENOENT, EACCES, EIO}},
    [CALL_STATFS] = {"statfs", {ENOSYS, EINTR, EIO}},
    [CALL_CLOCK] = {"clock_gettime(2)", {EPERM, ENOSYS}},
    [CALL_FUTEX_WAIT] = {"futex(FUTEX_WAIT)", {EINTR, EAGAIN, ETIMEDOUT, ENOSYS, EPERM}},
    [CALL_FUTEX_WAITV] = {"futex_waitv", {ENOSYS, EPERM, EINVAL, EINTR, EAGAIN, ETIMEDOUT, ENOMEM}},
    [CALL_FUTEX_WAKE] = {"futex(FUTEX_WAKE)", {ENOSYS, EPERM}},
    [CALL_MEMBARRIER] = {"membarrier", {ENOSYS, EPERM, EINVAL}},
    [CALL_TIMERFD_CREATE] = {"timerfd_create", {EMFILE, ENFILE, ENOMEM, ENODEV}},
    [CALL_TIMERFD_SET] = {"timerfd_settime", {ENOMEM}},
    [CALL_UNLINK] = {"unlink", {EACCES, EPERM, EROFS, ENOENT, EBUSY, EIO}},
    [CALL_UNLINKAT] = {"unlinkat", {EACCES, EPERM, ENOENT}},
    [CALL_WRITE] = {"write", {EAGAIN, EINTR}},
};

struct plan plan;

void plan_fault(int function, int error, int nth, bool on)
{
    plan = (struct plan){.function = function,
                         .error = error,
                         .nth = nth,
                         .for_ever = on,
                         .active = true,
                         .no_tmpfile = plan.no_tmpfile,
                         .on_sleep = plan.on_sleep,
                         .file_system = plan.file_system};
}

void plan_end(void)
{
    plan.active = false;
}

/* The library calls the function: shall this call fail? */
static bool fails(enum function function)
{
    int n;

    if (!plan.active)
        return false;
    n = ++plan.calls[function];
    if (function != (enum function)plan.function ||
        !(plan.for_ever ? n >= plan.nth : n == plan.nth))
        return false;
    plan.fired = true;
    errno = plan.error;
    return true;
}

/* ---- The functions that the library calls in place of libc's --------------------------------- */

/*
 * Each has the name by which the linker knows it: in a build for 32 bits with wide offsets or
 * times, open() is open64(), and so on.
 */
#if defined __USE_FILE_OFFSET64
#define LARGE "64"
#else
#define LARGE ""
#endif
/* glibc 2.40 and later defines __USE_TIME_BITS64 for 64 bits too. */
#if defined __USE_TIME_BITS64 && __TIMESIZE == 32
#define TIMED(Name, Wide) Wide
#else
#define TIMED(Name, Wide) Name
#endif

#define REPLACE_AS(Symbol, Name, Type, Parameters)                                                 \
    Type __real_##Name Parameters __asm__("__real_" Symbol);                                       \
    Type __wrap_##Name Parameters __asm__("__wrap_" Symbol);                                       \
    Type __wrap_##Name Parameters
#define REPLACE(Name, Type, Parameters) REPLACE_AS(#Name, Name, Type, Parameters)

#define REPLACE_PLAIN_AS(Symbol, Name, Function, Type, Failed, Parameters, Arguments)              \
    REPLACE_AS(Symbol, Name, Type, Parameters)                                                     \
    {                                                                                              \
        return fails(Function) ? Failed : __real_##Name Arguments;                                 \
    }
#define REPLACE_PLAIN(Name, ...) REPLACE_PLAIN_AS(#Name, Name, __VA_ARGS__)
#define REPLACE_LARGE(Name, ...) REPLACE_PLAIN_AS(#Name LARGE, Name, __VA_ARGS__)

REPLACE_PLAIN(access, CALL_ACCESS, int, -1, (const char *path, int how), (path, how))
REPLACE_PLAIN(calloc, CALL_CALLOC, void *, NULL, (size_t n, size_t size), (n, size))
REPLACE_PLAIN(chmod, CALL_CHMOD, int, -1, (const char *path, mode_t mode), (path, mode))
REPLACE_PLAIN(epoll_create1, CALL_EPOLL_CREATE, int, -1, (int flags), (flags))
REPLACE_PLAIN(epoll_ctl, CALL_EPOLL_CTL, int, -1,
              (int epoll, int how, int fd, struct epoll_event *event), (epoll, how, fd, event))
REPLACE_PLAIN(fchmod, CALL_FCHMOD, int, plan.error == DOES_NOTHING ? 0 : -1, (int fd, mode_t mode),
              (fd, mode))
REPLACE_PLAIN(dup3, CALL_DUP, int, -1, (int from, int to, int flags), (from, to, flags))
REPLACE_PLAIN(fchown, CALL_FCHOWN, int, -1, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
REPLACE_PLAIN(fgets, CALL_FGETS, char *, NULL, (char *line, int size, FILE *f), (line, size, f))
REPLACE_PLAIN(flock, CALL_FLOCK, int, -1, (int fd, int how), (fd, how))
REPLACE_LARGE(fopen, CALL_FOPEN, FILE *, NULL, (const char *path, const char *how), (path, how))
REPLACE_PLAIN_AS(TIMED("fstat" LARGE, "__fstat64_time64"), fstat, CALL_FSTAT, int, -1,
                 (int fd, struct stat *st), (fd, st))
REPLACE_LARGE(fstatvfs, CALL_FSTATVFS, int, -1, (int fd, struct statvfs *fs), (fd, fs))
REPLACE_PLAIN(getcwd, CALL_GETCWD, char *, NULL, (char *path, size_t size), (path, size))
REPLACE_LARGE(getrlimit, CALL_GETRLIMIT, int, -1, (__rlimit_resource_t what, struct rlimit *limit),
              (what, limit))
REPLACE_PLAIN(inotify_add_watch, CALL_INOTIFY_ADD, int, -1,
              (int fd, const char *path, uint32_t events), (fd, path, events))
REPLACE_PLAIN(inotify_init1, CALL_INOTIFY_INIT, int, -1, (int flags), (flags))
REPLACE_PLAIN(link, CALL_LINK, int, -1, (const char *from, const char *to), (from, to))
REPLACE_PLAIN(linkat, CALL_LINKAT, int, -1,
              (int from_fd, const char *from, int to_fd, const char *to, int flags),
              (from_fd, from, to_fd, to, flags))
REPLACE_PLAIN_AS(TIMED("lstat" LARGE, "__lstat64_time64"), lstat, CALL_LSTAT, int, -1,
                 (const char *path, struct stat *st), (path, st))
REPLACE_PLAIN(malloc, CALL_MALLOC, void *, NULL, (size_t size), (size))
REPLACE_PLAIN(memfd_create, CALL_MEMFD, int, -1, (const char *name, unsigned flags), (name, flags))
REPLACE_PLAIN(mkfifo, CALL_MKFIFO, int, -1, (const char *path, mode_t mode), (path, mode))
REPLACE_PLAIN(mlock, CALL_MLOCK, int, -1, (const void *at, size_t length), (at, length))
REPLACE_LARGE(mmap, CALL_MMAP, void *, MAP_FAILED,
              (void *at, size_t length, int protection, int flags, int fd, off_t offset),
              (at, length, protection, flags, fd, offset))
REPLACE_LARGE(fallocate, CALL_FALLOCATE, int, -1, (int fd, int mode, off_t offset, off_t length),
              (fd, mode, offset, length))
REPLACE_LARGE(lseek, CALL_LSEEK, off_t, -1, (int fd, off_t offset, int whence),
              (fd, offset, whence))
REPLACE_PLAIN(uname, CALL_UNAME, int, -1, (struct utsname * name), (name))
REPLACE_PLAIN(posix_memalign, CALL_MEMALIGN, int, plan.error,
              (void **memory, size_t alignment, size_t size), (memory, alignment, size))
REPLACE_PLAIN_AS(TIMED("stat" LARGE, "__stat64_time64"), stat, CALL_STAT, int, -1,
                 (const char *path, struct stat *st), (path, st))
REPLACE_LARGE(statfs, CALL_STATFS, int, -1, (const char *path, struct statfs *fs), (path, fs))
REPLACE_PLAIN(timerfd_create, CALL_TIMERFD_CREATE, int, -1, (int clock, int flags), (clock, flags))
REPLACE_PLAIN_AS(TIMED("timerfd_settime", "__timerfd_settime64"), timerfd_settime, CALL_TIMERFD_SET,
                 int, -1,
                 (int fd, int flags, const struct itimerspec *time, struct itimerspec *was),
                 (fd, flags, time, was))
REPLACE_PLAIN(unlink, CALL_UNLINK, int, -1, (const char *path), (path))
REPLACE_PLAIN(unlinkat, CALL_UNLINKAT, int, -1, (int fd, const char *path, int flags),
              (fd, path, flags))

/* If the plan is CUT_SHORT, they do half of what the library asks for. */
#define REPLACE_BYTES(Symbol, Name, Function, Parameters, Arguments)                               \
    REPLACE_AS(Symbol, Name, ssize_t, Parameters)                                                  \
    {                                                                                              \
        if (fails(Function)) {                                                                     \
            if (plan.error != CUT_SHORT)                                                           \
                return -1;                                                                         \
            n /= 2;                                                                                \
        }                                                                                          \
        return __real_##Name Arguments;                                                            \
    }

REPLACE_BYTES("pread" LARGE, pread, CALL_PREAD, (int fd, void *bytes, size_t n, off_t at),
              (fd, bytes, n, at))
REPLACE_BYTES("pwrite" LARGE, pwrite, CALL_PWRITE, (int fd, const void *bytes, size_t n, off_t at),
              (fd, bytes, n, at))
REPLACE_BYTES("read", read, CALL_READ, (int fd, void *bytes, size_t n), (fd, bytes, n))
REPLACE_BYTES("readlink", readlink, CALL_READLINK, (const char *path, char *bytes, size_t n),
              (path, bytes, n))
REPLACE_BYTES("write", write, CALL_WRITE, (int fd, const void *bytes, size_t n), (fd, bytes, n))

/* close() closes the descriptor also when it returns an error. */
REPLACE(close, int, (int fd))
{
    const int r = __real_close(fd);

    return fails(CALL_CLOSE) ? -1 : r;
}

REPLACE(asprintf, int, (char **text, const char *format, ...))
{
    va_list args;

    if (fails(CALL_ASPRINTF))
        return -1;
    va_start(args, format);
    const int n = vasprintf(text, format, args);
    va_end(args);
    return n;
}

/* The same functions by the names that -D_FORTIFY_SOURCE uses. */
REPLACE(__asprintf_chk, int, (char **text, int flag, const char *format, ...))
{
    va_list args;

    (void)flag;
    if (fails(CALL_ASPRINTF))
        return -1;
    va_start(args, format);
    const int n = vasprintf(text, format, args);
    va_end(args);
    return n;
}

REPLACE_AS("fstatfs" LARGE, fstatfs, int, (int fd, struct statfs *fs))
{
    if (fails(CALL_FSTATFS))
        return -1;
    const int r = __real_fstatfs(fd, fs);

    if (r == 0 && plan.active && plan.file_system)
        fs->f_type = plan.file_system;
    return r;
}

REPLACE(ioctl, int, (int fd, unsigned long request, void *argument))
{
    if (fails(CALL_IOCTL))
        return -1;
    if (!plan.active || !plan.file_system || request == FS_IOC_FIEMAP)
        return __real_ioctl(fd, request, argument);
    if (request == FS_IOC_GETFLAGS)
        *(int *)argument = FS_NOCOW_FL;
    return 0;
}

REPLACE_AS("open" LARGE, open, int, (const char *path, int flags, ...))
{
    va_list args;

    const bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    if (fails(unnamed ? CALL_TMPFILE : CALL_OPEN))
        return -1;
    if (plan.active && plan.no_tmpfile && unnamed) {
        errno = EOPNOTSUPP;
        return -1;
    }
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT || unnamed ? va_arg(args, mode_t) : 0;
    va_end(args);
    return __real_open(path, flags, mode);
}

/* open() without a mode, by the name that -D_FORTIFY_SOURCE uses. */
REPLACE_AS("__open" LARGE "_2", __open_2, int, (const char *path, int flags))
{
    return fails(CALL_OPEN) ? -1 : __real___open_2(path, flags);
}

/* The caller did not pass O_CREAT. */
REPLACE_AS("openat" LARGE, openat, int, (int directory, const char *path, int flags, ...))
{
    return fails(CALL_OPENAT) ? -1 : __real_openat(directory, path, flags);
}

REPLACE_AS(TIMED("fcntl" LARGE, "__fcntl_time64"), fcntl, int, (int fd, int command, ...))
{
    const enum function function = command == F_OFD_GETLK   ? CALL_GET_LOCK
                                   : command == F_OFD_SETLK ? CALL_SET_LOCK
                                   : command == F_ADD_SEALS ? CALL_SEAL
                                                            : CALL_GET_SEALS;
    va_list args;

    if (fails(function))
        return -1;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return __real_fcntl(fd, command, argument);
}

REPLACE(madvise, int, (void *at, size_t length, int advice))
{
    const enum function function = advice == MADV_WIPEONFORK ? CALL_WIPE
                                   : advice == MADV_DONTFORK ? CALL_MADVISE
                                   : advice == MADV_DONTDUMP ? CALL_DONTDUMP
                                                             : CALL_POPULATE;

    return fails(function) ? -1 : __real_madvise(at, length, advice);
}

REPLACE_AS(TIMED("ppoll", "__ppoll64"), ppoll, int,
           (struct pollfd * polled, nfds_t n, const struct timespec *limit, const sigset_t *mask))
{
    if (fails(CALL_PPOLL))
        return -1;
    if (plan.active && plan.on_sleep) {
        plan.active = false;
        plan.on_sleep();
        plan.active = true;
    }
    return __real_ppoll(polled, n, limit, mask);
}

static enum function function_of(long number, long command)
{
#if defined SYS_futex_waitv
    if (number == SYS_futex_waitv)
        return CALL_FUTEX_WAITV;
#endif
    if (number == SYS_membarrier)
        return CALL_MEMBARRIER;
#if defined SYS_clock_gettime64
    if (number == SYS_clock_gettime64)
        return CALL_CLOCK;
#endif
    if (number == SYS_clock_gettime)
        return CALL_CLOCK;
    return command == FUTEX_WAKE ? CALL_FUTEX_WAKE : CALL_FUTEX_WAIT;
}

REPLACE(syscall, long, (long number, ...))
{
    va_list args;
    long a[6];

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    const enum function function = function_of(number, a[1]);
    if (fails(function))
        return -1;
    if (plan.active && plan.on_sleep &&
        (function == CALL_FUTEX_WAIT || function == CALL_FUTEX_WAITV)) {
        plan.active = false;
        plan.on_sleep();
        plan.active = true;
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
