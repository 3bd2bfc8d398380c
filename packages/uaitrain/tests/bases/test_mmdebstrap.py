"""How mmdebstrap is called, and what its failures mean."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from uaitrain.bases.mmdebstrap import Builder, command, explain, find_builder
from uaitrain.bases.recipe import Recipe
from uaitrain.engines import Engine
from uaitrain.errors import BaseError, StorageError

RECIPE = Recipe("own", "bullseye", ("caffe", "python3-caffe"), finish=("echo 'a b'",))
DOCKER = Builder(Engine("docker", ("sudo", "docker")), ("http://mirror.example.com",), "debian:x")


def _words(builder: Builder, *, root: bool) -> list[str]:
    words = command(RECIPE, builder, "container", root=root)
    return words[words.index("mmdebstrap") :]


@pytest.mark.parametrize(("root", "mode"), [(True, "root"), (False, "unshare")])
def test_the_mode_is_that_of_the_user(root: bool, mode: str) -> None:
    assert _words(Builder(), root=root) == [
        "mmdebstrap",
        f"--mode={mode}",
        "--variant=minbase",
        "--architectures=amd64",
        "--format=tar",
        '--aptopt=Acquire::Check-Valid-Until "false"',
        "--aptopt=Acquire::Retries 3",
        "--include=caffe,python3-caffe",
        "--customize-hook=chroot \"$1\" sh -c 'echo '\"'\"'a b'\"'\"''",
        "bullseye",
        "-",
    ]


def test_the_users_mirror_comes_after_the_target() -> None:
    words = _words(Builder(mirrors=("http://mirror.example.com/debian",)), root=True)

    assert words[-3:] == ["bullseye", "-", "http://mirror.example.com/debian"]


def test_an_engine_runs_the_same_in_a_container() -> None:
    words = command(RECIPE, DOCKER, "container", root=False)

    assert words[:5] == ["sudo", "docker", "run", "--rm", "--name=container"]
    assert "--env=SOURCE_DATE_EPOCH=1767225600" in words
    assert words[-4:-1] == ["debian:x", "sh", "-c"]
    assert words[-1].endswith("bullseye - http://mirror.example.com")


@pytest.mark.parametrize(
    ("line", "kind", "what", "next_step"),
    [
        (
            "E: You don't have enough free space in /var/cache/apt/archives/.",
            StorageError,
            "the disk is full",
            "TMPDIR",
        ),
        ("tar: write error: No space left on device", StorageError, "the disk is full", "TMPDIR"),
        (
            "Err:1 http://x bullseye InRelease  Temporary failure resolving 'x'",
            BaseError,
            "cannot be reached",
            "--mirror",
        ),
        (
            "W: GPG error: NO_PUBKEY 0E98404D386FA1D9",
            BaseError,
            "signature cannot be checked",
            "debian-archive-keyring",
        ),
        (
            "E: The repository 'http://x bullseye Release' does not have a Release file.",
            BaseError,
            "does not carry this suite",
            "--mirror",
        ),
        ("E: Unable to locate package caffe", BaseError, "lacks a package", "--mirror"),
        (
            "E: newuidmap failed: not permitted",
            BaseError,
            "may not make the namespaces",
            "--builder docker",
        ),
        (
            "docker: Error response from daemon: No such image",
            BaseError,
            "cannot run the builder image",
            "--builder-image",
        ),
        ("E: something new", BaseError, "the build failed (status 25): E: something new", "log"),
    ],
)
def test_a_failure_is_explained(
    line: str, kind: type[Exception], what: str, next_step: str
) -> None:
    error = explain(RECIPE, 25, ["I: running apt-get update...", line], Path("own.log"))

    assert isinstance(error, kind)
    assert what in error.what
    assert next_step in error.next_step
    assert "own.log" in error.next_step


def test_a_machine_without_any_builder_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BaseError, match=r"mmdebstrap: not installed; docker: .*; podman: ") as said:
        find_builder()

    assert said.value.next_step == "sudo apt-get install mmdebstrap uidmap"


def test_mmdebstrap_is_preferred() -> None:
    assert shutil.which("mmdebstrap"), "this test needs mmdebstrap: apt-get install mmdebstrap"
    assert find_builder().program == "mmdebstrap"
