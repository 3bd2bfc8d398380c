"""The command's words: what they say, and `--snapshot` put among them.

A command is an argument vector, or a shell with a line (`/bin/bash -c "cd /data && ..."`), in which
the training stands as `python MAIN.py ARGUMENTS`.
"""

import os
import re
import shlex

from processes import SHELLS

STOCK = b"The stock entry of Caffe images"  # how train.py begins

_WORD = r"(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"\\;&|()<>])+"
_PROGRAM = re.compile(
    r"(?:^|(?<=[\s;&|(]))(?:[^\s'\";&|()]*/)?python[\d.]*(?:\s+-[A-Za-z]\S*)*\s+"
    r"(?P<main>" + _WORD + r")(?=[\s;&|)]|$)"
)
_SNAPSHOT = re.compile(r"(?<=\s)--snapshot(?:=|\s+)(?P<value>" + _WORD + r")\s*")
_WORD_OR_SPACE = re.compile(_WORD + r"|[^\S\n]+")
_SAFE = re.compile(r"[-\w./:=@%+,]+$")


class Command(object):
    """`main` is the main file's path as written ("" when there is none to be found), `options`
    the `--name=value` and `--name value` that follow it."""

    def __init__(self, argv):
        self.argv = list(argv)
        self._line = _line_of(argv)  # where the shell's line stands, or None
        self.main, self._words, self._span = "", [], (0, 0)
        if self._line is None:
            self._read_words()
        else:
            self._read_line()
        self.options = _options(self._words)

    @property
    def is_stock(self):
        """Whether the main file is our train.py."""
        try:
            with open(os.path.join("/data", self.main), "rb") as file:
                return STOCK in file.read(200)
        except (IOError, OSError):
            return False

    def _read_words(self):
        start = 1 if re.match(r"python[\d.]*$", os.path.basename(self.argv[0])) else 0
        while start and start < len(self.argv) and self.argv[start].startswith("-"):
            start += 1
        if start < len(self.argv) and self.argv[start].endswith(".py"):
            self.main = self.argv[start]
            self._span = (start + 1, len(self.argv))
            self._words = self.argv[start + 1 :]

    def _read_line(self):
        line = self.argv[self._line]
        found = _PROGRAM.search(line)
        if not found:
            return
        end = _end_of_command(line, found.end())
        try:
            words = shlex.split(line[found.end() : end])
            main = "".join(shlex.split(found.group("main")))
        except ValueError:
            return
        if not main.endswith(".py"):
            return
        self.main, self._words = main, words
        self._span = (found.end(), end)

    def with_snapshot(self, value):
        """The argument vector that goes on from `value`, in place of what it went on from."""
        start, end = self._span
        if self._line is None:
            kept, words = [], list(self._words)
            while words:
                word = words.pop(0)
                if word == "--snapshot":
                    del words[:1]
                elif not word.startswith("--snapshot="):
                    kept.append(word)
            return self.argv[:start] + ["--snapshot=" + value] + kept
        line = self.argv[self._line]
        rest = _SNAPSHOT.sub("", line[start:end])
        argv = list(self.argv)
        argv[self._line] = "%s --snapshot=%s%s" % (line[:start], quoted(value), rest + line[end:])
        return argv


def _line_of(argv):
    if os.path.basename(argv[0]) not in SHELLS:
        return None
    for position, word in enumerate(argv[1:-1], 1):
        if re.match(r"-[a-z]*c$", word):
            return position + 1
        if not word.startswith("-"):
            return None
    return None


def _end_of_command(line, start):
    """Where the simple command ends of which `start` is a part."""
    position = start
    while True:
        found = _WORD_OR_SPACE.match(line, position)
        if not found:
            return position
        position = found.end()


def _options(words):
    found = {}
    for position, word in enumerate(words):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and position + 1 < len(words):
                value = words[position + 1]
            found[name] = value
    return found


def quoted(word):
    """One word of a POSIX shell."""
    return word if _SAFE.match(word) else "'" + word.replace("'", "'\\''") + "'"
