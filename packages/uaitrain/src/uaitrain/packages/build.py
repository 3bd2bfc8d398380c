"""Python packages that have no wheels, built in a container of the base, by its own Python.

uv goes into the container as a file from here, so that the base needs neither pip nor uv. Only
what is installed comes out; compilers must be in the base or among ``packages.apt``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from uaitrain.bases.resolve import ResolvedBase
from uaitrain.engines import Engine
from uaitrain.errors import BaseError
from uaitrain.packages import indexes, resolver
from uaitrain.packages.container import INSIDE, ScriptError, image_of, ran, words
from uaitrain.packages.kept import pip_log
from uaitrain.packages.pins import Pin
from uaitrain.progress import Progress

_UV = "/run/uaitrain-uv"
_PYTHON = "/usr/bin/python"
_NOT_OURS = (
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
    "uv_cache.json",
    "uv_build.json",
    "RECORD",
)


def resolve(
    engine: Engine,
    base: ResolvedBase,
    python: str,
    wanted: Sequence[str],
    there: Mapping[str, str],
    before: Sequence[Pin],
    work: Path,
    progress: Progress,
) -> tuple[Pin, ...]:
    """As :func:`resolver.resolve`, and packages without wheels may be among them.

    Raises BaseError, EngineError, StorageError.
    """
    files = resolver.write_question(wanted, there, before, work)
    inside = [Path(INSIDE, file.name) for file in files]
    asked = [*resolver.compile_words(python, *inside), "--python", _PYTHON]
    task = progress.start(f"choosing Python packages in a container of {base.name}")
    try:
        _run(engine, base, words([_UV, *asked]), work, progress)
    except ScriptError as error:
        raise resolver.explain(error.said, python, there) from None
    task.done()
    return resolver.read_answer(files[2])


def build(
    engine: Engine,
    base: ResolvedBase,
    python: str,
    pins: Sequence[Pin],
    work: Path,
    progress: Progress,
) -> list[Path]:
    """Install each of ``pins`` into a tree of its own, laid out from the image's root.

    Raises BaseError, EngineError, StorageError.
    """
    lines = []
    for pin in pins:
        (work / f"{pin.name}.txt").write_text(f"{pin}\n", "utf-8")
        asked = ["pip", "install", "--no-deps", "--require-hashes", "--no-binary", pin.name]
        asked += ["--python", _PYTHON, "--target", f"{INSIDE}/built/{pin.name}"]
        lines.append(words([_UV, *asked, "--requirement", f"{INSIDE}/{pin.name}.txt"]))
    task = progress.start(f"building {len(pins)} Python packages in a container of {base.name}")
    try:
        _run(engine, base, "\n".join(lines), work, progress)
    except ScriptError as error:
        said = [line.strip() for line in error.said.splitlines() if line.strip()]
        raise BaseError(
            f"a package of packages.sdist cannot be built on {base.name}: {'; '.join(said[:2])}",
            next_step="what building needs, such as gcc and python3-dev, goes into packages.apt; "
            f"the whole log: {pip_log()}",
        ) from None
    task.done()
    return [_lay_out(work / "built" / pin.name, python) for pin in pins]


def _run(engine: Engine, base: ResolvedBase, script: str, work: Path, progress: Progress) -> None:
    told = indexes.for_uv(indexes.pip_settings())
    mounts = [(Path(resolver.program()), _UV)]
    mounts += [(path, str(path)) for path in indexes.local_paths(told)]
    image = image_of(engine, base, progress)
    told |= {"HOME": INSIDE, "UV_CACHE_DIR": f"{INSIDE}/uv-cache", "UV_LINK_MODE": "copy"}
    # Whoever calls us must be able to remove what root has made there.
    script = f"trap 'chmod -R a+rwX {INSIDE}' EXIT\n{script}"
    with ran(engine, image, script, work, told=told, mounts=mounts):
        pass


def _lay_out(tree: Path, python: str) -> Path:
    """What uv put into one folder, as it lies in an image."""
    root = tree.with_name(f"{tree.name}.root")
    packages = root / "usr/local/lib" / f"python{python}" / "dist-packages"
    packages.mkdir(parents=True)
    for item in sorted(tree.iterdir()):
        if item.name == "bin":
            item.rename(root / "usr/local/bin")
        elif not item.name.startswith("."):
            item.rename(packages / item.name)
    for info in packages.glob("*.dist-info"):
        for name in _NOT_OURS:
            (info / name).unlink(missing_ok=True)
    shutil.rmtree(tree)
    return root
