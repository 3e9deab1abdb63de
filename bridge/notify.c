/* SPDX-License-Identifier: MIT */
/*
 * The protocol of sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names, whose first '@'
 * stands for the zero byte of an abstract address.
 */
#include <config.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bridge.h"

void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (!path || (path[0] != '/' && path[0] != '@'))
        return;
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) {
        say(LOG_WARNING, "NOTIFY_SOCKET is too long");
        return;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (void *)&address, size) < 0)
        say(LOG_WARNING, "cannot notify %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}
