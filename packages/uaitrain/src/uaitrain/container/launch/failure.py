"""/data/output/failure: why a run failed, at most 1 KB of text."""

import os

import files

BYTES = 1024


class FailureFile(object):
    def __init__(self, folder):
        self.path = os.path.join(folder, "failure")

    def clear(self):
        """What an earlier run left is not about this one."""
        try:
            files.remove(self.path)
        except OSError:
            pass  # nothing can be written there either, which the command will find

    def leave(self, text, say):
        """Tell of it, and write it unless the command left its own words."""
        say("failed: %s" % text.split("\n")[0].rstrip(":"))
        if os.path.exists(self.path):
            return
        try:
            files.write(self.path, shortened(files.raw(text)))
        except (IOError, OSError) as error:
            say("cannot write %s: %s" % (self.path, error.strerror))


def shortened(data):
    """At most BYTES of whole characters: the first line, and the last of the others."""
    data = data.rstrip()
    if len(data) >= BYTES:
        first, _, rest = data.partition(b"\n")
        first = first[: BYTES // 2] if rest else first[: BYTES - 1]
        room = BYTES - 2 - len(first)
        data = first + (b"\n" + rest[-room:] if rest else b"")
    return data.decode("utf-8", "ignore").encode("utf-8") + b"\n"
