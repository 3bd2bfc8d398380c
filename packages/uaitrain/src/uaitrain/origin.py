"""When the code was made, and from which commit: all that images carry of where they come from."""

from __future__ import annotations

import os
import time
from pathlib import Path

from uaitrain.errors import UsageError
from uaitrain.values import dataclass

_VARIABLE = "SOURCE_DATE_EPOCH"
_FORMAT = "--format=%ct %H"


@dataclass(frozen=True)
class Origin:
    """``created`` is an RFC 3339 time: SOURCE_DATE_EPOCH, else when the code was last committed,
    else 1970. ``commit`` is the last one that touched the code, empty outside of git; ``dirty``:
    tracked files differ from it.
    """

    created: str
    commit: str = ""
    dirty: bool = False


def source_date_epoch() -> int | None:
    """Seconds since 1970 from SOURCE_DATE_EPOCH (reproducible-builds.org). Raises UsageError."""
    text = os.environ.get(_VARIABLE)
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > 253402300799:
        raise UsageError(f"{_VARIABLE}={text!r}", allowed="whole seconds since 1970")
    return int(text)


def origin_of(code: Path) -> Origin:
    """Raises UsageError for a SOURCE_DATE_EPOCH that is none.

    The commit is not the one that is checked out: one elsewhere in the repository leaves the
    image as it is.
    """
    seconds = source_date_epoch()
    commit, dirty = "", False
    if any((folder / ".git").exists() for folder in (code, *code.parents)):
        # Whoever packs, the answer is the same: also root, in a person's repository.
        told = _git(code, "-c", "safe.directory=*", "log", "-1", "--no-show-signature", _FORMAT)
        at, _, commit = (told or "").partition(" ")
        if commit:
            seconds = int(at) if seconds is None else seconds
            dirty = bool(_git(code, "status", "--porcelain", "--untracked-files=no"))
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds or 0))
    return Origin(created, commit, dirty)


def _git(code: Path, *words: str) -> str | None:
    import subprocess

    try:
        done = subprocess.run(
            # The repository's own settings may name a program to be run at every look.
            ["git", "-C", str(code), "-c", "core.fsmonitor=false", *words, "--", "."],
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
