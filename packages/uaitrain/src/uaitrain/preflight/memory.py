"""What preflight found the last time, for a job of which nothing has changed since.

The name under which findings are remembered is made of everything that the checks can see: the
spec, the bases' facts, and the ``stat`` of all files in the code, data and output folders. Where
that cannot be told for sure (links, too many files, a file written this very moment) nothing is
remembered, and errors never are: who has one looks again.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from uaitrain import __version__, atomic
from uaitrain.errors import UaitrainError
from uaitrain.files.inventory import Entry, Kind, fingerprint, is_settled
from uaitrain.preflight.finding import Finding, Severity
from uaitrain.preflight.subject import Subject
from uaitrain.sha256 import sha256
from uaitrain.spec import Account
from uaitrain.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_FILES = 2_000
"""More files in the data and output folders are not looked at one by one."""

MOST_KEPT = 100


def key_of(
    subject: Subject, read_at_ns: int, entries: Sequence[Entry] | None = None, *more: str
) -> str | None:
    """The name for what the checks can see; None where no name tells it for sure.

    Of the code folder that is ``entries`` (all, unless they are given) and what ``more`` tells.
    ``read_at_ns`` is a time before the inventory was read.
    """
    spec, inventory = subject.spec, subject.inventory
    entries = inventory.entries if entries is None else entries
    beside: list[Entry] = []
    try:
        for folder in (spec.data, spec.output):
            beside += _below(folder, MOST_FILES)
    except (OSError, _UnclearError):
        return None
    if inventory.has_links:
        return None
    if not is_settled(entries, read_at_ns) or not is_settled(beside, read_at_ns):
        return None
    words = [
        __version__,
        repr(replace(spec, account=Account())),
        repr(sorted(subject.bases.items())),
        str(os.geteuid()),
        str(os.access(spec.output, os.W_OK | os.X_OK)),
        *inventory.ignored,
        inventory.fingerprint if entries is inventory.entries else fingerprint(entries),
        fingerprint(beside),
        *more,
    ]
    return sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def rows_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Findings from what was kept of them."""
    return (Finding(**{**row, "severity": Severity(row["severity"])}) for row in rows)


class Memory:
    """Findings by name, as files in ``folder``; a lost or broken one only costs a look."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, key: str) -> tuple[Finding, ...] | None:
        row = self.recall_row(key)
        return tuple(rows_of(row["findings"])) if row else None

    def recall_row(self, key: str) -> Mapping[str, Any] | None:
        """The whole of what was remembered: ``findings``, and ``opened`` as it was given."""
        try:
            told, _, data = (self._folder / key).read_bytes().partition(b"\n")
            if told != _checksum(key, data):
                return None
            row: Mapping[str, Any] = json.loads(data)
        except (OSError, ValueError):
            return None
        return row

    def remember(
        self, key: str, findings: tuple[Finding, ...], opened: Mapping[str, Any] | None = None
    ) -> None:
        if any(finding.severity is Severity.ERROR for finding in findings):
            return
        rows = [{**vars(finding), "severity": finding.severity.value} for finding in findings]
        data = json.dumps({"findings": rows, "opened": opened or {}}).encode()
        with contextlib.suppress(OSError, UaitrainError):
            self._folder.mkdir(parents=True, exist_ok=True)
            record = _checksum(key, data) + b"\n" + data
            atomic.write_bytes(self._folder / key, record, durable=False)
            kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in kept[:-MOST_KEPT]:
                path.unlink(missing_ok=True)


def _checksum(key: str, data: bytes) -> bytes:
    return sha256(key.encode() + b"\n" + data).hexdigest().encode()


class _UnclearError(Exception):
    """A folder of which ``stat`` does not tell all."""


def _below(folder: Path, most: int) -> Iterator[Entry]:
    """The folder itself and everything below it, in a fixed order."""
    yield _entry(str(folder), folder.stat())
    waiting = [str(folder)]
    count = 0
    while waiting:
        with os.scandir(waiting.pop()) as scan:
            found = sorted(scan, key=lambda item: item.name)
        count += len(found)
        if count > most:
            raise _UnclearError
        for item in found:
            yield _entry(item.path, item.stat(follow_symlinks=False))
            if item.is_dir(follow_symlinks=False):
                waiting.append(item.path)


def _entry(path: str, status: os.stat_result) -> Entry:
    kind = Kind.FOLDER if stat.S_ISDIR(status.st_mode) else Kind.FILE
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise _UnclearError
    return Entry(
        path,
        kind,
        status.st_size if kind is Kind.FILE else 0,
        bool(status.st_mode & stat.S_IXUSR),
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
        f"{status.st_mode:o} {status.st_uid} {status.st_gid}",
    )
