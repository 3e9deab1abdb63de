/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const struct command *const commands[] = {
    &create_command,  &ls_command,   &stat_command,   &top_command,    &who_command,
    &send_command,    &recv_command, &record_command, &replay_command, &dump_command,
    &recover_command, &rm_command,   &gc_command,
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const struct command *command; /* the subcommand that runs */

int help(const struct command *self)
{
    printf("Usage: shmring %s %s\n%c%s.\n\n%s", self->name, self->arguments,
           self->summary[0] - 'a' + 'A', self->summary + 1, self->options);
    printf("  -h, --help             this help\n\n%sSee shmring(1).\n",
           self->notes ? self->notes : "");
    return EXIT_OK;
}

static void general_help(FILE *out)
{
    fputs("Usage: shmring COMMAND [OPTION]... [NAME]...\n"
          "Message queues in shared memory.\n\n",
          out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "\n"
        "  -h, --help     this help; after a COMMAND, what it takes\n"
        "  -V, --version  the version\n"
        "\n"
        "A NAME is that of a queue in /dev/shm, or file:PATH.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 gave up waiting, 4 messages are missing.\n"
        "See shmring(1) and shmring(7).\n",
        out);
}

int usage(const struct command *self, const char *format, ...)
{
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        fprintf(stderr, "shmring %s: ", self->name);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
        va_end(arguments);
    }
    fprintf(stderr, "Try 'shmring %s --help'.\n", self->name);
    return EXIT_USAGE;
}

int bad_value(const struct command *self, const char *option, const char *value, const char *wanted)
{
    return usage(self, "%s is %s, not '%s'", option, wanted, value);
}

int complain(const char *name, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);

    fputs("shmring: ", stderr);
    put_escaped(stderr, name, strlen(name));
    fputs(": ", stderr);
    if (text)
        put_escaped(stderr, text, strlen(text));
    fputc('\n', stderr);
    free(text);
    return EXIT_FAILED;
}

const char *error_detail(int error)
{
    static char text[400];

    if (error == -EAGAIN) /* leaves no detail; from the calls that open it means this */
        return "its creator is at work, or has died: try again";
    if (error != -ENOENT)
        return shmring_strerror_detail();
    snprintf(text, sizeof text, "%s: %s", shmring_strerror_detail(),
             command && command->missing ? command->missing : "'shmring ls' lists the queues");
    return text;
}

int failed(const char *name, const char *what, int error)
{
    complain(name, "%s: %s", what, error_detail(error));
    return error == -ETIMEDOUT || error == -EAGAIN ? EXIT_GAVE_UP : EXIT_FAILED;
}

void *must(void *memory)
{
    if (!memory)
        exit(complain("memory", "there is none left"));
    return memory;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        general_help(stderr); /* an error: the help was not asked for */
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        general_help(stdout);
        return close_output(EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("shmring %s, libshmring %s\n", PACKAGE_VERSION, shmring_version());
        return close_output(EXIT_OK);
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0)
            continue;
        char program[32]; /* getopt() prints it in front of its messages */
        snprintf(program, sizeof program, "shmring %s", commands[i]->name);
        argv[1] = program;
        command = commands[i];
        int status = close_output(commands[i]->run(commands[i], argc - 1, argv + 1));
        end_by_signal();
        return status;
    }
    fprintf(stderr, "shmring: no command '%s'. Try 'shmring --help'.\n", argv[1]);
    return EXIT_USAGE;
}
