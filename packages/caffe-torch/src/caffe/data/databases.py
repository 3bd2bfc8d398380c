"""LMDB and LevelDB, read from the first record to the last, as often as one likes.

Nothing is ever written into a database's folder, so both work on read-only mounts, from several
processes at once, and from several layers of one process.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from caffe.data import lmdb_file
from caffe.data.faults import Fail

Buffer = bytes | memoryview
Record = tuple[Buffer, Buffer]
"""Key and value. An LMDB's are views that live as long as the database is open."""


class Database(Protocol):
    """An open database."""

    source: str

    def records(self) -> Iterator[Record]:
        """All records from the first on, in the order of their keys. Raises DataError."""

    def close(self) -> None:
        """No record may be used after it."""


def open_database(source: str, *, lmdb: bool, fail: Fail) -> Database:
    """The database in the folder ``source``. Raises what ``fail`` makes for one that is missing,
    damaged, of the other kind or without records."""
    kind, other = ("LMDB", "LEVELDB") if lmdb else ("LEVELDB", "LMDB")
    folder = Path(source)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise fail(
            f'source "{source}" {what}',
            allowed=f"the folder of a database of backend {kind}",
            next_step="paths count from the folder that training was started in",
        )
    is_lmdb = (folder / "data.mdb").is_file()
    if is_lmdb is not lmdb and (is_lmdb or (folder / "CURRENT").is_file()):
        raise fail(
            f'source "{source}" is of the other kind',
            allowed=f"a database of backend {kind}",
            next_step=f"write backend: {other} into its data_param (the default is LEVELDB)",
        )
    database: Database = _Lmdb(source, fail) if lmdb else _LevelDB(source, fail)
    if next(database.records(), None) is None:
        database.close()
        raise fail(f'source "{source}" has no records', next_step="make the database again")
    return database


def endless(
    database: Database, rank: int, ranks: int, restarted: Callable[[], None]
) -> Iterator[Record]:
    """Records for solver ``rank`` of ``ranks``: those whose number, counted on through all
    rounds, leaves the rest ``rank``. ``restarted`` is called when a round begins again."""

    def rounds() -> Iterator[Iterator[Record]]:
        yield islice(counted(), rank, None, ranks)
        while True:
            restarted()
            first = (rank - seen[0]) % ranks
            yield islice(counted(), first, None, ranks)

    def counted() -> Iterator[Record]:
        if ranks == 1:
            return database.records()
        return _counting(database.records(), seen)

    seen = [0]
    return chain.from_iterable(rounds())


def _counting(records: Iterator[Record], seen: list[int]) -> Iterator[Record]:
    for record in records:
        seen[0] += 1
        yield record


class _Lmdb:
    """One LMDB; all of a process share its mapping, which may exist only once in each."""

    _shared: dict[tuple[int, str], tuple[Any, int]] = {}  # noqa: RUF012 - that is what it is for
    _guard = threading.Lock()

    def __init__(self, source: str, fail: Fail) -> None:
        import lmdb

        self.source = source
        self._fail = fail
        self._error: type[Exception] = lmdb.Error
        path = Path(source) / "data.mdb"
        try:
            damage = lmdb_file.damage(path) if path.is_file() else "has no file data.mdb"
        except OSError as error:
            raise fail(f'source "{source}" cannot be read: {error.strerror}') from None
        if damage:
            raise fail(f'source "{source}" {damage}', next_step="copy it again or make it again")
        self._key = (os.getpid(), str(path.resolve()))
        with self._guard:
            environment, users = self._shared.get(self._key, (None, 0))
            if environment is None:
                try:
                    environment = lmdb.open(source, readonly=True, lock=False, create=False)
                except lmdb.Error as error:
                    raise fail(f'source "{source}" cannot be opened: {error}') from None
            self._shared[self._key] = (environment, users + 1)
        self._transaction = environment.begin(buffers=True)
        self._open = True

    def records(self) -> Iterator[Record]:
        try:
            with self._transaction.cursor() as cursor:
                yield from cursor.iternext(keys=True, values=True)
        except self._error as error:
            raise self._fail(
                f'source "{self.source}" is damaged: {error}',
                next_step="copy it again or make it again",
            ) from None

    def close(self) -> None:
        if not self._open or self._key[0] != os.getpid():
            return
        self._open = False
        self._transaction.abort()
        with self._guard:
            environment, users = self._shared.pop(self._key)
            if users > 1:
                self._shared[self._key] = (environment, users - 1)
            else:
                environment.close()


class _LevelDB:
    """One LevelDB, opened through a folder of links.

    LevelDB lets only one opener in and writes its log into the folder, even to read. Our folder
    of links takes those writes, and belongs to one opener.
    """

    def __init__(self, source: str, fail: Fail) -> None:
        import plyvel

        self.source = source
        self._fail = fail
        self._errors = (plyvel.Error, OSError)
        if not (Path(source) / "CURRENT").is_file():
            raise fail(
                f'source "{source}" is not a LevelDB: it has no file CURRENT',
                next_step="write backend: LMDB into its data_param if it is an LMDB",
            )
        self._links = Path(tempfile.mkdtemp(prefix="caffe-leveldb-"))
        self._owner = os.getpid()
        try:
            for entry in Path(source).resolve().iterdir():
                if entry.name not in ("LOCK", "LOG", "LOG.old"):
                    (self._links / entry.name).symlink_to(entry)
            self._database = plyvel.DB(
                str(self._links), create_if_missing=False, paranoid_checks=True, max_open_files=100
            )
        except (plyvel.Error, OSError) as error:
            shutil.rmtree(self._links, ignore_errors=True)
            reason = str(error).replace(str(self._links), source)
            raise fail(
                f'source "{source}" cannot be opened: {reason}',
                next_step="copy it again or make it again",
            ) from None

    def records(self) -> Iterator[Record]:
        try:
            with self._database.iterator(verify_checksums=True) as iterator:
                yield from iterator
        except self._errors as error:
            reason = str(error).replace(str(self._links), self.source)
            raise self._fail(
                f'source "{self.source}" is damaged: {reason}',
                next_step="copy it again or make it again",
            ) from None

    def close(self) -> None:
        if self._owner == os.getpid():
            self._database.close()
            shutil.rmtree(self._links, ignore_errors=True)
