"""A real image of 2 MB that runs: a static busybox (Debian's ``busybox-static``)."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from isal import igzip
from uaitrain.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import History, Image
from uaitrain.oci.layer import BlobLayer

APPLETS = ("sh", "ash", "cat", "echo", "false", "id", "kill", "ls", "ps", "sleep", "touch", "wc")


def busybox(folder: Path) -> bytes:
    """The program; fetched into ``folder`` through apt-get unless this machine has it."""
    if found := shutil.which("busybox"):
        program = Path(found)
    else:
        program = folder / "busybox"
        subprocess.run(["apt-get", "download", "busybox-static"], cwd=folder, check=True)
        package = next(folder.glob("busybox-static_*.deb"))
        unpacked = folder / "unpacked"
        subprocess.run(["dpkg-deb", "-x", package.name, unpacked.name], cwd=folder, check=True)
        shutil.copy(unpacked / "bin" / "busybox", program)
    linked = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    assert "=>" not in linked.stdout, f"{program} is not static: apt-get install busybox-static"
    return program.read_bytes()


def layer_of(
    files: Mapping[str, bytes], links: Mapping[str, str] | None = None, *, gzip: bool = True
) -> BlobLayer:
    """An image layer with these files (all executable) and symlinks, and nothing else."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    plain = raw.getvalue()
    blob = igzip.compress(plain, 1, mtime=0) if gzip else plain
    media_type = OCI_LAYER_GZIP if gzip else OCI_LAYER
    descriptor = Descriptor(media_type, digest_of(blob), len(blob))
    return BlobLayer(digest_of(plain), descriptor, lambda: io.BytesIO(blob))


def tiny_base(program: bytes) -> Image:
    """busybox with its applets in ``/bin``, ``bash`` among them, and a folder ``/data``."""
    bash = b'#!/bin/sh\nexec /bin/sh "$@"\n'
    layer = layer_of(
        {"bin/busybox": program, "bin/bash": bash, "data/.keep": b""},
        {f"bin/{name}": "busybox" for name in APPLETS},
    )
    config = {"os": "linux", "architecture": "amd64", "config": {"Env": ["PATH=/bin"]}}
    return Image((), config).append([layer], [History("busybox")])


def with_code(base: Image, text: str) -> Image:
    """``base`` and one small layer: ``/data/text`` holds ``text``."""
    return base.append([layer_of({"data/text": text.encode()})], [History("code")])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return tiny_base(busybox(tmp_path_factory.mktemp("busybox")))
