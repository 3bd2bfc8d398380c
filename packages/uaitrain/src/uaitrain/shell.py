"""Words for a POSIX shell. Pure."""

from __future__ import annotations

import os
import re
import shlex

_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
"""What acts when it is pasted into a terminal, or ends a line."""


def has_control(text: str) -> bool:
    """Whether ``text`` has a control character."""
    # Compiling the pattern takes longer than all else that is done with a command here.
    is_plain = text.isascii() and text.isprintable()
    return not is_plain and re.search(_CONTROL, text) is not None


def quote(word: str) -> str:
    """``word`` for a shell's command line, quoted only where it must be.

    Control characters are written as escapes: pasted into a terminal they would act.
    """
    if not has_control(word):
        return shlex.quote(word)
    pieces = []
    for character in word:
        if character in "\\'":
            pieces.append("\\" + character)
        elif has_control(character):
            pieces += [f"\\{byte:03o}" for byte in os.fsencode(character)]
        else:
            pieces.append(character)
    return "$'" + "".join(pieces) + "'"
