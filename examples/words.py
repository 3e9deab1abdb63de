#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Words from one process to another, without a compiler: the library through ctypes.

  ./words.py jobs one two three      send words
  ./words.py jobs                    print words, one a line, until all producers have left

Either may start first. Any other program may be at the other end: echo four | shmring send jobs,
or one in C; and a queue that another program made is taken as it is, whatever its kind and size.
"""
import ctypes
import errno
import os
import sys

PRODUCER, CONSUMER = 0x1, 0x2  # what shmring.h calls SHMRING_PRODUCER, ...
OPEN_OR_CREATE = 0x10
SPSC = 1
WAIT_HANGUP = 0x2


class Config(ctypes.Structure):
    """struct shmring_config"""

    _fields_ = [
        ("kind", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("capacity", ctypes.c_uint64),
        ("max_message", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("max_participants", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 5),
    ]


class Waiting(ctypes.Structure):
    """struct shmring_waiting"""

    _fields_ = [
        ("spin_ns", ctypes.c_uint32),
        ("recheck_ms", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("patience_ms", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 4),
    ]


def load():
    """The library, with the types of what is used of it."""
    lib = ctypes.CDLL("libshmring.so.0")
    handle, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    lib.shmring_strerror_detail.restype = text
    lib.shmring_open.argtypes = [ctypes.POINTER(handle), text, ctypes.c_uint]
    lib.shmring_create.argtypes = [ctypes.POINTER(handle), text, ctypes.POINTER(Config)]
    lib.shmring_set_waiting.argtypes = [handle, ctypes.POINTER(Waiting)]
    lib.shmring_send_wait.argtypes = [handle, text, size, ctypes.c_void_p]
    lib.shmring_peek_wait.argtypes = [handle] + [ctypes.c_void_p] * 3
    lib.shmring_peek_wait.restype = ctypes.c_ssize_t
    lib.shmring_release.argtypes = [handle, ctypes.c_void_p]
    lib.shmring_close.argtypes = [ctypes.POINTER(handle)]
    lib.shmring_close.restype = None
    return lib


class Queue:
    """A participant of a queue, attached inside of a with statement."""

    lib = load()

    def __init__(self, name, role):
        self.handle = ctypes.c_void_p()
        config = Config(kind=SPSC, flags=role | OPEN_OR_CREATE, capacity=65536)
        name = os.fsencode(name)
        result = self.lib.shmring_open(self.handle, name, role)
        if result == -errno.ENOENT:
            result = self.lib.shmring_create(self.handle, name, config)
            if result == -errno.EEXIST:  # another process was quicker
                result = self.lib.shmring_open(self.handle, name, role)
        self.checked(result)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lib.shmring_close(self.handle)

    def checked(self, result):
        """A result that is an error, as an exception with the library's own words."""
        if result < 0:
            raise OSError(-result, self.lib.shmring_strerror_detail().decode())
        return result

    def end_when_left(self):
        """Raise BrokenPipeError when those at the other side have left, but wait for the first."""
        self.checked(self.lib.shmring_set_waiting(self.handle, Waiting(50_000, 0, WAIT_HANGUP)))

    def waited(self, call, *arguments):
        """The result of a call that waits, without a limit."""
        while True:
            result = call(self.handle, *arguments, None)
            if result != -errno.EINTR:  # Python has run its own signal handlers by now
                return self.checked(result)

    def send(self, message):
        self.waited(self.lib.shmring_send_wait, message, len(message))

    def recv(self):
        """The next message, however long. It leaves the queue when it was copied."""
        message = ctypes.c_void_p()
        length = self.waited(self.lib.shmring_peek_wait, ctypes.byref(message), None)
        copy = ctypes.string_at(message, length)
        self.checked(self.lib.shmring_release(self.handle, message))
        return copy


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: words.py QUEUE [WORD...]")
    name, words = sys.argv[1], sys.argv[2:]
    try:
        with Queue(name, PRODUCER if words else CONSUMER) as queue:
            for word in words:
                queue.send(os.fsencode(word))
            if not words:
                queue.end_when_left()
                while True:
                    print(os.fsdecode(queue.recv()), flush=True)
    except BrokenPipeError:
        pass
    except OSError as error:
        sys.exit(f"words.py: {error.strerror}")


if __name__ == "__main__":
    main()
