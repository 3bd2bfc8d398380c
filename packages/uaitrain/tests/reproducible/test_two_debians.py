"""Same folder, same base, same version of the tool: the same digests, wherever and by whomever."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.debians import SUITES, Debian, debians  # noqa: F401 a fixture
from support.jobs import NET, SOLVER
from support.tiny_image import layer_of
from uaitrain.bases import labels
from uaitrain.oci.image import History, Image
from uaitrain.oci.layout import Layout

FILES: dict[str, bytes] = {
    "solver.prototxt": SOLVER.encode(),
    "net.prototxt": NET.encode(),
    "run.sh": b"#!/bin/sh\necho run\n",
    "model/ünïcode名.py": b"NAME = 1\n",
    "model/__init__.py": b"",
    "weights.bin": random.Random(3).randbytes(3 << 20),  # noqa: S311 - data
    "pruned.bin": bytes(20 << 20),
    **{f"part{n % 7}/file{n:03}.py": f"NUMBER = {n}\n".encode() * 200 for n in range(300)},
}
EXECUTABLE = "run.sh"


def lay_out(folder: Path, *, order: int, mode: int) -> None:
    """The same code, written in another order, at another time, with other modes."""
    names = sorted(FILES)
    random.Random(order).shuffle(names)  # noqa: S311 - an order
    for name in names:
        path = folder / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[name])
        path.chmod(mode | 0o100 if name == EXECUTABLE else mode)
        os.utime(path, ns=(order * 10**18, order * 10**18 + len(name)))
    (folder / "code" / "link").symlink_to("model/__init__.py")
    for name in ("data", "output"):
        (folder / name).mkdir()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    image = Image((), config).append([layer_of({"usr/bin/python": b"x"})], [History("a base")])
    folder = tmp_path_factory.mktemp("base") / "base"
    Layout(folder).put(image.configure(labels={labels.PYTHON: "3.9.2"}), "b")
    return folder


@pytest.fixture
def scratch(debians: tuple[Debian, Debian]) -> Iterator[dict[str, Path]]:  # noqa: F811
    """A folder in each root, ``/srv/job`` in one and a deep one with a blank in the other."""
    places = dict(zip(SUITES, ("srv/job", "home/some one/work/job"), strict=True))
    made = {each.suite: each.root / places[each.suite] for each in debians}
    for each in debians:
        made[each.suite].mkdir(parents=True)
    yield made
    for each in debians:
        shutil.rmtree(each.root.joinpath(*places[each.suite].split("/")[:2]))


def packed(
    debian: Debian, folder: Path, base: Path, user: int, umask: str, **environment: str
) -> dict[str, str]:
    """The digests of both images, layer by layer, in the order of the manifest."""
    inside = "/" + str(folder.relative_to(debian.root))
    shutil.copytree(base, folder / "base")
    subprocess.run(["chown", "-R", f"{user}:{user}", str(folder)], check=True)
    words = ["python3", "-m", "uaitrain", "pack", "--no-load", "--layout=images", "--json"]
    words += ["--image=job", "--solver=/data/solver.prototxt"]
    words += [f"--base-{kind}=oci:{inside}/base:b" for kind in ("cpu", "gpu")]
    told = debian.run(words, inside, user, umask, {"HOME": inside, **environment})
    images = json.loads(told)["images"]
    found: dict[str, str] = {}
    for kind, image in images.items():
        found[f"{kind} manifest"] = image["digest"]
        for number, layer in enumerate(image["layers"]):
            found[f"{kind} layer {number} {layer['name']}"] = layer["digest"]
    return found


def test_the_digests_are_the_same(
    debians: tuple[Debian, Debian],  # noqa: F811
    scratch: dict[str, Path],
    base: Path,
) -> None:
    one, other = debians
    lay_out(scratch[one.suite], order=1, mode=0o644)
    lay_out(scratch[other.suite], order=2, mode=0o600)

    as_root = packed(one, scratch[one.suite], base, 0, "022", TZ="UTC", LC_ALL="C.UTF-8")
    as_user = packed(
        other,
        scratch[other.suite],
        base,
        1234,
        "077",
        TZ="Asia/Shanghai",
        LC_ALL="C",
        PYTHONHASHSEED="7",
        PYTHONUTF8="0",
    )

    assert as_root == as_user
    assert len(as_root) > 10


def test_what_belongs_to_the_content_does_count(
    debians: tuple[Debian, Debian],  # noqa: F811
    scratch: dict[str, Path],
    base: Path,
) -> None:
    """The executable bit is content, and so is SOURCE_DATE_EPOCH where it is given."""
    one, other = debians
    for each in debians:
        lay_out(scratch[each.suite], order=1, mode=0o644)
    (scratch[other.suite] / "code" / EXECUTABLE).chmod(0o644)

    first = packed(one, scratch[one.suite], base, 0, "022")
    second = packed(other, scratch[other.suite], base, 0, "022")
    assert first != second

    shutil.rmtree(scratch[one.suite] / "base")
    dated = packed(one, scratch[one.suite], base, 0, "022", SOURCE_DATE_EPOCH="1000000000")
    assert dated != first
