"""Python packages and an engine of our own in a base, with small wheels made here."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from uaitrain.bases import labels, site, wheels
from uaitrain.bases.build import Built, build
from uaitrain.bases.mmdebstrap import Builder
from uaitrain.bases.recipe import PythonPart, Recipe
from uaitrain.bases.store import Store
from uaitrain.errors import BaseError
from uaitrain.oci.layer import Layer
from uaitrain.oci.validate import validate

SITE = "usr/local/lib/python3.11/dist-packages"


def make_wheel(folder: Path, name: str, files: Mapping[str, str], version: str = "1.0") -> Path:
    """A wheel as a build tool makes it, with an installer's notes that must not be packed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    described = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**files, **described}.items():
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = (0o755 if "/bin/" in inside else 0o644) << 16
            archive.writestr(entry, text)
    return path


def engine_wheel(folder: Path, said: str) -> Path:
    files = {
        "greet/__init__.py": f"from tool import WORD\ndef main():\n    print({said!r}, WORD)\n",
        "greet-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreet = greet:main\n",
    }
    return make_wheel(folder / said, "greet", files)


def recipe_with(lock: str, check: str = "import greet") -> Recipe:
    return Recipe(
        "small-python",
        "bookworm",
        ("python3-minimal",),
        variant="essential",
        links={"usr/bin/python": "python3"},
        drop=("usr/share/*", "*/tests/*"),
        python=PythonPart("3.11", "small.lock", "greet", check, lock),
    )


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that is all that pip knows, with one package."""
    folder = tmp_path_factory.mktemp("index")
    files = {
        "tool/__init__.py": "WORD = 'world'\n",
        "tool/bin/helper": "#!/bin/sh\n",
        "tool/tests/test_tool.py": "",
        "tool/of_tomorrow.py": "def f[T](): ...\n",
        "tool-1.0.data/scripts/tool-run": "#!/bin/sh\n",
    }
    make_wheel(folder, "tool", files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def lock(index: Path) -> str:
    digest = hashlib.sha256((index / "tool-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    return f"tool==1.0 --hash=sha256:{digest}\n"


@pytest.fixture(scope="module")
def small(lock: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UAITRAIN_CACHE", str(tmp_path_factory.mktemp("first")))
        yield _build(lock, engine_wheel(tmp_path_factory.mktemp("engine"), "hello"))


def _build(lock: str, wheel: Path, **changes: str) -> Built:
    return build(recipe_with(lock, **changes), Builder(), Store.default(), engine_wheel=wheel)


def _members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with layer.open() as blob, tarfile.open(fileobj=io.BytesIO(blob.read())) as tar:
        return {member.name: member for member in tar}


def test_packages_and_the_engine_are_layers_of_their_own(small: Built) -> None:
    validate(small.image, deep=True)
    _, packages, engine = (_members(layer) for layer in small.image.layers)

    assert {name for name in packages if name.startswith(f"{SITE}/tool/")} == {
        f"{SITE}/tool/__init__.py",
        f"{SITE}/tool/__pycache__",
        f"{SITE}/tool/__pycache__/__init__.cpython-311.pyc",
        f"{SITE}/tool/bin",
        f"{SITE}/tool/bin/helper",
        f"{SITE}/tool/of_tomorrow.py",
    }
    assert packages[f"{SITE}/tool/bin/helper"].mode == 0o755
    assert packages["usr/local/bin/tool-run"].mode == 0o755
    assert {f"{SITE}/greet/__init__.py", "usr/local/bin/greet"} <= set(engine)
    assert not any(name.endswith("RECORD") for name in (*packages, *engine))
    assert small.image.labels[labels.ENGINE] == "greet 1.0"
    assert small.image.labels[labels.PYTHON].startswith("3.11.")


def test_everything_belongs_to_root_and_bears_one_time(small: Built) -> None:
    members = [m for layer in small.image.layers[1:] for m in _members(layer).values()]

    assert {(m.uid, m.gid, m.mtime) for m in members} == {(0, 0, 1767225600)}


def test_a_new_engine_changes_the_top_layer_and_nothing_else(
    small: Built, lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UAITRAIN_CACHE", str(tmp_path / "cache"))
    hello, goodbye = engine_wheel(tmp_path, "hello"), engine_wheel(tmp_path, "goodbye")
    again = _build(lock, hello)
    found = _build(lock, hello)
    changed = _build(lock, goodbye)
    back = _build(lock, hello)

    assert again.image.digest == found.image.digest == back.image.digest == small.image.digest
    assert [b.built for b in (again, found, changed, back)] == [True, False, True, True]
    assert changed.image.diff_ids[:-1] == small.image.diff_ids[:-1]
    assert changed.image.diff_ids[-1] != small.image.diff_ids[-1]
    assert len(changed.image.config["history"]) == 3


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UAITRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_package_that_is_not_the_listed_one_is_refused(
    cache: Path, lock: str, tmp_path: Path
) -> None:
    wrong = lock[:-7] + "abcdef\n"
    with pytest.raises(BaseError, match="not the one that the list names by digest"):
        _build(wrong, engine_wheel(tmp_path, "hello"))

    assert Store.default().list() == ()


def test_a_package_that_pip_does_not_find_is_named(cache: Path, lock: str, tmp_path: Path) -> None:
    with pytest.raises(BaseError, match=r"pip does not find torch==2\.13\.0\+cpu") as caught:
        _build(lock.replace("tool==1.0", "torch==2.13.0+cpu"), engine_wheel(tmp_path, "hello"))

    assert "PIP_FIND_LINKS=FOLDER" in caught.value.next_step


def test_a_base_that_fails_its_check_is_told(small: Built, tmp_path: Path) -> None:
    part = PythonPart("3.11", "small.lock", check="import nothing")
    python = site.interpreter(small.image.layers[0], part, tmp_path / "root")

    with pytest.raises(BaseError, match="No module named 'nothing'"):
        site.check(python)


def test_a_wheel_that_leads_out_of_the_tree_is_refused(tmp_path: Path) -> None:
    python = site.Interpreter(tmp_path / "root", PythonPart("3.11", "small.lock"), frozenset())
    wheel = make_wheel(tmp_path, "greet", {"../../escape.py": ""})

    with pytest.raises(BaseError, match=r"it holds the path '\.\./\.\./escape\.py'"):
        site.unpack(wheel, python, lambda name: True)


@pytest.mark.parametrize("name", ["greet-1.0.tar.gz", "other-1.0-py3-none-any.whl", "missing.whl"])
def test_what_is_no_wheel_of_the_engine_is_refused(cache: Path, tmp_path: Path, name: str) -> None:
    if name != "missing.whl":
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BaseError, match="not a wheel of greet"):
        wheels.own_wheel("greet", tmp_path / name, tmp_path, tmp_path / "log")


def test_without_the_repository_the_engines_wheel_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="the engine greet is not here") as caught:
        wheels.own_wheel("greet", None, tmp_path, tmp_path / "log")

    assert "--engine-wheel FILE" in caught.value.next_step


def test_a_recipe_for_another_python_than_its_debian_has_is_told(
    small: Built, tmp_path: Path
) -> None:
    part = PythonPart("3.12", "small.lock")

    with pytest.raises(BaseError, match=r"the recipe says Python 3\.12"):
        site.interpreter(small.image.layers[0], part, tmp_path / "root")
