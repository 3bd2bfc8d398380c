"""What /proc tells of processes."""

import os

SHELLS = frozenset(["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"])


class Process(object):
    def __init__(self, name, state, parent, group, session):
        self.name = name
        self.state = state
        self.parent = parent
        self.group = group
        self.session = session


def table():
    """{pid: Process} of all that can be seen.

    Empty where there is no /proc, or one of another PID namespace, whose numbers mean nothing
    here.
    """
    found = {}
    try:
        if int(os.readlink("/proc/self")) != os.getpid():
            return found
        names = os.listdir("/proc")
    except (OSError, ValueError):
        return found
    for name in names:
        if name.isdigit():
            process = read(int(name))
            if process:
                found[int(name)] = process
    return found


def read(pid):
    """The Process of `pid`, None when there is none (proc(5): stat; the name may hold anything)."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except (IOError, OSError):
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    state, parent, group, session = text[text.rindex(")") + 2 :].split()[:4]
    return Process(name, state, int(parent), int(group), int(session))


def handles(pid, number):
    """Whether a process has a handler of its own for a signal (proc(5): SigCgt in status)."""
    try:
        with open("/proc/%d/status" % pid, "rb") as file:
            for line in file:
                if line.startswith(b"SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    except (IOError, OSError, ValueError):
        pass
    return False


def listeners(leader, number):
    """Who gets a signal that is meant for the command `leader`.

    That is the command itself, as if it were the first process. A shell that waits for its
    children would die of the signal or ignore it, so in its place they get it, unless it has a
    trap for it. Where the leader is gone: what is left of its group. None: /proc does not tell.
    """
    seen = table()
    if not seen:
        return None
    alive = {pid: each for pid, each in seen.items() if each.state not in "ZX"}

    def below(pid):
        inner = [child for child in alive if alive[child].parent == pid]
        if inner and alive[pid].name in SHELLS and not handles(pid, number):
            return [found for child in inner for found in below(child)]
        return [pid]

    if leader in alive:
        return below(leader)
    left = [pid for pid in alive if alive[pid].group == leader]
    tops = [pid for pid in left if alive[pid].parent not in left]
    return [found for pid in tops for found in below(pid)]
