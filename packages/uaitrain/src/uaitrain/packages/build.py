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
from uaitrain.packages import apt, indexes, resolver
from uaitrain.packages.container import INSIDE, ScriptError, image_of, ran, words
from uaitrain.packages.kept import pip_log
from uaitrain.packages.pins import Pin
from uaitrain.progress import Progress
from uaitrain.values import dataclass

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


_HAS_DISTUTILS = "import sys; sys.version_info >= (3, 12) or __import__('distutils.core')"
"""Debian has a part of the standard library in a package of its own, which building needs."""


@dataclass(frozen=True)
class Workshop:
    """Containers of ``base``, in which its Python ``python`` (such as 3.9) builds packages.

    They have Debian's packages ``apt`` as well, and are gone when they are done.
    """

    engine: Engine
    base: ResolvedBase
    python: str
    apt: Sequence[str]
    progress: Progress

    def resolve(
        self,
        wanted: Sequence[str],
        there: Mapping[str, str],
        before: Sequence[Pin],
        work: Path,
    ) -> tuple[Pin, ...]:
        """As :func:`resolver.resolve`, and packages without wheels may be among them.

        Raises BaseError, EngineError, StorageError.
        """
        files = resolver.write_question(wanted, there, before, work)
        inside = [Path(INSIDE, file.name) for file in files]
        asked = [*resolver.compile_words(self.python, *inside), "--python", _PYTHON]
        try:
            self._run("choosing Python packages", words([_UV, *asked]), work)
        except ScriptError as error:
            raise resolver.explain(error.said, self.python, there) from None
        return resolver.read_answer(files[2])

    def build(self, pins: Sequence[Pin], work: Path) -> list[Path]:
        """Install each of ``pins`` into a tree of its own, laid out from the image's root.

        Raises BaseError, EngineError, StorageError.
        """
        lines = []
        for pin in pins:
            (work / f"{pin.name}.txt").write_text(f"{pin}\n", "utf-8")
            asked = ["pip", "install", "--no-deps", "--require-hashes", "--no-binary", pin.name]
            asked += ["--python", _PYTHON, "--target", f"{INSIDE}/built/{pin.name}"]
            lines.append(words([_UV, *asked, "--requirement", f"{INSIDE}/{pin.name}.txt"]))
        try:
            self._run(f"building {len(pins)} Python packages", "\n".join(lines), work)
        except ScriptError as error:
            lines = [line.strip() for line in error.said.splitlines()]
            shown = "; ".join(line for line in lines if line.startswith(("E:", "error:", "cause:")))
            raise BaseError(
                f"a package of packages.sdist cannot be built on {self.base.name}: {shown[:400]}",
                next_step="what building needs, such as gcc and python3-dev, goes into "
                f"packages.apt; the whole log: {pip_log()}",
            ) from None
        return [_lay_out(work / "built" / pin.name, self.python) for pin in pins]

    def _run(self, what: str, script: str, work: Path) -> None:
        told = indexes.for_uv(indexes.pip_settings())
        mounts = [(Path(resolver.program()), _UV)]
        mounts += [(path, str(path)) for path in indexes.local_paths(told)]
        image = image_of(self.engine, self.base, self.progress)
        told |= {"HOME": INSIDE, "UV_CACHE_DIR": f"{INSIDE}/uv-cache", "UV_LINK_MODE": "copy"}
        apt.name_mirrors(work)
        task = self.progress.start(f"{what} in a container of {self.base.name}")
        with ran(self.engine, image, self._prepared(script), work, told=told, mounts=mounts):
            task.done()

    def _prepared(self, script: str) -> str:
        wanted = words(self.apt)
        return (
            # Whoever calls us must be able to remove what root has made there.
            f"trap 'chmod -R a+rwX {INSIDE}' EXIT\nwanted={words([wanted])}\n"
            f"{_PYTHON} -c {words([_HAS_DISTUTILS])} 2>/dev/null ||\n"
            '  wanted="$wanted python3-distutils"\n'
            f'if [ -n "$wanted" ]; then\n{apt.READY}apt install $wanted\nfi >&2\n{script}\n'
        )


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
