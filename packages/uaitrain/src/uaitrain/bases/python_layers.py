"""The Python part of a base: its packages as layers, and our own engine as the topmost one.

A wheel of :data:`LARGE_BYTES` or more gets a layer of its own, the others share one, so that a
new version of one package sends that package. The engine's layer has some hundred kilobytes.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from uaitrain.bases import site
from uaitrain.bases.recipe import PythonPart, Recipe
from uaitrain.bases.rootfs import stays, write_files
from uaitrain.errors import BaseError
from uaitrain.oci.image import History
from uaitrain.oci.layer import Layer
from uaitrain.progress import Progress
from uaitrain.values import dataclass

LARGE_BYTES = 100 << 20


@dataclass(frozen=True)
class Added:
    """A layer and what the image's history says of it."""

    layer: Layer
    history: History


@dataclass(frozen=True)
class Engine:
    """The wheel of our own engine, and its name with its version, such as ``caffe-torch 0.1.0``."""

    wheel: Path
    name: str


@dataclass(frozen=True)
class PythonLayers:
    """Makes the layers of one build in the folder ``work``."""

    recipe: Recipe
    part: PythonPart
    work: Path
    progress: Progress

    def packages(self, python: site.Interpreter, found: tuple[Path, ...]) -> list[Added]:
        """The layers of the wheels ``found``: the large ones first."""
        groups = {wheel: [wheel] for wheel in found if wheel.stat().st_size >= LARGE_BYTES}
        small = [wheel for wheel in found if wheel not in groups]
        wanted = [*groups.values(), small] if small else list(groups.values())
        placed = [self._unpack(python, group) for group in wanted]
        task = self.progress.start("making byte code")
        code = site.compile_all(frozenset().union(*placed), python)
        task.done()
        return [
            self._layer(python, names, code, ", ".join(map(_title, group)), f"packages{number}")
            for number, (names, group) in enumerate(zip(placed, wanted, strict=True))
        ]

    def engine(self, python: site.Interpreter, engine: Engine) -> Added:
        """The topmost layer: the engine's modules, its byte code and its program."""
        names = self._unpack(python, [engine.wheel])
        names |= site.programs(names, python)
        code = site.compile_all(names, python)
        return self._layer(python, names, code, engine.name, "engine")

    def _unpack(self, python: site.Interpreter, group: list[Path]) -> frozenset[str]:
        keeps: Callable[[str], bool] = stays(self.recipe)
        task = self.progress.start(f"unpacking {len(group)} packages")
        names: set[str] = set()
        for wheel in group:
            names |= site.unpack(wheel, python, keeps)
        task.done()
        return frozenset(names)

    def _layer(
        self,
        python: site.Interpreter,
        names: frozenset[str],
        code: dict[str, str],
        title: str,
        file: str,
    ) -> Added:
        every = names | {code[name] for name in names if name in code}
        total = sum((python.root / name).stat().st_size for name in every)
        task = self.progress.start("making the layer", total)
        layer = write_files(python.root, every, python.folders, self.work / file, task)
        task.done()
        return Added(layer, History(f"uaitrain base build {self.recipe.name}", title))


def read_engine(wheel: Path) -> Engine:
    """Name and version, as the wheel's own description has them. Raises BaseError."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            text = archive.read(name).decode("utf-8", "replace")
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise BaseError(f"{wheel} is not a wheel: {error}") from None
    facts = dict(re.findall(r"^(Name|Version): (.*)$", text, re.MULTILINE))
    return Engine(wheel, f"{facts.get('Name', '?')} {facts.get('Version', '?')}")


def _title(wheel: Path) -> str:
    return " ".join(wheel.name.split("-")[:2])
