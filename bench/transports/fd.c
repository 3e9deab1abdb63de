/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

void fd_use_pair(struct link *l, const int pair[2])
{
    for (int side = 0; side < 2; side++)
        l->end[side].in = l->end[side].out = pair[side];
}

void fd_close(struct link *l)
{
    for (int side = 0; side < 2; side++) {
        int in = l->end[side].in, out = l->end[side].out;
        if (in >= 0)
            close(in);
        if (out >= 0 && out != in)
            close(out);
        l->end[side].in = l->end[side].out = -1;
    }
}

int fd_set_waiting(struct link *l)
{
    for (int i = 0; i < 4; i++) {
        int fd = i % 2 ? l->end[i / 2].in : l->end[i / 2].out;
        int flags = fcntl(fd, F_GETFL);
        flags = l->block ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
        if (fcntl(fd, F_SETFL, flags) != 0)
            return link_errno(l, "fcntl");
    }
    return 0;
}

/* Full or empty just now: the caller spins. */
static bool again(void)
{
    return errno == EAGAIN || errno == EINTR;
}

static int write_all(struct link *l, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t r = write(l->out, l->buffer + done, length - done);
        if (r >= 0)
            done += (size_t)r;
        else if (!again())
            return link_errno(l, "write");
    }
    return 0;
}

/* Read at least one message and at most length bytes of whole messages. */
static ssize_t read_messages(struct link *l, size_t length)
{
    size_t done = 0;
    do {
        size_t part = done % l->size;
        ssize_t r = read(l->in, l->buffer + done, part > 0 ? l->size - part : length - done);
        if (r > 0)
            done += (size_t)r;
        else if (r == 0)
            return link_fail(l, "read: the other end has closed");
        else if (!again())
            return link_errno(l, "read");
    } while (done == 0 || done % l->size != 0);
    return (ssize_t)done;
}

long fd_send_stream(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++) {
        payload_fill(l->buffer, l->size, seq + (uint64_t)i);
        if (write_all(l, l->size) != 0)
            return -1;
    }
    return n;
}

long fd_recv_stream(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++)
        if (read_messages(l, l->size) < 0 || !link_check(l, l->buffer, seq + (uint64_t)i))
            return -1;
    return n;
}

long fd_send_stream_batch(struct link *l, uint64_t seq, long n)
{
    for (long sent = 0; sent < n;) {
        size_t length = 0;
        for (int i = 0; i < l->batch && sent < n; i++, sent++, length += l->size)
            payload_fill(l->buffer + length, l->size, seq + (uint64_t)sent);
        if (write_all(l, length) != 0)
            return -1;
    }
    return n;
}

long fd_recv_stream_batch(struct link *l, uint64_t seq, long n)
{
    for (long got = 0; got < n;) {
        long wanted = n - got < l->batch ? n - got : l->batch;
        ssize_t length = read_messages(l, (size_t)wanted * l->size);
        if (length < 0)
            return -1;
        for (size_t at = 0; at < (size_t)length; at += l->size, got++)
            if (!link_check(l, l->buffer + at, seq + (uint64_t)got))
                return -1;
    }
    return n;
}

long fd_send_packet(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++) {
        payload_fill(l->buffer, l->size, seq + (uint64_t)i);
        while (send(l->out, l->buffer, l->size, 0) < 0)
            if (!again())
                return link_errno(l, "send");
    }
    return n;
}

long fd_recv_packet(struct link *l, uint64_t seq, long n)
{
    for (long i = 0; i < n; i++) {
        ssize_t r;
        while ((r = recv(l->in, l->buffer, l->size, MSG_TRUNC)) < 0)
            if (!again())
                return link_errno(l, "recv");
        if (r != (ssize_t)l->size)
            return link_bad_length(l, seq + (uint64_t)i, (long)r);
        if (!link_check(l, l->buffer, seq + (uint64_t)i))
            return -1;
    }
    return n;
}
