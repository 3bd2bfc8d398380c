"""Real builds, of a base as small as Debian makes one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.bases import BuiltBase, kept_cache
from support.engines import RunningDocker, RunningPodman
from uaitrain.bases import labels, mmdebstrap
from uaitrain.bases.build import Built, build
from uaitrain.bases.mmdebstrap import Builder
from uaitrain.bases.recipe import EPOCH, Recipe
from uaitrain.bases.rootfs import write_layer
from uaitrain.bases.store import Store
from uaitrain.engines import Engine
from uaitrain.errors import BaseError, StorageError
from uaitrain.oci.digest import Digest
from uaitrain.oci.validate import validate
from uaitrain.progress import Silent

SMALL = Recipe(
    "small",
    "bullseye",
    ("hostname",),
    variant="essential",
    finish=("echo made > /etc/made",),
    links={"usr/bin/python": "perl"},
    drop=("usr/share/*",),
)
NOWHERE = ("deb http://127.0.0.1:9/debian bullseye main",)


def _build(recipe: Recipe = SMALL, *, builder: Builder | None = None, force: bool = False) -> Built:
    return build(recipe, builder or Builder(), Store.default(), force=force)


def _left_over(cache: Path) -> list[str]:
    return [p.name for p in (cache / "base-builds").iterdir() if p.suffix not in (".lock", ".log")]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The small base, built by the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UAITRAIN_CACHE", str(tmp_path_factory.mktemp("small")))
        yield _build()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UAITRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_built_base_is_a_whole_image_that_says_what_it_is(small: Built) -> None:
    validate(small.image, deep=True)

    assert small.built
    assert small.image.labels[labels.NAME] == "small"
    assert str(small.image.platform) == "linux/amd64"
    assert small.image.config["config"]["Cmd"] == ["/bin/bash"]


def test_building_again_gives_the_same_digest(small: Built, cache: Path) -> None:
    first, found, forced = _build(), _build(), _build(force=True)

    assert {small.image.digest} == {b.image.digest for b in (first, found, forced)}
    assert [b.built for b in (first, found, forced)] == [True, False, True]
    assert _left_over(cache) == []


def test_a_base_of_an_older_recipe_is_built_again(cache: Path) -> None:
    old = _build(replace(SMALL, description="as it was"))
    new = _build()

    assert (old.built, new.built) == (True, True)
    assert new.image.labels["org.opencontainers.image.description"] == ""
    assert Store.default().digest("small") == new.image.digest


def _layer_of(words: list[str], folder: Path) -> Digest:
    """The layer of the tree that ``words`` write to standard output."""
    with (folder / "tree").open("wb") as tree:
        subprocess.run(
            words,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=tree,
            stderr=subprocess.PIPE,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": "/tmp"},  # noqa: S108 a folder that every user may enter
        )
    layer, _ = write_layer(folder / "tree", SMALL, folder / "layer", Silent().start(""))
    return layer.descriptor.digest


def test_a_user_who_is_not_root_builds_the_same_bytes(
    small: Built, podman_engine: RunningPodman, tmp_path: Path
) -> None:
    words = mmdebstrap.command(SMALL, Builder(), "", root=False)
    if os.geteuid() == 0:
        ids = (f"--reuid={podman_engine.uid}", f"--regid={podman_engine.gid}", "--init-groups")
        words = ["setpriv", *ids, "env", f"--chdir={podman_engine.home}", *words]

    assert _layer_of(words, tmp_path) == small.image.layers[0].descriptor.digest


@pytest.fixture(scope="session")
def builder_tree() -> Path:
    """The tar of a Debian system with mmdebstrap: a builder image, kept for later runs."""
    path = kept_cache() / "builder.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(".new")
        packages = "--include=mmdebstrap,debian-archive-keyring,ca-certificates"
        subprocess.run(
            ["mmdebstrap", "--variant=minbase", packages, "--format=tar", "bookworm", str(whole)],
            check=True,
            capture_output=True,
        )
        whole.rename(path)
    return path


@pytest.mark.parametrize("program", ["docker", "podman"])
def test_a_container_builds_the_same_bytes(
    small: Built, cache: Path, program: str, builder_tree: Path, request: pytest.FixtureRequest
) -> None:
    running = request.getfixturevalue(f"{program}_engine")
    assert isinstance(running, RunningDocker | RunningPodman)
    engine: Engine = running.engine
    with builder_tree.open("rb") as tree:
        subprocess.run(
            engine.argv("import", "-", "localhost/builder:1"),
            check=True,
            stdin=tree,
            capture_output=True,
            env=engine.child_environment(),
        )
    built = _build(builder=Builder(engine, image="localhost/builder:1"))
    engine.answer("rmi", "localhost/builder:1")

    assert built.image.digest == small.image.digest


def _build_in_child(results: multiprocessing.Queue[tuple[bool, str]]) -> None:
    built = _build()
    results.put((built.built, built.image.digest))


def test_of_two_builds_at_once_the_second_finds_it_built(small: Built, cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[bool, str]] = context.Queue()
    children = [context.Process(target=_build_in_child, args=(results,)) for _ in range(2)]
    for child in children:
        child.start()
    answers = sorted(results.get(timeout=120) for _ in children)
    for child in children:
        child.join()

    assert answers == [(False, small.image.digest), (True, small.image.digest)]


def _has_begun(record: Path) -> bool:
    return record.exists() and (Path(record.read_text()) / "tree.tar").exists()


def test_a_build_that_was_killed_harms_nothing(small: Built, cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[bool, str]] = context.Queue()
    child = context.Process(target=_build_in_child, args=(results,))
    child.start()
    deadline = time.monotonic() + 60
    while not _has_begun(cache / "base-builds" / "small.work"):
        assert child.is_alive(), "the build ended before it began"
        assert time.monotonic() < deadline, "the build did not begin"
        time.sleep(0.01)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert Store.default().list() == ()

    assert _build().image.digest == small.image.digest
    assert _left_over(cache) == []


@pytest.mark.parametrize(
    ("recipe", "mirrors", "message"),
    [
        (SMALL, NOWHERE, "the Debian mirror cannot be reached"),
        (
            Recipe("small", "bullseye", ("no-such-package",), variant="essential"),
            (),
            "lacks a package",
        ),
    ],
)
def test_a_failed_build_leaves_nothing(
    cache: Path, recipe: Recipe, mirrors: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BaseError, match=message) as caught:
        _build(recipe, builder=Builder(mirrors=mirrors))

    assert "--mirror" in caught.value.next_step
    assert _left_over(cache) == []
    assert Store.default().list() == ()


def test_a_full_disk_is_told(cache: Path) -> None:
    cache.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(cache)],
        check=True,
        capture_output=True,
    )
    try:
        with pytest.raises(StorageError, match=r"the disk is full|No space left on device"):
            _build()
        assert _left_over(cache) == []
    finally:
        subprocess.run(["umount", str(cache)], check=True)


def test_the_caffe_base_is_whole_and_tells_its_python(caffe_base: BuiltBase) -> None:
    validate(caffe_base.image, deep=True)

    assert caffe_base.image.labels[labels.PYTHON].startswith("3.9.")
    assert caffe_base.image.labels[labels.ACCELERATOR] == "cpu"
