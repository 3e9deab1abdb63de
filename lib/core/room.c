/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "core/room.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "core/file_system.h"

/* Call `take` with each line of the file until it returns true. */
static void for_each_line(const char *path, bool (*take)(const char *line, void *), void *argument)
{
    char line[4096];
    FILE *f = fopen(path, "re");

    while (f && fgets(line, sizeof line, f))
        if (take(line, argument))
            break;
    if (f)
        fclose(f);
}

static bool take_number(const char *line, void *number)
{
    return sscanf(line, "%" SCNu64, (uint64_t *)number) == 1;
}

/* The number in a file; `otherwise` if the file has none (but "max"), or does not exist. */
static uint64_t read_number(const char *path, uint64_t otherwise)
{
    for_each_line(path, take_number, &otherwise);
    return otherwise;
}

uint64_t shmr_room_huge_pages(void)
{
    const uint64_t all = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", 0);

    return all - read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", 0);
}

/* The limit of a cgroup with a longer path counts as unknown. */
enum { CGROUP_PATH = 1024 };

/* The tightest limit found so far, and its cause. */
struct room {
    uint64_t available;
    char of[512];        /* how the sentence goes on: " of memory" */
    const char *instead; /* advice for the sentence, besides a smaller capacity */
};

static void limit_to(struct room *room, uint64_t available, const char *of, const char *name,
                     const char *instead)
{
    if (available >= room->available)
        return;
    room->available = available;
    room->instead = instead;
    snprintf(room->of, sizeof room->of, "%s%.400s", of, name);
}

/* The part of this memory that pages can use: the rest, 1/128, allows for the kernel's own records
 * of pages of 4 KiB and for page tables. */
static uint64_t for_pages(uint64_t bytes)
{
    return bytes - bytes / 128;
}

/* ---- The machine's memory -------------------------------------------------------------------- */

static bool take_available(const char *line, void *kilobytes)
{
    return sscanf(line, "MemAvailable: %" SCNu64 " kB", (uint64_t *)kilobytes) == 1;
}

/* MemAvailable: the memory that can still be used without swapping. */
static void limit_to_memory(struct room *room)
{
    uint64_t kilobytes = 0;

    for_each_line("/proc/meminfo", take_available, &kilobytes);
    if (kilobytes != 0)
        limit_to(room, for_pages(kilobytes * 1024), " of memory", "", "free memory");
}

/* ---- Memory cgroups -------------------------------------------------------------------------- */

/*
 * This process's place in the hierarchy that limits memory, and where that hierarchy is mounted.
 * Version 2 has one hierarchy for all; version 1 has one for memory alone. A machine may have both
 * versions, with memory in one of them.
 */
struct cgroup {
    int version;
    char path[CGROUP_PATH];  /* as /proc/self/cgroup has it */
    char root[CGROUP_PATH];  /* the cgroup that the mount shows */
    char mount[CGROUP_PATH]; /* where it is mounted */
};

/* "0::/path" (version 2), "4:memory:/path" (version 1). */
static bool take_path(const char *line, void *argument)
{
    struct cgroup *cg = argument;
    const char *controllers = strchr(line, ':'), *path;
    bool mine;

    if (!controllers || !(path = strchr(++controllers, ':')))
        return false;
    if (cg->version == 2) {
        mine = strncmp(line, "0::", 3) == 0;
    } else {
        char list[256];
        snprintf(list, sizeof list, ",%.*s,", (int)(path - controllers), controllers);
        mine = strstr(list, ",memory,") != NULL;
    }
    if (mine) {
        snprintf(cg->path, sizeof cg->path, "%s", path + 1);
        cg->path[strcspn(cg->path, "\n")] = 0;
    }
    return mine;
}

/* "36 25 0:31 ROOT MOUNT options ... - cgroup2 source options" */
static bool take_mount(const char *line, void *argument)
{
    struct cgroup *cg = argument;
    const char *type = strstr(line, " - ");
    char root[CGROUP_PATH], mount[CGROUP_PATH];

    if (!type || sscanf(line, "%*s %*s %*s %1023s %1023s", root, mount) != 2)
        return false;
    if (cg->version == 2 ? strncmp(type, " - cgroup2 ", 11) != 0
                         : strncmp(type, " - cgroup ", 10) != 0 || !strstr(type, "memory"))
        return false;
    strcpy(cg->root, root);
    strcpy(cg->mount, mount);
    return true;
}

static uint64_t number_in(const char *directory, const char *file)
{
    char path[2 * CGROUP_PATH + 32];

    snprintf(path, sizeof path, "%s/%s", directory, file);
    return read_number(path, UINT64_MAX);
}

/* Pages of files on disk: the kernel drops these before it kills a process. */
static bool add_reclaimable(const char *line, void *bytes)
{
    uint64_t n;

    if (sscanf(line, "inactive_file %" SCNu64, &n) == 1 ||
        sscanf(line, "active_file %" SCNu64, &n) == 1)
        *(uint64_t *)bytes += n;
    return false;
}

static bool add_reclaimable_1(const char *line, void *bytes)
{
    return strncmp(line, "total_", 6) == 0 && add_reclaimable(line + 6, bytes);
}

static void limit_to_cgroup(struct room *room, int version, const char *directory)
{
    uint64_t most, used, reclaimable = 0;
    char stat[2 * CGROUP_PATH + 32];

    if (version == 2) {
        const uint64_t high = number_in(directory, "memory.high");
        most = number_in(directory, "memory.max");
        most = high < most ? high : most;
        used = number_in(directory, "memory.current");
    } else {
        most = number_in(directory, "memory.limit_in_bytes");
        used = number_in(directory, "memory.usage_in_bytes");
    }
    if (most == UINT64_MAX || used == UINT64_MAX) /* no limit, or unknown */
        return;
    snprintf(stat, sizeof stat, "%s/memory.stat", directory);
    for_each_line(stat, version == 2 ? add_reclaimable : add_reclaimable_1, &reclaimable);
    used -= reclaimable < used ? reclaimable : used;
    limit_to(room, most > used ? for_pages(most - used) : 0,
             " within the limit of the memory cgroup ", directory, "raise that limit");
}

/* The limits of this cgroup and of all cgroups above it, up to the mount's root. */
static void limit_to_cgroups(struct room *room, int version)
{
    struct cgroup cg = {.version = version};
    char directory[2 * CGROUP_PATH];
    size_t root, mount;

    for_each_line("/proc/self/cgroup", take_path, &cg);
    for_each_line("/proc/self/mountinfo", take_mount, &cg);
    root = strcmp(cg.root, "/") == 0 ? 0 : strlen(cg.root);
    if (!cg.path[0] || !cg.mount[0] || strncmp(cg.path, cg.root, root) != 0)
        return;
    mount = strlen(cg.mount);
    snprintf(directory, sizeof directory, "%s%s", cg.mount, cg.path + root);
    for (;;) {
        limit_to_cgroup(room, version, directory);
        char *slash = strrchr(directory, '/');
        if (strlen(directory) <= mount || !slash)
            return;
        *slash = 0;
    }
}

/* ---- All of them ----------------------------------------------------------------------------- */

int shmr_room_check(int fd, uint64_t size, uint64_t more)
{
    struct room room = {.available = UINT64_MAX};
    struct statvfs vfs;
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        size > limit.rlim_cur)
        return shmr_fail(EFBIG, "needs %" PRIu64 " bytes: RLIMIT_FSIZE allows %" PRIu64, size,
                         (uint64_t)limit.rlim_cur);
    if (fstatvfs(fd, &vfs) == 0 && vfs.f_blocks != 0)
        limit_to(&room, (uint64_t)vfs.f_bavail * vfs.f_frsize, "", "", "enlarge the file system");
    if (more <= room.available && shmr_file_system_is_memory(fd)) {
        limit_to_memory(&room);
        limit_to_cgroups(&room, 1);
        limit_to_cgroups(&room, 2);
    }
    if (more <= room.available)
        return 0;
    return shmr_fail(ENOSPC,
                     "needs %" PRIu64 " bytes, %" PRIu64
                     " are available%s: use a smaller capacity, remove queues (shmring ls) or %s",
                     more, room.available, room.of, room.instead);
}
