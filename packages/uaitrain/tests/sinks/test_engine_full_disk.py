"""An engine whose disk is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.engines import running_docker
from support.tiny_image import layer_of
from uaitrain.engines import store
from uaitrain.errors import EngineError
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks.engine import EngineSink


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run(
        [*root, "mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run([*root, "umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_and_leaves_no_image(tiny: Image, tmp_path: Path) -> None:
    noise = os.urandom(32 << 20)
    image = tiny.append([layer_of({"data/weights": noise})], [History("weights")])
    reference = Reference("", "too-large-cpu", "uaitrain")
    with _small_disk(tmp_path / "disk", "24m") as disk, running_docker(disk) as running:
        with pytest.raises(EngineError, match="no space left on device") as caught:
            EngineSink(running.engine).put(image, reference, Silent())
        assert not store.has(running.engine, reference)

    assert "docker image prune" in caught.value.next_step
