"""Sources that are missing, damaged or of the wrong kind are refused; nothing is written."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from random import Random

import lmdb
import pytest
from caffe.data import lmdb_file
from caffe.data.databases import open_database
from caffe.data.faults import fail_for
from caffe.errors import DataError
from data_checks import data, write_leveldb, write_lmdb

FAIL = fail_for("x", "Data")


def message(source: Path, *, is_lmdb: bool = True) -> str:
    with pytest.raises(DataError) as caught:
        for _ in open_database(str(source), lmdb=is_lmdb, fail=FAIL).records():
            pass
    text = str(caught.value)
    assert text.startswith(f'layer "x" (Data): source "{source}" ')
    return text


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in folder.iterdir()}


@pytest.mark.parametrize("is_lmdb", [True, False])
def test_a_missing_source_is_named(tmp_path: Path, is_lmdb: bool) -> None:
    assert "does not exist" in message(tmp_path / "none", is_lmdb=is_lmdb)
    (tmp_path / "file").touch()
    assert "is a file" in message(tmp_path / "file", is_lmdb=is_lmdb)
    (tmp_path / "empty").mkdir()
    kind = "no file data.mdb" if is_lmdb else "not a LevelDB"
    assert kind in message(tmp_path / "empty", is_lmdb=is_lmdb)


def test_the_other_backend_is_proposed(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "lmdb", data(2, 1, 2, 2))
    write_leveldb(tmp_path / "leveldb", data(2, 1, 2, 2))
    assert "write backend: LMDB" in message(tmp_path / "lmdb", is_lmdb=False)
    assert "write backend: LEVELDB" in message(tmp_path / "leveldb")


def test_a_database_without_records_is_refused(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "lmdb", [])
    write_leveldb(tmp_path / "leveldb", [])
    assert "has no records" in message(tmp_path / "lmdb")
    assert "has no records" in message(tmp_path / "leveldb", is_lmdb=False)


@pytest.mark.parametrize("left", [0, 1, 100, 4096, 5000, 8192, 100_000, -4096, -1])
def test_an_lmdb_that_was_cut_short_is_refused_before_it_is_read(tmp_path: Path, left: int) -> None:
    write_lmdb(tmp_path / "lmdb", data(300, 3, 20, 20))
    path = tmp_path / "lmdb" / "data.mdb"
    size = path.stat().st_size
    os.truncate(path, left if left >= 0 else size + left)
    text = message(tmp_path / "lmdb")
    assert "is not an LMDB" in text if 0 <= left <= 100 else "is cut short" in text


def test_what_is_no_lmdb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "data.mdb").write_bytes(b"something else" * 1000)
    assert "is not an LMDB" in message(tmp_path / "lmdb")


def test_an_lmdb_whose_last_pages_are_free_and_not_there_is_whole(tmp_path: Path) -> None:
    # LMDB does not write pages that a transaction took at the end and let go again.
    short = 0
    for seed in (159, 181, 195, 197):
        random = Random(seed)  # noqa: S311 - the same every time
        folder = tmp_path / str(seed)
        kept: dict[bytes, bytes] = {}
        with lmdb.open(str(folder), map_size=1 << 28, sync=False) as database:
            for _ in range(random.randint(1, 6)):
                with database.begin(write=True) as writing:
                    for _ in range(random.randint(1, 200)):
                        key = b"%08d" % random.randint(0, 10**7)
                        kept[key] = key * (random.choice([10, 800, 5000, 20000]) // 8)
                        writing.put(key, kept[key])
                        if random.random() < 0.4:
                            writing.delete(key)
                            del kept[key]
            pages = database.info()["last_pgno"] + 1
        size = (folder / "data.mdb").stat().st_size
        short += size < pages * 4096
        assert lmdb_file.damage(folder / "data.mdb") == ""
        opened = open_database(str(folder), lmdb=True, fail=FAIL)
        assert {bytes(key): bytes(value) for key, value in opened.records()} == kept
        opened.close()
        os.truncate(folder / "data.mdb", size // 2)
        assert "is cut short" in lmdb_file.damage(folder / "data.mdb")
    assert short


def test_a_damaged_leveldb_is_refused(tmp_path: Path) -> None:
    write_leveldb(tmp_path / "leveldb", data(300, 3, 20, 20))
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "leveldb", whole)
    (manifest,) = (tmp_path / "leveldb").glob("MANIFEST-*")
    manifest.write_bytes(b"")
    assert "cannot be opened" in message(tmp_path / "leveldb", is_lmdb=False)
    (log,) = whole.glob("*.log")
    content = bytearray(log.read_bytes())
    content[5000:5004] = b"\x00\xff\x00\xff"
    log.write_bytes(content)
    assert "cannot be opened" in message(whole, is_lmdb=False)


@pytest.mark.parametrize("is_lmdb", [True, False])
def test_reading_writes_nothing_and_works_without_leave_to_write(
    tmp_path: Path, is_lmdb: bool
) -> None:
    folder = tmp_path / "source"
    (write_lmdb if is_lmdb else write_leveldb)(folder, data(30, 1, 5, 5))
    if is_lmdb:
        (folder / "lock.mdb").unlink()
    for each in (*folder.iterdir(), folder):
        each.chmod(stat.S_IMODE(each.stat().st_mode) & ~0o222)
    before = snapshot(folder)
    opened = open_database(str(folder), lmdb=is_lmdb, fail=FAIL)
    assert [bytes(key) for key, _ in opened.records()] == [b"%08d" % n for n in range(30)]
    opened.close()
    assert snapshot(folder) == before
    folder.chmod(0o755)


def test_a_leveldb_is_read_while_another_process_has_it_open(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    write_leveldb(folder, data(5, 1, 2, 2))
    holder = (
        "import plyvel, sys; database = plyvel.DB(sys.argv[1]); print('open', flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        opened = open_database(str(folder), lmdb=False, fail=FAIL)
        assert len(list(opened.records())) == 5
        opened.close()
        process.communicate()


def test_a_leveldbs_folder_of_links_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(links))
    write_leveldb(tmp_path / "source", data(5, 1, 2, 2))
    opened = open_database(str(tmp_path / "source"), lmdb=False, fail=FAIL)
    assert list(links.iterdir())
    opened.close()
    message(tmp_path, is_lmdb=False)
    assert not list(links.iterdir())
