"""The mover in packed images: in those of jobs with places behind URIs, the same for all."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support.bases import kept_cache
from support.jobs import base_layout, make_job
from support.store import mover
from uaitrain.bases import mover_file
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout
from uaitrain.paths import cache_dir

__all__ = ["mover"]


def pack(folder: Path, tiny: Image, run: str = "") -> dict[str, Any]:
    """What a new job's pack tells, as JSON; ``run`` is the table of its uaitrain.toml."""
    base = base_layout(folder / "base", tiny)
    job = make_job(folder, base)
    (folder / "uaitrain.toml").write_text(f"[run]\n{run}")
    words = ["--image=job:1", "--solver=/data/solver.prototxt", f"--base-cpu={base}"]
    done = job.uaitrain(
        *("pack", *words, f"--base-gpu={base}", "--layout=images", "--no-check", "--json")
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def layers(told: dict[str, Any]) -> list[set[str]]:
    """The digests of the mover's layers, of both images."""
    return [
        {
            layer["digest"]
            for layer in told["images"][each]["layers"]
            if layer["name"] == mover_file.LAYER
        }
        for each in ("cpu", "gpu")
    ]


@pytest.fixture
def fetched(mover: Path) -> None:
    """A machine that has the mover already."""
    shutil.copytree(kept_cache() / "mover", cache_dir() / "mover")


@pytest.mark.usefixtures("fetched")
def test_jobs_with_uris_get_the_same_layers_and_others_none(tmp_path: Path, tiny: Image) -> None:
    one = pack(tmp_path / "one", tiny, 'data = "s3://bucket/mnist"\n')
    other = pack(tmp_path / "other", tiny, 'output = "s3://else/results"\n')
    without = pack(tmp_path / "without", tiny)

    assert layers(one)[0]
    assert layers(one)[0] == layers(one)[1] == layers(other)[0] == layers(other)[1]
    assert layers(without) == [set(), set()]


@pytest.mark.usefixtures("fetched")
def test_the_image_says_that_it_has_it_and_it_can_be_executed(tmp_path: Path, tiny: Image) -> None:
    told = pack(tmp_path / "job", tiny, 'data = "s3://bucket/mnist"\n')
    layout = Layout(tmp_path / "job" / "images")
    found = {}
    for digest in layers(told)[0]:
        with tarfile.open(layout.path / "blobs" / digest.replace(":", "/")) as archive:
            found |= {member.name: member.mode for member in archive if member.isfile()}

    assert found == {"opt/uaitrain/rclone": 0o755, "opt/uaitrain/ca-bundle.crt": 0o644}
    for name in layout.names():
        assert mover_file.is_noted(mover_file.history_of(layout.image(name)))
    assert not mover_file.is_noted(mover_file.history_of(tiny))
