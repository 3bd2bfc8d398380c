"""Words for a POSIX shell. Pure."""

from __future__ import annotations

import os
import re
import shlex

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What acts when it is pasted into a terminal, or ends a line."""


def quote(word: str) -> str:
    """``word`` for a shell's command line, quoted only where it must be.

    Control characters are written as escapes: pasted into a terminal they would act.
    """
    if not CONTROL.search(word):
        return shlex.quote(word)
    pieces = []
    for character in word:
        if character in "\\'":
            pieces.append("\\" + character)
        elif CONTROL.match(character):
            pieces += [f"\\{byte:03o}" for byte in os.fsencode(character)]
        else:
            pieces.append(character)
    return "$'" + "".join(pieces) + "'"
