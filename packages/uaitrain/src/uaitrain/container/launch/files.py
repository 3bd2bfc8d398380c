"""Files and descriptors, the same under Python 2.7 and 3."""

import errno
import fcntl
import os
import sys

if sys.version_info[0] >= 3:
    raw = os.fsencode
else:

    def raw(text):
        return text.encode("utf-8") if isinstance(text, type("".decode("ascii"))) else text


def close_on_exec(*handles):
    """What the command must not inherit (Python 2.7 would hand it down)."""
    for handle in handles:
        fcntl.fcntl(handle, fcntl.F_SETFD, fcntl.fcntl(handle, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)


def pipe():
    ends = os.pipe()
    close_on_exec(*ends)
    return ends


def persistent(call, *arguments):
    """`call(*arguments)`, again where a signal came between (Python 2.7 does not do it)."""
    while True:
        try:
            return call(*arguments)
        except (IOError, OSError) as error:
            if error.errno != errno.EINTR:
                raise


def make_folder(path):
    try:
        os.makedirs(path)
    except OSError:
        if not os.path.isdir(path):
            raise


def write(path, data):
    """Write `data` (bytes) to `path`: whole or not at all, also when all power is lost."""
    make_folder(os.path.dirname(path))
    folder, name = os.path.split(path)
    part = os.path.join(folder, ".%s-%d" % (name, os.getpid()))
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, path)
    except (IOError, OSError):
        remove(part)
        raise


def remove(path):
    """Remove a file that may be gone already."""
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
