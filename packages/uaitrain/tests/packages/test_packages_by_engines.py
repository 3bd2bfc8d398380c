"""Debian packages and built ones by a real Docker and a real rootless Podman, with one lock."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.bases import kept_cache
from support.engines import RunningDocker, RunningPodman
from support.jobs import SmallJob, make_job
from uaitrain.bases import mmdebstrap
from uaitrain.bases.build import build
from uaitrain.bases.recipe import Recipe
from uaitrain.bases.store import Store
from uaitrain.engines import Engine
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout

LOCK = "uaitrain.packages.lock"
_BASE = Recipe(
    "debian12-python3",
    "bookworm",
    ("python3",),
    links={"usr/bin/python": "python3"},
    drop=("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*"),
)
_USE = (
    "import docopt, os, shutil; print(docopt.__version__, shutil.which('tree'),"
    " os.path.exists('/var/lib/dpkg/info/tree.list'))"
)


@pytest.fixture(scope="module")
def base() -> Image:
    """Debian 12 with its Python, built once and kept for later runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UAITRAIN_CACHE", str(kept_cache()))
        return build(_BASE, mmdebstrap.find_builder(), Store.default()).image


def _job(folder: Path, base: Image, lock: str = "") -> SmallJob:
    Layout(folder / "bases").put(base, "base")
    if lock:
        (folder / LOCK).write_text(lock)
    return make_job(folder, f"oci:{folder}/bases:base")


def _pack(job: SmallJob, engine: str, *through: str) -> dict[str, str]:
    """The digests of the layers of packages by name. The cache is the job's, and empty at first."""
    words = [sys.executable, "-m", "uaitrain", "pack", "--image=packages:1", "--no-check", "--json"]
    words += ["--solver=/data/solver.prototxt", f"--base-cpu={job.base}", f"--base-gpu={job.base}"]
    words += [f"--container-engine={engine}", "--sdist=docopt==0.6.2", "--apt=tree"]
    done = subprocess.run(
        [*through, "env", f"--chdir={job.folder}", *words],
        env=os.environ | {"UAITRAIN_CACHE": str(job.folder / "cache")} | job.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    layers = json.loads(done.stdout)["images"]["cpu"]["layers"]
    return {one["name"]: one["digest"] for one in layers if one["name"].endswith(" packages")}


def _as_user(podman: RunningPodman) -> list[str]:
    """What goes before a command that the user of ``podman`` gives.

    This Python may lie where only root may read. So the command may read all, and Podman may not.
    """
    words = list(podman.engine.words[:-1])
    if os.geteuid() != 0:
        return words
    program = podman.home / "bin" / "podman"
    program.parent.mkdir(exist_ok=True)
    found = shutil.which("podman")
    program.write_text(
        f'#!/bin/sh\nexec setpriv --ambient-caps=-all --inh-caps=-all {found} "$@"\n'
    )
    program.chmod(0o755)
    may_read = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    path = f"PATH={program.parent}:{podman.engine.environment['PATH']}"
    return [words[0], *may_read, *words[1:], path]


def _used(engine: Engine) -> str:
    return engine.answer(
        *("run", "--rm", "--network=host", "--entrypoint=/usr/bin/python"),
        *("packages-cpu:1", "-c", _USE),
    ).strip()


def _left(engine: Engine) -> list[str]:
    return engine.answer("ps", "--all", "--filter=name=uaitrain-packages", "--quiet").split()


def test_one_lock_gives_the_same_layers_in_docker_and_in_rootless_podman(
    tmp_path: Path, base: Image, docker_engine: RunningDocker, podman_engine: RunningPodman
) -> None:
    first = _job(tmp_path / "first", base)
    first.environment["DOCKER_HOST"] = docker_engine.host
    made = _pack(first, "docker")
    lock = (first.folder / LOCK).read_text()
    shutil.rmtree(first.folder / "cache")
    again = _pack(first, "docker")
    # The whole command is that user's, who is not root.
    theirs = _job(podman_engine.home / "packages", base, lock)
    for path in (theirs.folder, *theirs.folder.rglob("*")):
        os.chown(path, podman_engine.uid, podman_engine.gid)
    by_podman = _pack(theirs, "podman", *_as_user(podman_engine))

    assert sorted(made) == ["Debian packages", "Python packages"]
    assert again == made
    assert by_podman == made
    assert (theirs.folder / LOCK).read_text() == lock
    assert "docopt==0.6.2" in lock
    assert "tree:amd64=" in lock
    for engine in (docker_engine.engine, podman_engine.engine):
        assert _used(engine) == "0.6.2 /usr/bin/tree True"
        assert _left(engine) == []
    assert list((theirs.folder / "cache" / "packages" / "work").iterdir()) == []
