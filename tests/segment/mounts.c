/* SPDX-License-Identifier: MIT */
/*
 * File systems of all sorts, each mounted where only this test sees it: a queue on it works
 * completely, or is refused with an explanation. `make check-mounts` makes the table in
 * doc/design.md of the results. A file system that cannot be mounted is skipped: mounting needs
 * root, and a kernel or a program that has the file system.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { CANNOT = 77, CAPACITY = 65536, CREATORS = 4, ROUNDS = 10, KILLS = 20 };

/* ---- Mounting -------------------------------------------------------------------------------- */

/*
 * $D is a directory on a tmpfs of its own, and $M the mount point in it. `mount` is a command that
 * leaves it mounted; `daemon` one that serves it until it is killed.
 */
struct file_system {
    const char *name, *mount, *daemon;
    const char *after;   /* a command to run after it is unmounted */
    const char *refused; /* a part of the error detail; NULL: queues work */
    uint32_t mode;       /* 0: 0600 */
};

struct site {
    const struct file_system *fs;
    int (*check)(void *site);
    char directory[TEST_NAME_SIZE], mounted[TEST_NAME_SIZE + 8];
    char name[TEST_NAME_SIZE + 32], other[TEST_NAME_SIZE + 32];
    const char *can_poll;
};

static int run_shell(const char *command)
{
    const int status = system(command);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int serve(void *command)
{
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    dup2(nowhere, 1);
    dup2(nowhere, 2);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    return 127;
}

static dev_t device_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_dev : 0;
}

/* Start the daemon and wait until the file system is mounted, or the daemon has ended. Returns its
 * pid, or -1. */
static pid_t start_daemon(const struct site *s)
{
    char command[512];
    const pid_t pid =
        (snprintf(command, sizeof command, "exec %s", s->fs->daemon), test_fork(serve, command));

    while (device_of(s->mounted) == device_of(s->directory)) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return -1;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return pid;
}

static int run_mounted(void *argument)
{
    struct site *s = argument;
    pid_t daemon = 0;
    int r = CANNOT;

    if (!test_own_mounts() || mount("tmpfs", s->directory, "tmpfs", 0, "size=400m") < 0)
        return CANNOT;
    child_assert(mkdir(s->mounted, 0755) == 0 && setenv("D", s->directory, 1) == 0 &&
                 setenv("M", s->mounted, 1) == 0);
    if (s->fs->mount && run_shell(s->fs->mount) != 0)
        return CANNOT;
    if (s->fs->daemon)
        daemon = start_daemon(s);
    if (daemon >= 0)
        r = test_run(s->check, s);
    umount2(s->mounted, MNT_DETACH);
    if (daemon > 0) {
        kill(daemon, SIGKILL);
        waitpid(daemon, NULL, 0);
    }
    if (s->fs->after)
        run_shell(s->fs->after);
    return r;
}

static void on(const struct file_system *fs, int (*check)(void *))
{
    struct site s = {.fs = fs, .check = check};

    if (geteuid() != 0)
        cr_skip_test("not root");
    test_directory(s.directory);
    snprintf(s.mounted, sizeof s.mounted, "%s/m", s.directory);
    snprintf(s.name, sizeof s.name, "file:%s/queue", s.mounted);
    snprintf(s.other, sizeof s.other, "file:%s/other", s.mounted);
    const int r = test_run(run_mounted, &s);
    if (r == CANNOT)
        cr_skip_test("%s cannot be mounted here", fs->name);
    cr_assert_eq(r, 0, "%s", fs->name);
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Write a line of the table to the file that $SHMRING_TEST_TABLE names, if it is set. */
static void add_row(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add_row(const char *format, ...)
{
    const char *path = getenv("SHMRING_TEST_TABLE");
    FILE *table = path ? fopen(path, "ae") : NULL;
    va_list args;

    if (!table)
        return;
    va_start(args, format);
    vfprintf(table, format, args);
    va_end(args);
    fclose(table);
}

/* ---- What a queue should be ------------------------------------------------------------------ */

static struct shmring_config spsc(const struct site *s, uint32_t flags)
{
    return (struct shmring_config){
        .kind = SHMRING_SPSC, .flags = flags, .capacity = CAPACITY, .mode = s->fs->mode};
}

struct holder {
    const char *name;
    int end;
};

static int hold_role(void *argument)
{
    const struct holder *h = argument;
    shmring_t *q;

    child_assert(shmring_open(&q, h->name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_send(q, "from the dead", 13) == 0);
    test_tell(h->end);
    pause();
    return 1;
}

static int hold_message(void *argument)
{
    const struct holder *h = argument;
    const void *message;
    shmring_t *q;

    child_assert(shmring_open(&q, h->name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_peek(q, &message, NULL) == 3);
    test_tell(h->end);
    pause();
    return 1;
}

static pid_t start(int (*body)(void *), const char *name)
{
    struct holder holder = {.name = name};
    int ends[2];

    test_pipe(ends);
    holder.end = ends[1];
    const pid_t pid = test_fork(body, &holder);
    close(ends[1]);
    test_hear(ends[0]);
    close(ends[0]);
    return pid;
}

static void check_second_producer_and_takeover(const struct site *s)
{
    char bytes[16];
    shmring_t *q, *consumer;
    const pid_t first = start(hold_role, s->name);

    child_refused(shmring_open(&q, s->name, SHMRING_PRODUCER), EBUSY, "held by pid");
    test_kill(first);
    child_assert(shmring_open(&q, s->name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_send(q, "hello", 5) == 0);
    child_assert(shmring_open(&consumer, s->name, SHMRING_CONSUMER) == 0);
    child_assert(shmring_recv(consumer, bytes, sizeof bytes) == 13);
    child_assert(shmring_recv(consumer, bytes, sizeof bytes) == 5);
    shmring_close(&consumer);
    shmring_close(&q);
}

static void check_recovery(const struct site *s)
{
    const struct shmring_config config = {.kind = SHMRING_MPMC,
                                          .flags = SHMRING_PRODUCER | SHMRING_CONSUMER,
                                          .capacity = 8,
                                          .max_message = 64,
                                          .mode = s->fs->mode};
    struct shmring_info info;
    const void *message;
    char bytes[16];
    shmring_t *q;

    child_assert(shmring_create(&q, s->other, &config) == 0);
    child_assert(shmring_send(q, "job", 3) == 0);
    const pid_t holder = start(hold_message, s->other);
    child_assert(shmring_recover(q, NULL) == 0);
    child_assert(shmring_recv(q, bytes, sizeof bytes) == -EAGAIN);
    test_kill(holder);
    child_assert(shmring_recover(q, NULL) == 1);
    child_assert(shmring_peek(q, &message, &info) == 3 && info.flags == SHMRING_REDELIVERED);
    child_assert(shmring_release(q, message) == 0);
    shmring_close(&q);
    child_assert(shmring_unlink(s->other) == 0);
}

struct race {
    const struct site *s;
    struct gate gate;
};

static int create_or_open(void *argument)
{
    const struct race *race = argument;
    const struct shmring_config config = spsc(race->s, SHMRING_OPEN_OR_CREATE);
    shmring_t *q;

    gate_wait(&race->gate);
    const int r = shmring_create(&q, race->s->other, &config);
    child_assert(r == 0 || r == -EAGAIN); /* another process is still creating it */
    return r == 0 ? 0 : 1;
}

static void check_race(const struct site *s)
{
    struct race race = {.s = s};
    pid_t pids[CREATORS];

    for (int round = 0; round < ROUNDS; round++) {
        int created = 0;
        gate_init(&race.gate);
        for (int i = 0; i < CREATORS; i++)
            pids[i] = test_fork(create_or_open, &race);
        gate_open(&race.gate, CREATORS);
        for (int i = 0; i < CREATORS; i++) {
            const int r = test_wait(pids[i]);
            child_assert(r == 0 || r == 1);
            created += r == 0;
        }
        child_assert(created > 0);
        child_assert(shmring_unlink(s->other) == 0);
    }
}

static int create_and_stay(void *argument)
{
    const struct race *race = argument;
    const struct shmring_config config = spsc(race->s, SHMRING_PRODUCER);
    shmring_t *q;

    gate_wait(&race->gate);
    child_assert(shmring_create(&q, race->s->other, &config) == 0);
    pause();
    return 1;
}

/* At whatever moment a creator is killed, the next process opens its queue, or creates one. */
static void check_killed_creators(const struct site *s)
{
    const struct shmring_config config = spsc(s, SHMRING_PRODUCER | SHMRING_OPEN_OR_CREATE);
    struct race race = {.s = s};
    shmring_t *q;

    for (int i = 0; i < KILLS; i++) {
        gate_init(&race.gate);
        const pid_t pid = test_fork(create_and_stay, &race);
        gate_open(&race.gate, 1);
        nanosleep(&(struct timespec){.tv_nsec = i * 100000}, NULL);
        test_kill(pid);
        child_assert(shmring_create(&q, s->other, &config) == 0);
        child_assert(shmring_send(q, "hello", 5) == 0);
        shmring_close(&q);
        child_assert(shmring_unlink(s->other) == 0);
        child_assert(test_count_files(s->mounted) <= 2); /* the queue, and ext4's lost+found */
    }
}

static void fill_to_the_brim(const struct site *s)
{
    static char bytes[1 << 20];
    char path[TEST_NAME_SIZE + 32];

    snprintf(path, sizeof path, "%s/ballast", s->mounted);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    child_assert(fd >= 0);
    /* fsync(), because FUSE may accept more than there is room for, and lose it. */
    for (size_t n = sizeof bytes; n >= 4096; n /= 16)
        while (write(fd, bytes, n) > 0 && fsync(fd) == 0)
            continue;
    close(fd);
}

static int use(const struct site *s, int messages)
{
    static char bytes[4000];
    shmring_t *producer, *consumer;

    child_assert(shmring_open(&producer, s->name, SHMRING_PRODUCER) == 0);
    child_assert(shmring_open(&consumer, s->name, SHMRING_CONSUMER) == 0);
    for (int i = 0; i < messages; i++) {
        child_assert(shmring_send(producer, bytes, sizeof bytes) == 0);
        child_assert(shmring_recv(consumer, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    }
    shmring_close(&consumer);
    shmring_close(&producer);
    return 0;
}

/* Three times round the ring. */
static int use_all(void *site)
{
    return use(site, 3 * CAPACITY / 4000);
}

static int use_little(void *site)
{
    return use(site, 2);
}

static void check_full(struct site *s)
{
    const struct shmring_config config = spsc(s, 0);
    shmring_t *q;

    child_assert(test_run(use_all, s) == 0);
    sync();
    fill_to_the_brim(s);
    child_assert(test_run(use_all, s) == 0);
    child_assert(shmring_create(&q, s->other, &config) == -ENOSPC);
    child_assert(strlen(shmring_strerror_detail()) > 0);
}

/* A descriptor to wait by takes a FIFO, which not every file system has. */
static void check_descriptor(struct site *s)
{
    shmring_t *q;

    child_assert(shmring_open(&q, s->name, SHMRING_CONSUMER) == 0);
    const int r = shmring_fd(q, SHMRING_READABLE);
    child_assert(r >= 0 || (r == -EOPNOTSUPP && strstr(shmring_strerror_detail(), "no FIFOs")));
    s->can_poll = r >= 0 ? "yes" : "no: no FIFOs";
    shmring_close(&q);
}

static int check_queues(void *argument)
{
    struct site *s = argument;
    const struct shmring_config config = spsc(s, 0);
    const int files = test_count_files(s->mounted);
    struct stat st;
    shmring_t *q;
    const int r = shmring_create(&q, s->name, &config);

    if (s->fs->refused) {
        child_assert(r == -EOPNOTSUPP);
        child_assert(strstr(shmring_strerror_detail(), s->fs->refused));
        child_assert(test_count_files(s->mounted) == files);
        add_row("| %s | refused: %s | | | | |\n", s->fs->name, s->fs->refused);
        return 0;
    }
    child_assert(r == 0);
    child_assert(fstat(shmring_segment_fd(q), &st) == 0);
    child_assert((st.st_mode & 0777) == (s->fs->mode ? s->fs->mode : 0600));
    shmring_close(&q);
    check_second_producer_and_takeover(s);
    check_recovery(s);
    check_race(s);
    check_killed_creators(s);
    check_descriptor(s);
    check_full(s);
    add_row("| %s | yes | yes | yes | yes | %s |\n", s->fs->name, s->can_poll);
    child_assert(shmring_unlink(s->name) == 0);
    return 0;
}

/* A shorter check, for a file system that is slow at each page when it is full. */
static int check_little(void *argument)
{
    struct site *s = argument;
    const struct shmring_config config = spsc(s, 0);
    shmring_t *q;

    child_assert(shmring_create(&q, s->name, &config) == 0);
    shmring_close(&q);
    check_second_producer_and_takeover(s);
    check_recovery(s);
    check_race(s);
    check_killed_creators(s);
    check_descriptor(s);
    child_assert(test_run(use_all, s) == 0);
    fill_to_the_brim(s);
    child_assert(test_run(use_little, s) == 0);
    add_row("| %s | yes | yes | yes | yes, but milliseconds a page | %s |\n", s->fs->name,
            s->can_poll);
    return 0;
}

/* A copy that shares its blocks: writing to it takes space, so the library must allocate that
 * before the first message. */
static int check_reflink(void *argument)
{
    struct site *s = argument;
    const struct shmring_config config = spsc(s, 0);
    const char *fill =
        "cp --reflink=always $M/queue $M/other && dd if=/dev/zero of=$M/more bs=1M count=4 "
        "2>/dev/null && sync";
    shmring_t *q;

    child_assert(shmring_create(&q, s->name, &config) == 0);
    shmring_close(&q);
    child_assert(test_run(use_all, s) == 0);
    child_assert(run_shell(fill) == 0);
    fill_to_the_brim(s);
    child_refused(shmring_open(&q, s->other, SHMRING_PRODUCER), ENOSPC,
                  "are shared with a snapshot");
    child_assert(shmring_open(&q, s->other, SHMRING_OBSERVER) == 0);
    shmring_close(&q);
    child_assert(run_shell("rm $M/more && sync") == 0);
    strcpy(s->name, s->other);
    child_assert(test_run(use_all, s) == 0);
    return 0;
}

/* ---- The file systems ------------------------------------------------------------------------ */

#define LAYERS "mkdir $D/o && mount -t tmpfs -o size=4m none $D/o && mkdir $D/o/l $D/o/u $D/o/w"

#define IMAGE(Size, Make) "{ truncate -s " Size " $D/image && " Make " $D/image; } >$D/log 2>&1 && "
#define LOOP              "mount -o loop $D/image $M 2>>$D/log"

#define ON(Case, ...)                                                                              \
    Test(mounts, Case)                                                                             \
    {                                                                                              \
        static const struct file_system fs = {__VA_ARGS__};                                        \
        on(&fs, check_queues);                                                                     \
    }

/* clang-format off */
ON(tmpfs, .name = "tmpfs", .mount = "mount -t tmpfs -o size=4m none $M")
ON(ext4, .name = "ext4", .mount = IMAGE("16M", "mkfs.ext4 -q -F") LOOP)
ON(xfs, .name = "xfs", .mount = IMAGE("300M", "mkfs.xfs -q -f") LOOP)
ON(btrfs, .name = "btrfs", .mount = IMAGE("120M", "mkfs.btrfs -q -f") LOOP,
   .refused = "btrfs copies on write")
ON(vfat, .name = "vfat", .mount = IMAGE("16M", "mkfs.vfat") LOOP,
   .refused = "vfat makes its mode 0755, not 0600")
ON(vfat_mode, .name = "vfat, mode 0755", .mount = IMAGE("16M", "mkfs.vfat") LOOP, .mode = 0755)
ON(exfat, .name = "exfat",
   .mount = IMAGE("16M", "mkfs.exfat") "mount -i -t exfat -o loop $D/image $M 2>>$D/log",
   .refused = "exfat makes its mode 0755, not 0600")
ON(bindfs, .name = "FUSE: bindfs",
   .mount = "mkdir $D/from && mount -t tmpfs -o size=4m none $D/from",
   .daemon = "bindfs -f $D/from $M")
ON(direct_io, .name = "FUSE: bindfs, direct_io",
   .mount = "mkdir $D/from",
   .daemon = "bindfs -f -o direct_io $D/from $M",
   .refused = "FUSE does not let files be mapped")
ON(ntfs_3g, .name = "FUSE: ntfs-3g",
   .mount = IMAGE("16M", "mkntfs -q -F -Q") "true",
   .daemon = "ntfs-3g -o no_detach $D/image $M",
   .refused = "FUSE makes its mode 0777, not 0600")
ON(ntfs_3g_permissions, .name = "FUSE: ntfs-3g, permissions",
   .mount = IMAGE("16M", "mkntfs -q -F -Q") "true",
   .daemon = "ntfs-3g -o no_detach,permissions $D/image $M")
ON(exfat_fuse, .name = "FUSE: exfat-fuse",
   .mount = IMAGE("16M", "mkfs.exfat") "losetup -f --show $D/image >$D/loop",
   .daemon = "mount.exfat-fuse -d $(cat $D/loop) $M", .after = "losetup -d $(cat $D/loop)",
   .refused = "FUSE makes its mode 0777, not 0600")
ON(fuse_overlayfs, .name = "FUSE: fuse-overlayfs",
   .mount = LAYERS,
   .daemon = "fuse-overlayfs -f -o lowerdir=$D/o/l,upperdir=$D/o/u,workdir=$D/o/w $M")
ON(sshfs, .name = "FUSE: sshfs",
   .mount = "mkdir $D/from && mount -t tmpfs -o size=4m none $D/from && "
            "test -x /usr/lib/openssh/sftp-server && "
            "printf '#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n' >$D/ssh && chmod +x $D/ssh",
   .daemon = "sshfs -f -o ssh_command=$D/ssh host:$D/from $M")
ON(overlayfs, .name = "overlayfs on tmpfs",
   .mount = LAYERS " && mount -t overlay none -o lowerdir=$D/o/l,upperdir=$D/o/u,workdir=$D/o/w $M")
ON(overlayfs_ext4, .name = "overlayfs on ext4",
   .mount = "mkdir $D/o && " IMAGE("16M", "mkfs.ext4 -q -F") "mount -o loop $D/image $D/o && "
            "mkdir $D/o/l $D/o/u $D/o/w && "
            "mount -t overlay none -o lowerdir=$D/o/l,upperdir=$D/o/u,workdir=$D/o/w $M")

/* Where a directory has the attribute C btrfs writes in place: mappings too from Linux 6.16 on. */
#define BTRFS_C IMAGE("120M", "mkfs.btrfs -q -f") LOOP " && chattr +C $M 2>>$D/log"

static bool is_linux_6_16(void)
{
    struct utsname kernel;
    int major = 0, minor = 0;

    cr_assert(uname(&kernel) == 0 && sscanf(kernel.release, "%d.%d", &major, &minor) == 2);
    return major > 6 || (major == 6 && minor >= 16);
}

Test(mounts, btrfs_in_place, .timeout = 120)
{
    static struct file_system fs = {.name = "btrfs, attribute C", .mount = BTRFS_C};

    if (!is_linux_6_16())
        fs.refused = "btrfs of Linux";
    on(&fs, fs.refused ? check_queues : check_little);
}

Test(mounts, btrfs_in_place_of_an_older_kernel)
{
    static const struct file_system fs = {
        .name = "btrfs, attribute C, Linux 6.15",
        .mount = BTRFS_C,
        .refused = "btrfs of Linux 2.6",
    };

    cr_assert_geq(personality(UNAME26), 0);
    on(&fs, check_queues);
}

Test(mounts, xfs_reflink)
{
    static const struct file_system fs = {
        .name = "xfs",
        .mount = IMAGE("300M", "mkfs.xfs -q -f") LOOP,
    };

    on(&fs, check_reflink);
}

Test(mounts, btrfs_reflink, .timeout = 120)
{
    static const struct file_system fs = {.name = "btrfs, attribute C", .mount = BTRFS_C};

    if (!is_linux_6_16())
        cr_skip_test("btrfs of this kernel is refused");
    on(&fs, check_reflink);
}
/* clang-format on */
