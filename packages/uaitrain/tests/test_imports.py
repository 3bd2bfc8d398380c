"""The house's layers, held: imports run downward only, also those inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uaitrain

SOURCE = Path(uaitrain.__file__).parent

LAYERS = (
    ("__main__",),
    ("entry",),
    ("cli",),
    ("again",),
    ("doctor", "flow", "runs"),
    ("destinations", "inspection", "job_bases", "provenance"),
    ("access", "assemble", "commands", "compat", "packages", "preflight"),
    ("backends", "bases", "frameworks", "settings", "sinks"),
    ("bundles", "datafiles", "engines", "files", "origin", "registry", "runlog"),
    ("ship_settings", "spec"),
    ("package_settings",),
    ("setting",),
    ("oci",),
    ("atomic", "paths"),
    ("errors", "nearest", "progress", "secret", "sha256", "shell", "units", "utf8", "values"),
    ("typed",),
)
"""Top to bottom. A part may import parts of lower rows and itself; not its neighbours."""

ONLY_FOR = {"cli": {"entry"}, "flow": {"cli", "again"}, "entry": {"__main__"}}
"""Parts that not even everything above them may import."""

THIRD_PARTY = {
    "requests": {"backends.uai.api", "backends.uai.transport"},
    "sigstore": {"provenance.keyless"},
    "ucloud": {"backends.uai.api", "backends.uai.transport"},
    "cryptography": {"provenance.p256"},
    "cyclonedx": {"provenance.attach", "provenance.sbom"},
    "isal": {
        "bases.rootfs",
        "bundles.apply",
        "files.compress",
        "inspection.layer_files",
        "provenance.contents",
    },
    "nacl": {"provenance.cosign_key"},
    "packageurl": {"provenance.sbom"},
    "google": {"frameworks.caffe_schema.caffe_pb2", "frameworks.prototxt"},
    "kubernetes": {"backends.kubernetes.cluster", "backends.kubernetes.login"},
    "uv": {"packages.resolver"},
    "urllib3": {"backends.kubernetes.cluster"},
    "yaml": {"backends.kubernetes.login"},
}
"""What is not the standard library, and the modules that may know it."""

IN_THE_CONTAINER = "container"
"""Runs inside images under another Python; it is data to the packer."""

HELP_MODULES = {
    "uaitrain",
    "uaitrain.cli",
    "uaitrain.cli.console",
    "uaitrain.cli.main",
    "uaitrain.errors",
    "uaitrain.progress",
    "uaitrain.typed",
    "uaitrain.units",
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
    def own(self) -> str:
        """The part of ours that is imported, or empty."""
        words = self.name.split(".")
        is_part = words[0] == "uaitrain" and len(words) > 1 and words[1] in PARTS
        return words[1] if is_part else ""

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        if name not in ("__init__", "") and not name.startswith(f"{IN_THE_CONTAINER}."):
            yield name, path


def _imports() -> Iterator[Import]:
    for module, path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (Import(module, alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}:{node.lineno}: relative"
                for alias in node.names:
                    yield Import(module, f"{node.module}.{alias.name}", node.lineno)


PARTS = {name.partition(".")[0] for name, _ in _modules()}
IMPORTS = tuple(_imports())
ROW = {part: number for number, row in enumerate(LAYERS) for part in row}


def test_every_part_has_its_row_and_every_row_its_parts() -> None:
    assert set(ROW) == PARTS


def test_imports_run_downward_only() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.own and found.own != found.part and ROW[found.own] <= ROW[found.part]
    ]

    assert wrong == []


@pytest.mark.parametrize("part", sorted(ONLY_FOR))
def test_the_top_is_imported_by_what_stands_right_above_it(part: str) -> None:
    importers = {found.part for found in IMPORTS if found.own == part} - {part}

    assert importers <= ONLY_FOR[part]


def test_nothing_imports_what_runs_inside_images() -> None:
    inside = f"uaitrain.{IN_THE_CONTAINER}"

    assert [str(found) for found in IMPORTS if found.name.startswith(inside)] == []


def test_a_library_is_known_to_the_modules_that_are_listed_for_it() -> None:
    """So neither torch nor caffe nor an engine's client library can creep in."""
    known = {*sys.stdlib_module_names, "uaitrain", "__future__"}
    found: dict[str, set[str]] = {}
    for each in IMPORTS:
        library = each.name.partition(".")[0]
        if library not in known:
            found.setdefault(library, set()).add(each.module)

    assert found == THIRD_PARTY


def test_help_loads_the_command_line_and_nothing_else() -> None:
    """Start-up is what every call pays."""
    code = (
        "import sys; from uaitrain.cli.main import main; main(['--help']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())

    assert {name for name in loaded if name.partition(".")[0] == "uaitrain"} == HELP_MODULES
    assert loaded & {*THIRD_PARTY, "tomllib", "ssl", "subprocess", "asyncio"} == set()
