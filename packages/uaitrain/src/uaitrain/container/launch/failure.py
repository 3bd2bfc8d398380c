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

    def leave(self, text):
        """Write it unless the command left its own. Raises IOError, OSError."""
        if os.path.exists(self.path):
            return
        data = files.raw(text)
        if len(data) >= BYTES:
            # The last words say more than the first of many lines.
            first, _, rest = data.partition(b"\n")
            first = first[: BYTES // 2]
            data = first + b"\n" + rest[-(BYTES - len(first) - 2) :]
        text = data.decode("utf-8", "ignore")
        files.write(self.path, text.encode("utf-8")[: BYTES - 1].rstrip() + b"\n")
