"""Splitting and merging real files; kills are real SIGKILLs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uaitrain.datafiles import manifest as manifests
from uaitrain.datafiles.merge import merge
from uaitrain.datafiles.split import split
from uaitrain.datafiles.streams import PARTIAL, claimed
from uaitrain.errors import BusyError, SourceError, StorageError
from uaitrain.progress import Silent

PART = 1000


def some_bytes(size: int, seed: str = "") -> bytes:
    """The same bytes for the same arguments, no two parts alike."""
    blocks = (hashlib.sha256(f"{seed}{n}".encode()).digest() for n in range(size // 32 + 1))
    return b"".join(blocks)[:size]


@pytest.fixture
def lmdb(tmp_path: Path) -> Path:
    """A folder with files of many sizes, one of them empty, and an empty folder."""
    root = tmp_path / "train lmdb-ü"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "data.mdb").write_bytes(some_bytes(4321))
    (root / "lock.mdb").write_bytes(b"")
    (root / "sub" / "data.mdb").write_bytes(some_bytes(3000, "sub"))
    os.utime(root / "data.mdb", ns=(10**18, 10**18 + 7))
    return root


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_folder_comes_back_as_it_was(lmdb: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    manifest = split(lmdb, PART, parts, Silent())
    merged = merge(parts, tmp_path / "back", Silent())

    assert merged == tmp_path / "back" / lmdb.name
    assert content(merged) == content(lmdb)
    assert (merged / "data.mdb").stat().st_mtime_ns == 10**18 + 7
    assert [part.size for part in manifest.parts] == [1000, 1000, 1000, 1000, 321, 1000, 1000, 1000]
    assert {path.name for path in parts.iterdir()} == {
        manifests.NAME,
        *(part.name for part in manifest.parts),
    }


@given(size=st.integers(0, 5000), part=st.integers(1, 3000))
@settings(max_examples=40, deadline=None)
def test_a_file_of_any_size_comes_back(
    size: int, part: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "data").write_bytes(some_bytes(size))
    split(folder / "data", part, folder / "parts", Silent())

    assert merge(folder / "parts", folder / "back", Silent()).read_bytes() == some_bytes(size)


def test_parts_stay_unless_they_are_to_be_removed(lmdb: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    split(lmdb, PART, parts, Silent())
    before = content(parts)
    merge(parts, tmp_path / "back", Silent())
    assert content(parts) == before

    merge(parts, tmp_path / "back", Silent(), remove_parts=True)
    assert not parts.exists()
    assert content(tmp_path / "back" / lmdb.name) == content(lmdb)


def test_splitting_again_changes_nothing(lmdb: Path, tmp_path: Path) -> None:
    first = split(lmdb, PART, tmp_path / "parts", Silent())
    before = {path: path.stat().st_ino for path in (tmp_path / "parts").glob("*.part-*")}

    assert split(lmdb, PART, tmp_path / "parts", Silent()) == first
    assert {path: path.stat().st_ino for path in (tmp_path / "parts").glob("*.part-*")} == before


def test_a_part_that_went_bad_is_made_again_by_splitting(lmdb: Path, tmp_path: Path) -> None:
    first = split(lmdb, PART, tmp_path / "parts", Silent())
    (tmp_path / "parts" / first.parts[2].name).write_bytes(b"?" * PART)

    assert split(lmdb, PART, tmp_path / "parts", Silent()) == first
    assert content(merge(tmp_path / "parts", tmp_path / "back", Silent())) == content(lmdb)


def test_a_finished_split_of_other_data_is_not_written_over(lmdb: Path, tmp_path: Path) -> None:
    split(lmdb, PART, tmp_path / "parts", Silent())
    before = content(tmp_path / "parts")
    (lmdb / "data.mdb").write_bytes(b"new")

    with pytest.raises(SourceError, match="already holds parts"):
        split(lmdb, PART, tmp_path / "parts", Silent())
    assert content(tmp_path / "parts") == before


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


@pytest.mark.parametrize(
    ("harm", "words"), [(Path.unlink, "missing"), (_cut, "999 bytes"), (_flip, "SHA-256")]
)
def test_a_bad_part_is_named_and_mended_by_a_new_copy(
    lmdb: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    parts, back = tmp_path / "parts", tmp_path / "back"
    victim = parts / split(lmdb, PART, parts, Silent()).parts[3].name
    whole = victim.read_bytes()
    harm(victim)

    with pytest.raises(SourceError, match=words) as caught:
        merge(parts, back, Silent(), remove_parts=True)
    assert victim.name in str(caught.value)
    assert not (back / lmdb.name).exists()

    victim.write_bytes(whole)
    assert content(merge(parts, back, Silent())) == content(lmdb)


def test_other_data_in_the_way_is_kept(lmdb: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    split(lmdb, PART, parts, Silent())
    (tmp_path / "back").mkdir()
    mine = shutil.copytree(lmdb, tmp_path / "back" / lmdb.name)
    _flip(mine / "data.mdb")
    before = content(mine), content(parts)

    with pytest.raises(SourceError, match="other bytes"):
        merge(parts, tmp_path / "back", Silent(), remove_parts=True)
    assert (content(mine), content(parts)) == before


def test_data_that_changes_while_it_is_split_gets_no_manifest(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.write_bytes(some_bytes(3000))

    class Meddling(Silent):
        def advance(self, amount: int) -> None:
            source.write_bytes(some_bytes(3000, "other"))

        def done(self, note: str = "") -> None:
            pass

        def start(self, name: str, total: int | None = None) -> Meddling:
            return self

    with pytest.raises(SourceError, match="changed while it was read"):
        split(source, PART, tmp_path / "parts", Meddling())
    with pytest.raises(SourceError, match=r"no manifest\.json"):
        merge(tmp_path / "parts", tmp_path, Silent())


def test_a_link_in_the_data_is_refused_by_name(lmdb: Path, tmp_path: Path) -> None:
    (lmdb / "link").symlink_to("/etc/passwd")

    with pytest.raises(SourceError, match="lmdb-ü/link is neither"):
        split(lmdb, PART, tmp_path / "parts", Silent())
    assert not (tmp_path / "parts").exists()


def test_parts_inside_the_data_are_refused(lmdb: Path) -> None:
    with pytest.raises(SourceError, match="inside the data"):
        split(lmdb, PART, lmdb / "parts", Silent())


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        split(tmp_path / "none", PART, tmp_path / "parts", Silent())
    with pytest.raises(SourceError, match="is no folder"):
        merge(tmp_path / "none", tmp_path, Silent())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../../up"}, "not a file name"),
        ({"folders": ["../up"]}, "not a path inside"),
        ({"folders": ["/etc"]}, "not a path inside"),
        ({"files": {}}, "not a list"),
        ({"version": 9}, "version 9"),
    ],
)
def test_a_manifest_that_is_broken_or_leads_outside_is_refused(
    lmdb: Path, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    split(lmdb, PART, tmp_path / "parts", Silent())
    path = tmp_path / "parts" / manifests.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(SourceError, match=words):
        merge(tmp_path / "parts", tmp_path / "back", Silent())
    assert not (tmp_path / "back").exists()


def test_two_at_once_are_refused(lmdb: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()

    with claimed(tmp_path / "parts"), pytest.raises(BusyError):
        split(lmdb, PART, tmp_path / "parts", Silent())


def test_too_little_space_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """A sparse file larger than any disk here."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(shutil.disk_usage(tmp_path).total * 2)

    with pytest.raises(StorageError, match="free, but"):
        split(tmp_path / "huge", 1 << 30, tmp_path / "parts", Silent())
    assert list((tmp_path / "parts").iterdir()) == []


_CHILD = """
import os, signal, sys
from pathlib import Path
from uaitrain.datafiles.merge import merge
from uaitrain.datafiles.split import split
from uaitrain.progress import Silent

data, parts, back, limit = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
left = limit
WATCHED = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "os.truncate")

def count(event, arguments):
    global left
    if event in WATCHED and any(p in str(arguments[0]) for p in (str(parts), str(back))):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
if data != "-":
    split(Path(data), 1000, parts, Silent())
else:
    merge(parts, back, Silent(), remove_parts=True)
"""


def _killed_at(limit: int, data: Path | None, parts: Path, back: Path) -> bool:
    """Run split (of ``data``) or merge; SIGKILL before its ``limit``-th touch of the disk."""
    words = [str(data) if data else "-", str(parts), str(back), str(limit)]
    code = subprocess.run([sys.executable, "-c", _CHILD, *words]).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


def test_a_kill_before_any_touch_of_the_disk_loses_nothing(lmdb: Path, tmp_path: Path) -> None:
    """One fresh split and merge for each moment; then each is run again and ends well."""
    moment, killed = 0, True
    while killed:
        moment += 1
        parts, back = tmp_path / f"parts{moment}", tmp_path / f"back{moment}"
        split_killed = _killed_at(moment, lmdb, parts, back)
        if split_killed:
            split(lmdb, PART, parts, Silent())
        merge_killed = _killed_at(moment, None, parts, back)
        merged = back / lmdb.name
        if merge_killed and parts.exists() and any(parts.iterdir()):
            assert merge(parts, back, Silent(), remove_parts=True) == merged
        killed = split_killed or merge_killed

        assert content(merged) == content(lmdb)
        assert not [path for path in back.rglob("*") if path.name.endswith(PARTIAL)]
        assert not list(parts.glob("*.part-*"))
    assert moment > 30


def test_a_merge_killed_again_and_again_goes_on(tmp_path: Path) -> None:
    """Each run is killed a little later than the one before, in the same folders."""
    (tmp_path / "data").write_bytes(some_bytes(20000))
    split(tmp_path / "data", PART, tmp_path / "parts", Silent())
    back, limit = tmp_path / "back", 3
    while _killed_at(limit, None, tmp_path / "parts", back):
        limit += 2

    assert (back / "data").read_bytes() == some_bytes(20000)
    assert not (tmp_path / "parts").exists()
