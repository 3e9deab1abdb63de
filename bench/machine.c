/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "machine.h"

#include <shmring/shmring.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "ticks.h"

/* The model line of /proc/cpuinfo, or what uname calls the machine. */
static void describe_cpu(char *to, size_t size, const char *fallback)
{
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(to, size, "%s", fallback);
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(to, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
            break;
        }
    }
    if (f)
        fclose(f);
}

void machine_describe(struct machine *m)
{
    struct utsname name = {0};
    time_t now = time(NULL);
    struct tm utc;
    uname(&name);
    describe_cpu(m->cpu, sizeof m->cpu, name.machine);
    m->cpus = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(m->kernel, sizeof m->kernel, "%.60s %.60s %.60s", name.sysname, name.release,
             name.machine);
#ifdef __clang__
    snprintf(m->compiler, sizeof m->compiler, "clang %s", __clang_version__);
#else
    snprintf(m->compiler, sizeof m->compiler, "gcc %s", __VERSION__);
#endif
#ifdef __OPTIMIZE__
    m->optimised = true;
#else
    m->optimised = false;
#endif
    snprintf(m->library, sizeof m->library, "%s", shmring_version());
    strftime(m->date, sizeof m->date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    m->clock = ticks_are_tsc ? "rdtscp" : "clock_gettime";
    m->clock_ns = ticks_cost_ns();
}
