"""``base lock``: a job stands on the base that it was locked on, wherever tag and registry went."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.registry import RunningRegistry, running_registry
from support.tiny_image import layer_of
from uaitrain.bases import labels, lock
from uaitrain.bases.lock import Lock, LockedBase
from uaitrain.bases.store import Store
from uaitrain.cli.main import main
from uaitrain.errors import BaseError, UsageError
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import History, Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.registry import connect
from uaitrain.registry.push import push_image

FILE = "uaitrain.lock"


def base(content: bytes) -> Image:
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    layers = [layer_of({"usr/bin/python": content}), layer_of({"opt/big": content * 1000})]
    image = Image((), config).append(layers, [History("a base"), History("more")])
    return image.configure(labels={labels.PYTHON: "3.9.2"})


OLD, NEW = base(b"the old one"), base(b"the new one")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[RunningRegistry]:
    """The user's own registry, where mirrors go."""
    (tmp_path / "other").mkdir()
    with running_registry(tmp_path / "other") as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, registry: RunningRegistry, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose base is the tag ``base:1`` in ``registry``; it is the current folder."""
    folder = tmp_path / "job"
    for name in ("code", "data", "output"):
        (folder / name).mkdir(parents=True)
    (folder / "code" / "main.py").write_text("print(1)\n")
    put(registry, OLD)
    settings = f'image = "job"\nmain = "main.py"\n[base]\ncpu = "{registry.host}/base:1"\n'
    (folder / "uaitrain.toml").write_text(settings + f'gpu = "{registry.host}/base:1"\n')
    monkeypatch.chdir(folder)
    monkeypatch.setenv("UAITRAIN_CACHE", str(tmp_path / "cache"))
    return folder


def put(registry: RunningRegistry, image: Image) -> None:
    push_image(connect(registry.host), image, Reference.parse(f"{registry.host}/base:1"))


def packed(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The digest of the base that a pack stands on, and what the pack said of the lock."""
    capsys.readouterr()
    code = main(["pack", "--no-load", "--layout=images", "--json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    images = json.loads(told.out)["images"]
    assert images["cpu"]["base"] == images["gpu"]["base"]
    said = [line for line in told.err.splitlines() if "uaitrain.lock" in line]
    return images["cpu"]["base"]["digest"], "".join(said)


def test_a_locked_base_stays_when_its_tag_moves(
    job: Path, registry: RunningRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["base", "lock"]) == 0
    assert packed(capsys) == (OLD.digest, "")
    assert main(["base", "lock", "--check"]) == 0

    put(registry, NEW)
    digest, told = packed(capsys)
    assert digest == OLD.digest
    assert f"names {NEW.digest} now; uaitrain.lock keeps the base at {OLD.digest}" in told

    assert main(["base", "lock", "--check"]) == BaseError.exit_code
    assert f"is {NEW.digest} now, not {OLD.digest}" in capsys.readouterr().err
    assert main(["base", "lock"]) == 0  # keeps what is locked
    assert packed(capsys)[0] == OLD.digest

    assert main(["base", "lock", "--upgrade"]) == 0
    assert packed(capsys) == (NEW.digest, "")


def test_a_mirrored_base_outlives_its_registry(
    job: Path,
    registry: RunningRegistry,
    other: RunningRegistry,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["base", "lock", f"--mirror={other.host}/mirrors"]) == 0
    (held,) = lock.read(job / FILE).bases
    assert held.mirror == Reference(
        other.host, "mirrors", f"base-{OLD.digest[7:19]}", digest=OLD.digest
    )
    registry.stop()
    # Another machine, years later: nothing is known here.
    monkeypatch.setenv("UAITRAIN_CACHE", str(tmp_path / "empty"))

    assert packed(capsys) == (OLD.digest, "")
    image = Layout(job / "images").image("job-cpu:uaitrain")
    assert [layer.diff_id for layer in image.layers[:2]] == [each.diff_id for each in OLD.layers]
    # Locking again asks nothing of a registry that is gone.
    assert main(["base", "lock", f"--mirror={other.host}/mirrors"]) == 0


def test_a_base_of_this_machine_is_mirrored_byte_for_byte(
    job: Path, other: RunningRegistry, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    layout = tmp_path / "bases"
    Layout(layout).put(OLD, "mine")
    text = f'image = "job"\nmain = "main.py"\n[base]\ncpu = "oci:{layout}:mine"\n'
    (job / "uaitrain.toml").write_text(text + f'gpu = "oci:{layout}:mine"\n')
    assert main(["base", "lock", f"--mirror={other.host}/mirrors"]) == 0
    Layout(layout).put(NEW, "mine")

    assert packed(capsys) == (OLD.digest, "")


def test_a_base_of_this_machine_that_changed_is_refused(
    job: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    layout = tmp_path / "bases"
    Layout(layout).put(OLD, "mine")
    text = f'image = "job"\nmain = "main.py"\n[base]\ncpu = "oci:{layout}:mine"\n'
    (job / "uaitrain.toml").write_text(text + f'gpu = "oci:{layout}:mine"\n')
    assert main(["base", "lock"]) == 0
    Layout(layout).put(NEW, "mine")
    capsys.readouterr()

    assert main(["pack", "--no-load", "--layout=images"]) == BaseError.exit_code
    told = capsys.readouterr().err
    assert "is not the one that uaitrain.lock has" in told
    assert "uaitrain base lock --upgrade" in told


def test_a_base_that_is_not_locked_is_told(
    job: Path, registry: RunningRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["base", "lock"]) == 0
    push_image(connect(registry.host), NEW, Reference.parse(f"{registry.host}/base:2"))
    capsys.readouterr()
    words = [f"--base-{kind}={registry.host}/base:2" for kind in ("cpu", "gpu")]

    assert main(["pack", "--no-load", "--layout=images", *words]) == 0
    assert "uaitrain.lock does not have the base" in capsys.readouterr().err


def test_a_lost_mirror_is_found_out(
    job: Path, other: RunningRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["base", "lock", f"--mirror={other.host}/mirrors"]) == 0
    assert main(["base", "lock", "--check"]) == 0
    (link,) = other.data.rglob(f"revisions/sha256/{OLD.digest[7:]}/link")
    link.unlink()
    capsys.readouterr()

    assert main(["base", "lock", "--check"]) == BaseError.exit_code
    assert "is gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--check", "--upgrade"], "--check writes nothing"),
        (["--mirror=bases"], "is no place for several bases"),
        (["--mirror=localhost:5000/bases:1"], "is no place for several bases"),
    ],
)
def test_wrong_words_are_refused(
    job: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["base", "lock", *words]) == UsageError.exit_code
    assert told in capsys.readouterr().err
    assert not (job / FILE).exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version = 2\n", "version is 2"),
        ("= broken", "not TOML"),
        ("version = 1\nbase = 3\n", "no list of tables"),
        ("version = 1\n[[base]]\nname = 'x'\n", "lacks digest"),
        ("version = 1\n[[base]]\nname = 'x'\ncolour = 'red'\n", "unknown key 'colour'"),
        (
            "version = 1\n[[base]]\nname = 'x'\ndigest = 'md5:1'\nplatform = 'p'\nsize = 1\n"
            "locked = 't'\n",
            "md5:1",
        ),
    ],
)
def test_a_broken_lock_is_told_with_its_path(
    job: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    (job / FILE).write_text(text)

    assert main(["pack", "--no-load", "--layout=images"]) == UsageError.exit_code
    said = capsys.readouterr().err
    assert str(job / FILE) in said
    assert told in said


def test_what_is_written_is_read(tmp_path: Path) -> None:
    digest = digest_of(b"x")
    reference = Reference.parse("registry.example.com/bases/a:1")
    locked = (
        LockedBase('a "b" \x7f', digest, "linux/amd64", 12, "2026-01-01T00:00:00Z"),
        LockedBase("c", digest, "linux/amd64", 0, "t", reference, digest_of(b"i"), reference),
    )
    written = Lock(tmp_path / FILE, locked)
    lock.write(written)

    assert lock.read(tmp_path / FILE) == written
    assert lock.render(written) == (tmp_path / FILE).read_text()


def test_a_locked_base_in_the_store_is_found_without_its_registry(
    job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A base that was built here, named by the catalogue."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "catalogue.toml").write_text(
        '[[base]]\nname = "own"\nframework = "caffe"\nversion = "1.0.0"\naccelerator = "cpu"\n'
        'recipe = "own.toml"\n'
    )
    monkeypatch.setenv("UAITRAIN_CONFIG", str(config))
    Store.default().put(OLD, "own")
    text = 'image = "job"\nmain = "main.py"\n[base]\ncpu = "own"\ngpu = "own"\n'
    (job / "uaitrain.toml").write_text(text)

    assert main(["base", "lock"]) == 0
    (held,) = lock.read(job / FILE).bases
    assert (held.name, held.digest, held.reference) == ("own", OLD.digest, None)
    assert packed(capsys) == (OLD.digest, "")
