"""From a tree's tar to an image layer."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pytest
from isal import igzip
from uaitrain.bases.recipe import EPOCH, Recipe
from uaitrain.bases.rootfs import Contents, write_layer
from uaitrain.errors import BaseError, StorageError
from uaitrain.oci.image import Image
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.validate import validate
from uaitrain.progress import Silent

STATUS = """\
Package: python3.9-minimal
Status: install ok installed
Architecture: amd64
Version: 3.9.2-1+deb11u3

Package: caffe
Architecture: amd64
Version: 1.0.0+git20180821.99bd997-8
"""
RECIPE = Recipe(
    "own",
    "bullseye",
    ("caffe",),
    links={"usr/bin/python": "python3"},
    drop=("usr/share/doc/*",),
    keep=("usr/share/doc/*/copyright",),
)
FOLDERS = ("dev", "etc", "tmp", "usr", "usr/bin", "usr/share", "usr/share/doc", "var", "var/log")
FILES = {
    "etc/hostname": b"this-machine",
    "etc/machine-id": b"0123456789abcdef",
    "etc/passwd": b"root:x:0:0::/root:/bin/bash",
    "etc/passwd-": b"an older one",
    "etc/apt/sources.list": b"deb http://user:password@mirror.example.com bullseye main",
    "usr/bin/python3.9": b"program",
    "usr/share/doc/caffe/README": b"text",
    "usr/share/doc/caffe/copyright": b"licence",
    "var/cache/ldconfig/aux-cache": b"cache",
    "var/lib/dpkg/status": STATUS.encode(),
    "var/lib/dpkg/status-old": b"",
    "var/log/dpkg.log": b"log",
    "tmp/left": b"over",
}


def _tree(path: Path, *, seed: int = 0, mtime: int = 1, status: bool = True) -> Path:
    """A tree's tar with its entries in an order of its own."""
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    for name in FOLDERS:
        folder = tarfile.TarInfo(f"./{name}")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        members.append((folder, b""))
    for name, data in FILES.items():
        if status or name != "var/lib/dpkg/status":
            file = tarfile.TarInfo(f"./{name}")
            file.size, file.mode, file.uname, file.pax_headers = (
                len(data),
                0o644,
                "builder",
                {"atime": f"{mtime}.5"},
            )
            members.append((file, data))
    link = tarfile.TarInfo("./usr/bin/python3")
    link.type, link.linkname = tarfile.SYMTYPE, "python3.9"
    null = tarfile.TarInfo("./dev/null")
    null.type, null.devmajor, null.devminor = tarfile.CHRTYPE, 1, 3
    members += [(link, b""), (null, b"")]
    random.Random(seed).shuffle(members)  # noqa: S311 an order, not a secret
    hard = tarfile.TarInfo("./usr/bin/aa-other-name")
    hard.type, hard.linkname = tarfile.LNKTYPE, "./usr/bin/python3.9"
    members.append((hard, b""))
    with tarfile.open(path, "w") as tar:
        for info, data in members:
            info.mtime = mtime
            tar.addfile(info, io.BytesIO(data))
    return path


def _layer(tmp_path: Path, tree: Path, name: str = "layer") -> tuple[BlobLayer, Contents]:
    return write_layer(tree, RECIPE, tmp_path / name, Silent().start(""))


def _read(layer: BlobLayer) -> dict[str, tarfile.TarInfo]:
    with layer.open() as blob, tarfile.open(fileobj=igzip.open(blob)) as tar:
        return {member.name: member for member in tar}


def test_the_layer_holds_what_belongs_into_a_base_and_no_more(tmp_path: Path) -> None:
    layer, _ = _layer(tmp_path, _tree(tmp_path / "tree"))
    names = list(_read(layer))

    assert names == sorted(names)
    assert {name for name in names if "." in name or name.startswith(("etc/", "usr/bin/"))} == {
        "etc/apt/sources.list",
        "etc/machine-id",
        "etc/passwd",
        "usr/bin/aa-other-name",
        "usr/bin/python",
        "usr/bin/python3",
        "usr/bin/python3.9",
    }
    assert {"dev", "tmp", "var/log", "usr/share/doc/caffe/copyright"} <= set(names)


def test_order_times_and_names_of_the_build_leave_no_trace(tmp_path: Path) -> None:
    one, _ = _layer(tmp_path, _tree(tmp_path / "a", seed=1, mtime=1_000), "one")
    two, _ = _layer(tmp_path, _tree(tmp_path / "b", seed=2, mtime=2_000_000_000), "two")

    assert one.descriptor == two.descriptor
    assert {member.mtime for member in _read(one).values()} == {EPOCH}
    validate(Image((one,), {"os": "linux", "architecture": "amd64"}), deep=True)


def test_a_hard_link_stays_one_file(tmp_path: Path) -> None:
    layer, _ = _layer(tmp_path, _tree(tmp_path / "tree"))
    members = _read(layer)

    assert members["usr/bin/aa-other-name"].isreg()
    assert members["usr/bin/python3.9"].linkname == "usr/bin/aa-other-name"


def test_the_mirrors_password_does_not_get_into_the_image(tmp_path: Path) -> None:
    layer, _ = _layer(tmp_path, _tree(tmp_path / "tree"))
    with layer.open() as blob:
        assert b"password" not in igzip.decompress(blob.read())


def test_packages_and_python_are_read_from_the_tree(tmp_path: Path) -> None:
    _, contents = _layer(tmp_path, _tree(tmp_path / "tree"))

    assert contents.python == "3.9.2"
    assert contents.packages == {
        "python3.9-minimal:amd64": "3.9.2-1+deb11u3",
        "caffe:amd64": "1.0.0+git20180821.99bd997-8",
    }


def test_a_tree_without_packages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="has no var/lib/dpkg/status"):
        _layer(tmp_path, _tree(tmp_path / "tree", status=False))


def test_half_a_tree_is_refused(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "tree")
    tree.write_bytes(tree.read_bytes()[:5000])
    with pytest.raises(BaseError, match="archive is broken"):
        _layer(tmp_path, tree)


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        _layer(tmp_path, _tree(tmp_path / "tree"), "nowhere/layer")
