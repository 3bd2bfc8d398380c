"""Names of files are UTF-8 in images, whatever this machine's locale says of them here."""

from __future__ import annotations

import os
import sys


def ensure() -> None:
    """Start this process again in Python's UTF-8 mode, unless it knows names as UTF-8 already.

    Under ``LC_ALL=C`` or a Latin-1 locale Python would read the same name as another text: ignore
    rules would not match it, and it would be stored under another name.
    """
    if not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, words)  # noqa: S606 - this very process again
