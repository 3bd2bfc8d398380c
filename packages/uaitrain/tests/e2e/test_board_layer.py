"""TensorBoard's writer in packed images: one layer for all jobs, and a pack without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.bases import kept_cache
from support.board import board_archive
from support.jobs import base_layout, make_job
from uaitrain.bases import board_file
from uaitrain.oci.image import Image
from uaitrain.paths import cache_dir

__all__ = ["board_archive"]


def pack(folder: Path, tiny: Image, *flags: str, offline: bool = True) -> dict[str, Any]:
    """The layers of both images of a new job by their names, and the log's text."""
    base = base_layout(folder / "base", tiny)
    job = make_job(folder, base)
    if offline:
        job.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    (job.code / "more.py").write_text(f"NAME = {folder.name!r}\n")
    words = ["--image=job:1", "--solver=/data/solver.prototxt", f"--base-cpu={base}"]
    done = job.uaitrain(
        *("pack", *words, f"--base-gpu={base}", "--layout=images", "--no-check", "--json"), *flags
    )
    assert done.returncode == 0, done.stderr
    images = json.loads(done.stdout)["images"]
    layers = [
        {layer["name"]: layer["digest"] for layer in images[each]["layers"]}
        for each in ("cpu", "gpu")
    ]
    return {"layers": layers, "log": (folder / "uaitrain.log").read_text()}


@pytest.fixture
def fetched(board_archive: Path) -> None:
    """A machine on which a base was built: it has the wheels."""
    (cache_dir() / "board").mkdir(parents=True)
    for wheel in (kept_cache() / "board").glob("*.whl"):
        shutil.copy(wheel, cache_dir() / "board")


@pytest.mark.usefixtures("fetched")
def test_every_job_gets_the_same_layer(tmp_path: Path, tiny: Image) -> None:
    one, other = (pack(tmp_path / name, tiny) for name in ("one", "other"))

    found = {layers[board_file.LAYER] for each in (one, other) for layers in each["layers"]}
    assert len(found) == 1
    assert one["layers"][0]["code"] != other["layers"][0]["code"]


@pytest.mark.usefixtures("fetched")
def test_off_leaves_it_out(tmp_path: Path, tiny: Image) -> None:
    packed = pack(tmp_path / "job", tiny, "--board=off")

    assert board_file.LAYER not in packed["layers"][0]
    assert board_file.NOT_HERE not in packed["log"]


def test_without_network_and_without_wheels_pack_works_and_says_so(
    tmp_path: Path, tiny: Image
) -> None:
    packed = pack(tmp_path / "job", tiny)

    assert board_file.LAYER not in packed["layers"][0]
    assert board_file.NOT_HERE in packed["log"]


def test_on_fetches_it_when_it_is_missing(tmp_path: Path, tiny: Image) -> None:
    packed = pack(tmp_path / "job", tiny, "--board=on", offline=False)

    assert all(board_file.LAYER in layers for layers in packed["layers"])
