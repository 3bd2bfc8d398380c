"""Data in, from a real S3 server over a line that is slow, counted, cut."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.store import BUCKET, SECRET, Stage, Store, mover, stage, stage3, store

__all__ = ["mover", "stage", "stage3", "store"]

EXIT_USAGE, EXIT_DATA, EXIT_STOPPED = 2, 9, 143


def fill(store: Store, count: int = 20, size: int = 50_000) -> dict[str, bytes]:
    """Files of the data in the bucket by their names."""
    files = {f"part {n % 3}/{n:03d}.bin": secrets.token_bytes(size) for n in range(count)}
    for name, data in files.items():
        store.put(f"data/{name}", data)
    return files


def held(folder: Path) -> dict[str, bytes]:
    """What the data folder holds by name, without what is ours or being written."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".uaitrain" not in path.name
    }


def test_data_arrive_whole_and_the_log_says_how_they_were_verified(stage: Stage) -> None:
    files = fill(stage.store) | {"empty": b"", "nämlich.txt": b"x"}
    for name in ("empty", "nämlich.txt"):
        stage.store.put(f"data/{name}", files[name])

    assert stage.run("data") == 0, stage.said

    assert held(stage.data) == files
    assert "22 files, 1.0 MB, are here whole: 22 verified by MD5, 0 by size" in stage.said


def test_what_was_fetched_whole_is_not_fetched_again(stage: Stage) -> None:
    fill(stage.store)
    assert stage.run("data") == 0, stage.said
    stage.store.line.reset()

    assert stage.run("data") == 0, stage.said

    assert f"s3://{BUCKET}/data was fetched before" in stage.said
    assert stage.store.line.asked("GET") == [f"/{BUCKET}"]


def test_what_was_fetched_is_used_while_the_store_cannot_be_reached(stage3: Stage) -> None:
    fill(stage3.store)
    assert stage3.run("data") == 0, stage3.said
    stage3.store.line.cut()

    assert stage3.run("data") == 0, stage3.said

    assert "what was fetched before is used" in stage3.said


def test_only_what_changed_at_the_source_is_moved(stage3: Stage) -> None:
    files = fill(stage3.store)
    assert stage3.run("data") == 0, stage3.said
    stage3.store.line.reset()
    files["part 1/001.bin"] = secrets.token_bytes(50_000)
    stage3.store.put("data/part 1/001.bin", files["part 1/001.bin"])

    assert stage3.run("data") == 0, stage3.said

    assert held(stage3.data) == files
    assert stage3.store.line.down < 2 * 50_000


def test_a_fetch_that_was_killed_goes_on_with_what_is_missing(stage: Stage) -> None:
    files = fill(stage.store, count=40, size=100_000)
    stage.store.line.bytes_per_second = 2_000_000
    stage.start("data")
    stage.wait_until(lambda: len(held(stage.data)) > 10)
    stage.kill()
    whole = {name: data for name, data in held(stage.data).items() if name in files}
    assert 10 < len(whole) < 40
    assert all(files[name] == data for name, data in whole.items())
    stage.store.line.renew()

    assert stage.run("data") == 0, stage.said

    assert held(stage.data) == files
    asked = {path.rpartition("/")[2] for path in stage.store.line.asked("GET")} - {BUCKET}
    assert asked == {Path(name).name for name in set(files) - set(whole)}
    # A file or two may be asked for again while the line is new.
    assert stage.store.line.down < (42 - len(whole)) * 100_000


def test_a_file_that_is_replaced_while_it_is_read_arrives_as_it_is_then(stage3: Stage) -> None:
    stage3.store.put("data/big", secrets.token_bytes(2_000_000))
    stage3.store.line.bytes_per_second = 1_000_000
    stage3.start("data")
    stage3.wait_until(lambda: stage3.store.line.down > 500_000)
    new = secrets.token_bytes(1_500_000)
    part = stage3.store.put("new", new)
    part.rename(stage3.store.bucket / "data/big")
    stage3.store.line.bytes_per_second = 0

    assert stage3.started[0].wait(60) == 0, stage3.said

    assert held(stage3.data) == {"big": new}
    assert "changed while it was" in stage3.said


def test_the_network_may_be_gone_for_a_while(stage3: Stage) -> None:
    files = fill(stage3.store, count=12, size=200_000)
    stage3.store.line.bytes_per_second = 1_000_000
    stage3.start("data")
    stage3.wait_until(lambda: len(held(stage3.data)) > 1)
    stage3.store.line.cut()
    stage3.wait_until(lambda: "trying again" in stage3.said)
    stage3.store.line.mend()

    assert stage3.started[0].wait(60) == 0, stage3.said

    assert held(stage3.data) == files


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"UAITRAIN_DATA": "s3://nobody/data"}, EXIT_DATA, "s3://nobody/data: it does not exist"),
        (
            {"UAITRAIN_DATA": f"s3://{BUCKET}/else"},
            EXIT_DATA,
            "it does not exist (no file is there)",
        ),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-one"}, EXIT_DATA, "the credentials are refused"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, EXIT_DATA, "the credentials are refused"),
        ({"AWS_ACCESS_KEY_ID": ""}, EXIT_USAGE, "no key for s3:// places"),
        ({"UAITRAIN_S3_ENDPOINT": "http://127.0.0.1:1"}, EXIT_DATA, "it cannot be reached"),
        ({"UAITRAIN_S3_ENDPOINT": "http://me:pass1234@h"}, EXIT_USAGE, "is no endpoint"),
        ({"UAITRAIN_DATA": "s3://me:pass1234@bucket/data"}, EXIT_USAGE, "is no place"),
        ({"UAITRAIN_DATA": "ftp://host/data"}, EXIT_USAGE, "is no place (allowed: s3://bucket"),
        ({"UAITRAIN_DATA": "file:///nowhere"}, EXIT_DATA, "/nowhere: it does not exist"),
        ({"UAITRAIN_DATA": "rclone://box/data"}, EXIT_USAGE, "no variable RCLONE_CONFIG_BOX_TYPE"),
        ({"UAITRAIN_MOVER": "/nowhere/rclone"}, EXIT_USAGE, "pack it again"),
        ({"UAITRAIN_SYNC_SECONDS": "0"}, EXIT_USAGE, "UAITRAIN_SYNC_SECONDS: '0'"),
    ],
)
def test_what_cannot_be_fetched_ends_with_its_code_and_reason(
    stage3: Stage, change: dict[str, str], code: int, text: str
) -> None:
    fill(stage3.store, count=1)

    assert stage3.run("data", **change) == code, stage3.said

    assert text in stage3.said
    assert "pass1234" not in stage3.said
    assert SECRET not in stage3.said
    assert "Traceback" not in stage3.said


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_found_before_anything_is_moved(stage: Stage) -> None:
    fill(stage.store, count=10, size=1_000_000)
    with small_disk(stage.data, 70):
        assert stage.run("data") == EXIT_DATA

        assert "the disk is full (77.1 MB are needed in" in stage.said
        assert held(stage.data) == {}


def test_a_disk_that_others_fill_ends_the_fetch_and_keeps_what_is_whole(stage3: Stage) -> None:
    files = fill(stage3.store, count=40, size=500_000)
    with small_disk(stage3.data, 90):
        stage3.store.line.bytes_per_second = 5_000_000
        stage3.start("data")
        stage3.wait_until(lambda: len(held(stage3.data)) > 5)
        (stage3.data / ".uaitrain-other").write_bytes(bytes(80 << 20))

        assert stage3.started[0].wait(60) == EXIT_DATA
        assert "the disk is full (" in stage3.said
        found = held(stage3.data)
        assert 5 < len(found) < 40
        assert all(files[name] == data for name, data in found.items())


def test_credentials_come_from_a_file_that_nobody_else_reads(stage: Stage) -> None:
    files = fill(stage.store)
    credentials = stage.folder / "credentials"
    credentials.write_text(
        f'# of the bucket\nAWS_ACCESS_KEY_ID=tester\nexport AWS_SECRET_ACCESS_KEY="{SECRET}"\n'
    )
    del stage.environment["AWS_ACCESS_KEY_ID"], stage.environment["AWS_SECRET_ACCESS_KEY"]
    stage.environment["UAITRAIN_CREDENTIALS"] = str(credentials)
    credentials.chmod(0o644)
    assert stage.run("data") == EXIT_USAGE
    assert f"others may read or write {credentials} (mode 0644): chmod 600 it" in stage.said
    credentials.chmod(0o600)

    assert stage.run("data") == 0, stage.said

    assert held(stage.data) == files


def test_secrets_are_in_no_argument_and_in_no_file(stage3: Stage) -> None:
    fill(stage3.store, count=40, size=100_000)
    stage3.store.line.bytes_per_second = 2_000_000
    stage3.start("data")
    stage3.wait_until(lambda: len(held(stage3.data)) > 5)
    (mover,) = stage3.movers()
    argv = Path(f"/proc/{mover}/cmdline").read_bytes()
    environ = Path(f"/proc/{mover}/environ").read_bytes()
    stage3.store.line.bytes_per_second = 0

    assert stage3.started[0].wait(60) == 0, stage3.said

    assert SECRET.encode() in environ
    assert SECRET.encode() not in argv
    for path in stage3.folder.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_a_folder_that_is_mounted_as_the_data_is_not_touched(stage3: Stage) -> None:
    stage3.data.mkdir()
    (stage3.data / "mine").write_text("x")

    assert stage3.run("data", UAITRAIN_DATA=str(stage3.data)) == 0, stage3.said

    assert [path.name for path in stage3.data.iterdir()] == ["mine"]


def test_a_local_folder_and_remotes_of_the_movers_own_are_places_too(
    stage: Stage, tmp_path: Path
) -> None:
    source = tmp_path / "shared disk"
    (source / "sub").mkdir(parents=True)
    (source / "sub/a").write_text("a")

    assert stage.run("data", UAITRAIN_DATA=f"file://{tmp_path}/shared%20disk") == 0, stage.said
    assert held(stage.data) == {"sub/a": b"a"}
    (stage.data / "sub/a").unlink()
    assert (
        stage.run("data", UAITRAIN_DATA=f"rclone://box/{source}", RCLONE_CONFIG_BOX_TYPE="local")
        == 0
    ), stage.said
    assert held(stage.data) == {"sub/a": b"a"}


def test_two_at_once_fill_a_shared_folder_once(stage3: Stage) -> None:
    files = fill(stage3.store, count=40, size=100_000)
    stage3.store.line.bytes_per_second = 4_000_000
    stage3.start("data")
    stage3.wait_until(lambda: len(held(stage3.data)) > 2)
    first = stage3.started[0]

    assert stage3.run("data") == 0, stage3.said

    assert first.wait(60) == 0
    assert held(stage3.data) == files
    assert re.search(r"another process fills .*; waiting for it", stage3.said)
    asked = [path for path in stage3.store.line.asked("GET") if path != f"/{BUCKET}"]
    assert len(asked) == 40
