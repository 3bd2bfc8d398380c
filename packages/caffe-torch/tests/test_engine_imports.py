"""The engine's layers, held: imports run downward only, also those inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import caffe
import pytest

SOURCE = Path(caffe.__file__).parent
PACKAGES = SOURCE.parents[2]

LAYERS = (
    ("__main__",),
    ("cli",),
    ("io", "net_spec"),
    ("pycaffe",),
    ("memory", "parallel"),
    ("solver",),
    ("report", "solver_nets", "weights"),
    ("net",),
    ("wiring",),
    ("gradient_flow", "learnables"),
    ("node",),
    ("layers",),
    ("data", "fillers", "snapshot", "updates"),
    ("flat", "rates", "schema", "snapshot_hdf5"),
    ("blobproto", "devices", "random"),
    ("blob", "files", "proto", "ziggurat"),
    ("errors", "log", "process", "version"),
)
"""Top to bottom. A part may import parts of lower rows and itself; not its neighbours."""

UPWARD = {("layers.python", "pycaffe")}
"""What looks up all the same: a net layer of the user's own sees pycaffe's blobs."""

ONLY_FOR = {
    "cli": {"__main__"},
    "pycaffe": {"io", "layers", "net_spec"},
    "parallel": {"cli", "pycaffe"},
}
"""Parts that not even everything above them may import."""

OF_A_LAYER = {"blob", "blobproto", "data", "errors", "fillers", "layers", "proto", "random"}
"""What a net layer may know. Blobs of the net, files, logs and devices are the net's business."""

OF_ONE_LAYER = {
    ("layers.base", "log"),  # the type of what a layer is given to speak through
    ("layers.image_data", "log"),  # a severity
    ("layers.python", "pycaffe"),
}

DATA_LAYERS = {
    "layers.base_data",
    "layers.data",
    "layers.hdf5_data",
    "layers.hdf5_output",
    "layers.image_data",
    "layers.infogain_loss",
    "layers.memory_data",
    "layers.window_data",
}
"""The net layers that may know :mod:`caffe.data`."""

LIBRARIES = {
    "lmdb": {"data.databases"},
    "plyvel": {"data.databases"},
    "h5py": {"data.hdf5", "layers.hdf5_output", "snapshot_hdf5"},
    "cv2": {"data.images", "layers.window_data", "pycaffe.images"},
    "google": {
        "data.datum",
        "data.transform",
        "layers.infogain_loss",
        "proto.caffe_pb2",
        "schema.text",
        "snapshot",
    },
}
"""What is not the standard library, and the modules that may know it; see WITHOUT_TORCH."""

EVERYWHERE = {"numpy", "torch"}

IN_THE_CONTAINER = "container."
"""The packer's files that run inside images, beside whichever Caffe is there."""

WITHOUT_TORCH = {
    "blobproto",
    "errors",
    "files",
    "log",
    "process",
    "proto",
    "rates",
    "schema",
    "snapshot",
    "snapshot_hdf5",
    "solver_nets",
    "version",
    "ziggurat",
}
"""Parts that never name torch: definitions, files and rates are judged without it."""

HELP_MODULES = {
    "caffe",
    "caffe.cli",
    "caffe.cli.arguments",
    "caffe.cli.main",
    "caffe.errors",
    "caffe.log",
    "caffe.process",
    "caffe.version",
}


@dataclass(frozen=True)
class Import:
    """``module`` (without the package's name) imports ``name`` (whole) at ``line``."""

    module: str
    name: str
    line: int

    @property
    def part(self) -> str:
        return self.module.partition(".")[0]

    @property
    def library(self) -> str:
        return self.name.partition(".")[0]

    @property
    def own(self) -> str:
        """The part of ours that is imported, or empty."""
        words = self.name.split(".")
        is_part = words[0] == "caffe" and len(words) > 1 and words[1] in PARTS
        return words[1] if is_part else ""

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def _modules(source: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(source.rglob("*.py")):
        name = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        if name not in ("__init__", ""):
            yield name, path


def _imports(source: Path) -> Iterator[Import]:
    for module, path in _modules(source):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (Import(module, alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}:{node.lineno}: relative"
                for alias in node.names:
                    yield Import(module, f"{node.module}.{alias.name}", node.lineno)


PARTS = {name.partition(".")[0] for name, _ in _modules(SOURCE)}
IMPORTS = tuple(_imports(SOURCE))
ROW = {part: number for number, row in enumerate(LAYERS) for part in row}


def test_every_part_of_the_engine_has_its_row_and_every_row_its_parts() -> None:
    assert set(ROW) == PARTS


def test_the_engines_imports_run_downward_only() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.own and found.own != found.part and ROW[found.own] <= ROW[found.part]
        if (found.module, found.own) not in UPWARD
    ]

    assert wrong == []


@pytest.mark.parametrize("part", sorted(ONLY_FOR))
def test_the_engines_top_is_imported_by_what_is_listed_for_it(part: str) -> None:
    importers = {found.part for found in IMPORTS if found.own == part} - {part}

    assert importers <= ONLY_FOR[part]


def test_a_net_layer_knows_no_net_no_file_no_device_and_no_log() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.part == "layers" and found.own and found.own not in OF_A_LAYER
        if (found.module, found.own) not in OF_ONE_LAYER
    ]

    assert wrong == []


def test_only_data_layers_reach_for_data() -> None:
    reaching = {found.module for found in IMPORTS if found.own == "data"} - {
        name for name, _ in _modules(SOURCE) if name.startswith("data")
    }

    assert reaching <= DATA_LAYERS


def test_a_library_is_known_to_the_engines_modules_that_are_listed_for_it() -> None:
    known = {*sys.stdlib_module_names, "caffe", "__future__", *EVERYWHERE}
    found: dict[str, set[str]] = {}
    for each in IMPORTS:
        if each.library not in known:
            found.setdefault(each.library, set()).add(each.module)

    assert found == LIBRARIES


def test_definitions_files_and_rates_never_name_torch() -> None:
    naming = [str(found) for found in IMPORTS if found.library == "torch"]

    assert [line for line in naming if line.partition(":")[0].split(".")[0] in WITHOUT_TORCH] == []


@pytest.mark.parametrize("packages", [("caffe-torch", "uaitrain"), ("uaitrain", "caffe")])
def test_packer_and_engine_never_import_each_other(packages: tuple[str, str]) -> None:
    """They are two distributions; the container's contract is all they share."""
    importing, imported = packages
    sources = list((PACKAGES / importing / "src").iterdir())
    crossing = [
        str(found)
        for source in sources
        for found in _imports(source)
        if found.library == imported and not found.module.startswith(IN_THE_CONTAINER)
    ]

    assert sources
    assert crossing == []


def _loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def test_the_programs_help_loads_the_command_line_and_nothing_else() -> None:
    """torch takes seconds to load; nobody who mistypes a flag should wait for it."""
    loaded = _loaded_by("from caffe.cli.main import main; main(['--help'])")

    assert {name for name in loaded if name.partition(".")[0] == "caffe"} == HELP_MODULES
    assert loaded & {"torch", "numpy", "google"} == set()


def test_reading_definitions_loads_neither_torch_nor_numpy() -> None:
    assert _loaded_by("import caffe.schema") & {"torch", "numpy"} == set()


def test_writing_a_net_in_python_loads_no_torch() -> None:
    assert "torch" not in _loaded_by("from caffe import NetSpec; NetSpec()")
