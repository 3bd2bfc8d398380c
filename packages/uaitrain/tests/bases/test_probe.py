"""Whether a base has /usr/bin/python, and which."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

import pytest
from support.tiny_image import layer_of
from uaitrain.bases import labels
from uaitrain.bases.probe import has_python, python_of
from uaitrain.errors import RegistryError
from uaitrain.oci.image import Image
from uaitrain.paths import cache_dir

CONFIG = {"os": "linux", "architecture": "amd64"}
PROGRAM = {"usr/bin/python2.7": b"\x7fELF"}


def _image(*layers: tuple[Mapping[str, bytes], Mapping[str, str]]) -> Image:
    return Image(tuple(layer_of(files, links) for files, links in layers), CONFIG)


LINKED = _image((PROGRAM, {"usr/bin/python": "python2", "usr/bin/python2": "python2.7"}))


@pytest.mark.parametrize(
    ("image", "present", "version"),
    [
        (LINKED, True, "2.7"),
        (_image((PROGRAM, {"usr/bin/python": "/usr/bin/python2.7"})), True, "2.7"),
        (
            _image(({"opt/py/python3.6": b""}, {"usr/bin/python": "../../opt/py/python3.6"})),
            True,
            "3.6",
        ),
        (
            _image(({"real/python3.8": b""}, {"usr/bin": "../real", "real/python": "python3.8"})),
            True,
            "3.8",
        ),
        (_image(({"usr/bin/python": b"#!"}, {})), True, ""),
        (_image(({"usr/bin/python3.9": b""}, {"usr/bin/python3": "python3.9"})), False, ""),
        (_image(({}, {"usr/bin/python": "python9"})), False, ""),
        (_image(({}, {"usr/bin/python": "python"})), False, ""),
        (
            _image((PROGRAM, {"usr/bin/python": "python2.7"}), ({"usr/bin/.wh.python": b""}, {})),
            False,
            "",
        ),
        (_image((PROGRAM, {"usr/bin/python": "python2.7"}), ({"usr/.wh.bin": b""}, {})), False, ""),
        (
            _image(
                (PROGRAM, {"usr/bin/python": "python2.7"}),
                ({"usr/bin/.wh..wh..opq": b"", "usr/bin/python": b"#!"}, {}),
            ),
            True,
            "",
        ),
        (
            _image(
                (PROGRAM, {"usr/bin/python": "python2.7"}),
                ({"usr/bin/python3.9": b""}, {"usr/bin/python": "python3.9"}),
            ),
            True,
            "3.9",
        ),
    ],
    ids=[
        *("two links", "absolute link", "link out of the folder", "linked folder", "a file"),
        *("python3 only", "dangling link", "link to itself"),
        *("removed above", "folder removed above", "folder replaced above", "replaced above"),
    ],
)
def test_links_and_layers_are_followed(image: Image, present: bool, version: str) -> None:
    assert has_python(image, local=True) is present
    assert python_of(image, local=True) == version


def test_a_label_tells_it_without_a_look() -> None:
    labelled = LINKED.configure(labels={labels.PYTHON: "3.9.2"})
    without = LINKED.configure(labels={labels.PYTHON: ""})

    assert (python_of(labelled, local=False), has_python(labelled, local=False)) == ("3.9.2", True)
    assert has_python(without, local=True) is False


def test_a_base_in_a_registry_is_not_downloaded_for_it() -> None:
    def refuse() -> BinaryIO:
        raise AssertionError("downloaded")

    remote = replace(LINKED, layers=(replace(LINKED.layers[0], opener=refuse),))

    assert python_of(remote, local=False) is None
    assert has_python(remote, local=False) is None


def test_the_layers_are_read_once_only() -> None:
    image = _image((PROGRAM, {"usr/bin/python": "python2.7"}))
    assert python_of(image, local=True) == "2.7"

    def refuse() -> BinaryIO:
        raise AssertionError("read again")

    assert (
        python_of(replace(image, layers=(replace(image.layers[0], opener=refuse),)), local=True)
        == "2.7"
    )


def test_a_spoilt_memory_is_made_again() -> None:
    image = _image((PROGRAM, {"usr/bin/python": "python2.7"}))
    python_of(image, local=True)
    (memory,) = (cache_dir() / "base-python").iterdir()
    memory.write_text("{")

    assert python_of(image, local=True) == "2.7"
    assert json.loads(memory.read_text()) == "usr/bin/python2.7"


@pytest.mark.parametrize("blob", [b"no tar", b"", b"\x1f\x8b\x08broken"])
def test_an_unreadable_layer_means_that_nobody_knows(blob: bytes) -> None:
    broken = replace(LINKED.layers[0], opener=lambda: io.BytesIO(blob))
    assert python_of(Image((broken,), CONFIG | {"author": blob.hex()}), local=True) is None


def test_a_layer_that_cannot_be_had_means_that_nobody_knows() -> None:
    def refuse() -> BinaryIO:
        raise RegistryError("gone")

    broken = replace(LINKED.layers[0], opener=refuse)
    assert has_python(Image((broken,), CONFIG | {"author": "gone"}), local=True) is None


def test_tar_headers_with_long_names_are_read() -> None:
    raw = io.BytesIO()
    name = "usr/lib/" + "x" * 200
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("usr/bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, f"../lib/{'x' * 200}"
        tar.addfile(link)
    plain = layer_of({}, gzip=False)
    layer = replace(plain, opener=lambda: io.BytesIO(raw.getvalue()))

    assert has_python(Image((layer,), CONFIG | {"author": "long"}), local=True) is True
