"""The runs that were submitted from this machine: one SQLite file, safe with many processes.

A run is written before it is sent, so that whatever happens in between loses nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from uaitrain import paths
from uaitrain.atomic import storage_error
from uaitrain.backends import State
from uaitrain.errors import BusyError, StorageError, UaitrainError, UsageError
from uaitrain.runs.run import OVER, SUBMITTING, Change, Run, job_from, job_text

FILE = "runs.sqlite"
_BUSY_SECONDS = 30.0

MIGRATIONS = (
    """
    CREATE TABLE runs (
        run_id    TEXT PRIMARY KEY,
        name      TEXT NOT NULL,
        backend   TEXT NOT NULL,
        options   TEXT NOT NULL,
        job       TEXT NOT NULL,
        image     TEXT NOT NULL,
        digest    TEXT NOT NULL,
        data      TEXT NOT NULL,
        output    TEXT NOT NULL,
        created   REAL NOT NULL,
        handle    TEXT NOT NULL,
        state     TEXT NOT NULL,
        exit_code INTEGER,
        reason    TEXT NOT NULL,
        iteration INTEGER,
        max_iter  INTEGER,
        loss      ANY,
        accuracy  ANY,
        updated   REAL NOT NULL,
        submitter TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX runs_by_time ON runs (created)",
)
"""Step N takes a file of version N (``PRAGMA user_version``) to the next one. Never changed,
only added to: files of every version are out there."""

_COLUMNS = tuple(field.name for field in fields(Run))


class Store:
    """The file ``path``; it and its folder are made when they are missing.

    Every method raises StorageError where the file cannot be read or written, and BusyError
    where another process does not let go of it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or paths.state_dir() / FILE
        self._prepare()

    def add(self, run: Run) -> None:
        """Write a new run. Raises UsageError when its id is taken."""
        marks = ", ".join("?" * len(_COLUMNS))
        row = [_stored(name, getattr(run, name)) for name in _COLUMNS]
        with self._writing() as connection:
            try:
                connection.execute(
                    f"INSERT INTO runs ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608 - our own names
                    row,
                )
            except sqlite3.IntegrityError:
                raise UsageError(f"there is a run {run.run_id} already") from None

    def change(self, *changes: Change) -> None:
        """Write what was learnt, all in one step. What the run has from a later moment stays,
        and a run that is over does not become unknown: its backend may have forgotten it since."""
        with self._writing() as connection:
            for change in changes:
                values = {**change.fields, "updated": change.asked}
                if unknown := set(values) - set(_COLUMNS):
                    raise AssertionError(f"a run has no {', '.join(unknown)}")
                assigned = ", ".join(f"{name} = ?" for name in values)
                kept = OVER if values.get("state") == State.UNKNOWN else ()
                connection.execute(
                    f"UPDATE runs SET {assigned} WHERE run_id = ? AND updated <= ? "  # noqa: S608 - our own names
                    f"AND state NOT IN ({', '.join('?' * len(kept))})",
                    [
                        *(_stored(*item) for item in values.items()),
                        *(change.run_id, change.asked, *kept),
                    ],
                )

    def remove(self, run_id: str) -> None:
        """Forget a run that was never sent; one that was stays."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM runs WHERE run_id = ? AND state = ?", [run_id, SUBMITTING]
            )

    def all(self, backend: str = "") -> tuple[Run, ...]:
        """The runs on ``backend``, or on all, the newest first."""
        rows = self._rows("WHERE ? IN ('', backend) ORDER BY created DESC, run_id DESC", [backend])
        return tuple(rows)

    def get(self, run_id: str) -> Run | None:
        return next(self._rows("WHERE run_id = ?", [run_id]), None)

    def find(self, text: str) -> Run:
        """The run of that id; what it begins or ends with is enough where only one run does.

        Raises UsageError for none and for several.
        """
        known = self.all()
        for fits in (
            [run for run in known if run.run_id == text],
            [run for run in known if text and run.run_id.startswith(text)],
            [run for run in known if text and run.run_id.endswith(f"-{text}")],
        ):
            if len(fits) == 1:
                return fits[0]
            if fits:
                raise UsageError(
                    f"{text!r} is not one run: {len(fits)} begin or end so",
                    allowed=", ".join(run.run_id for run in fits[:5]),
                )
        raise UsageError(
            f"no run {text!r}",
            allowed="an id, or what it begins or ends with, such as 3f2a1c",
            next_step="uaitrain runs --all",
        )

    def _rows(self, rest: str, values: list[Any]) -> Iterator[Run]:
        with self._connection() as connection:
            found = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM runs {rest}",  # noqa: S608 - our own texts
                values,
            ).fetchall()
        return iter([_run(dict(zip(_COLUMNS, row, strict=True))) for row in found])

    def _prepare(self) -> None:
        with self._connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == len(MIGRATIONS):
            return
        if version > len(MIGRATIONS):
            raise StorageError(
                f"{self.path} was written by a newer uaitrain (version {version} of the file)",
                allowed=f"up to {len(MIGRATIONS)}",
                next_step="use that uaitrain, or set UAITRAIN_STATE to another folder",
            )
        with self._alone(), self._connection() as connection:
            # Changing to WAL does not wait for others as everything after it does.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for step in MIGRATIONS[version:]:
                connection.execute(step)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The one border to SQLite: its errors become ours."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite gives the files beside it the same mode. An open file is never opened here
            # once more: closing it would give up the locks that SQLite has on it.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise storage_error(error, self.path) from None
        try:
            with contextlib.closing(
                sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            ) as connection:
                yield connection
        except sqlite3.Error as error:
            raise self._error(error) from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time, whatever SQLite's own locks do."""
        path = self.path.with_suffix(".lock")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(error, path) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _error(self, error: sqlite3.Error) -> UaitrainError:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
        ):
            return BusyError(
                f"another process has held {self.path} for {_BUSY_SECONDS:.0f} s",
                next_step="try again; lsof says who it is",
            )
        return StorageError(
            f"the list of runs cannot be used: {self.path}: {error}",
            next_step="check the disk; a file that is broken may be moved away, the runs "
            "themselves are not in it",
        )


def _stored(name: str, value: Any) -> Any:
    if name == "job":
        return job_text(value)
    if name == "options":
        return json.dumps(dict(value), sort_keys=True)
    if isinstance(value, float) and math.isnan(value):
        # SQLite would take it for "nobody knows".
        return "nan"
    return value


def _run(row: Mapping[str, Any]) -> Run:
    read = {"job": job_from(row["job"]), "options": json.loads(row["options"])}
    read |= {name: float(row[name]) for name in ("loss", "accuracy") if row[name] is not None}
    return Run(**{**row, **read})
