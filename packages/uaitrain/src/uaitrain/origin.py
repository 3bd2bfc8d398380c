"""When the code was made: the one time that images carry."""

from __future__ import annotations

import os
import time
from pathlib import Path

from uaitrain.errors import UsageError

_VARIABLE = "SOURCE_DATE_EPOCH"


def source_date_epoch() -> int | None:
    """Seconds since 1970 from SOURCE_DATE_EPOCH (reproducible-builds.org). Raises UsageError."""
    text = os.environ.get(_VARIABLE)
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > 253402300799:
        raise UsageError(f"{_VARIABLE}={text!r}", allowed="whole seconds since 1970")
    return int(text)


def created_at(code: Path) -> str:
    """RFC 3339: SOURCE_DATE_EPOCH, else when ``code`` was last committed, else 1970."""
    seconds = source_date_epoch()
    if seconds is None:
        seconds = _commit_time(code) or 0
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _commit_time(code: Path) -> int | None:
    if not any((folder / ".git").exists() for folder in (code, *code.parents)):
        return None
    import subprocess

    try:
        done = subprocess.run(
            ["git", "-C", str(code), "log", "-1", "--format=%ct", "--", "."],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None
