"""Where the code comes from: its git commit, and the lock files that lie in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from uaitrain.atomic import storage_error
from uaitrain.provenance.contents import File
from uaitrain.settings import LOCK_FILES as OWN_LOCK_FILES
from uaitrain.values import dataclass

LOCK_FILES = frozenset(
    {
        *("requirements.txt", "requirements.lock", "uv.lock", "pylock.toml"),
        *("poetry.lock", "pdm.lock", "Pipfile.lock", "conda-lock.yml"),
    }
)
"""Files of the code folder that say which versions a job was made with."""

_SECONDS = 60


@dataclass(frozen=True)
class Commit:
    """``dirty``: the folder holds something that the commit does not. ``remote`` is the address
    of the repository without login, or empty.
    """

    sha1: str
    dirty: bool
    remote: str


def commit_of(code: Path) -> Commit | None:
    """The commit that is checked out in ``code``; None outside of git, or without git."""
    if not any((folder / ".git").exists() for folder in (code, *code.parents)):
        return None
    head = _git(code, "rev-parse", "--verify", "HEAD")
    status = _git(code, "status", "--porcelain", "--", ".")
    if not head or status is None:
        return None
    return Commit(head, bool(status), _without_login(_git(code, "remote", "get-url", "origin")))


def lock_files(files: Iterable[File]) -> list[File]:
    return sorted(
        (file for file in files if file.path.rpartition("/")[2] in LOCK_FILES),
        key=lambda file: file.path,
    )


def own_locks(settings_files: Iterable[Path], requirements: Path | None = None) -> list[File]:
    """Our own lock files, which lie beside the settings, and the job's ``requirements``.

    Raises StorageError.
    """
    found = []
    for path in (*settings_files, *([requirements] if requirements else [])):
        if (path.name in OWN_LOCK_FILES or path == requirements) and path.is_file():
            try:
                data = path.read_bytes()
            except OSError as error:
                raise storage_error(error, path, "read") from None
            found.append(File(path.name, hashlib.sha256(data).hexdigest(), len(data)))
    return sorted(found, key=lambda file: file.path)


def _git(code: Path, *words: str) -> str | None:
    import os
    import subprocess

    # The code folder's own settings may name a program to be run at every look.
    safe = ("-c", "core.fsmonitor=false")
    try:
        done = subprocess.run(
            ["git", *safe, "-C", str(code), *words],
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _without_login(remote: str | None) -> str:
    """Only an address of a server is told: neither a path of this machine nor a login."""
    if not remote:
        return ""
    try:
        parts = urlsplit(remote)
    except ValueError:
        return ""
    if parts.scheme in ("https", "http", "ssh", "git"):
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    if "://" in remote:
        return ""
    # git's short form of ssh: user@host:path.
    host, colon, path = remote.rpartition("@")[2].partition(":")
    return f"ssh://{host}/{path.lstrip('/')}" if colon and "/" not in host else ""
