"""What the engine's pages show is what happens, and their tables say what the code says.

The ``protobuf`` blocks of the manual are the job. Then every ``bash`` block of nothing but
``python -m caffe`` is run, in the order of the page; each line of a ``text`` block right below
must come, in that order, numbers and times aside. Every ``python`` block is a program.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import caffe
import pytest
import speed
from caffe.cli import main
from caffe.cli.arguments import Flags
from caffe.fillers import FILLERS
from caffe.layers import TABLE
from caffe.rates import POLICIES
from caffe.updates import UPDATES

REPOSITORY = Path(__file__).resolve().parents[4]
SOURCE = Path(caffe.__file__).parent
README = REPOSITORY / "packages" / "caffe-torch" / "README.md"
MANUAL = REPOSITORY / "docs" / "manual" / "engine.md"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STAMP = re.compile(r"^([IWEF])\d{4} [\d:.]+ +\d+ ")
_NUMBER = re.compile(r"(?<![\w.×])-?\d+(\.\d+)?(e[-+]?\d+)?(?=[^\w×]|s\b|$)")
_NAMED = re.compile(r"`([^`]+)`")


def _blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Language, text, and the ``text`` block that stands right below, or empty."""
    found = list(_BLOCK.finditer(page.read_text()))
    for index, block in enumerate(found):
        after = found[index + 1] if index + 1 < len(found) else None
        between = page.read_text()[block.end() : after.start()] if after else "."
        shown = after[2] if after and after[1] == "text" and not between.strip() else ""
        yield block[1], block[2], shown


def _table(page: Path, name: str) -> list[list[str]]:
    """The cells of the table below ``<!-- table: name -->``, without its two head lines."""
    _, found, rest = page.read_text().partition(f"<!-- table: {name} -->\n")
    assert found, f"{page.name} has no table {name}"
    rows = []
    for line in rest.splitlines():
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def _lay_out_job(folder: Path) -> None:
    for language, text, _ in _blocks(MANUAL):
        if language == "protobuf":
            (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)


def _run(argv: list[str], folder: Path) -> str:
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}"
    return done.stdout


def _plain(line: str) -> str:
    return _NUMBER.sub("#", _STAMP.sub(r"\1 ", line.rstrip()))


def _missing(shown: str, output: str) -> list[str]:
    """The lines of ``shown`` that do not come in ``output`` in their order."""
    coming = iter([_plain(line) for line in output.splitlines()])
    return [line for line in shown.splitlines() if not any(_plain(line) == each for each in coming)]


@pytest.mark.parametrize("page", [README, MANUAL], ids=lambda page: page.name)
def test_what_an_engine_page_shows_is_what_happens(page: Path, tmp_path: Path) -> None:
    _lay_out_job(tmp_path)
    ran = 0
    for language, text, shown in _blocks(page):
        commands = text.splitlines()
        if language == "python":
            _run([sys.executable, "-c", text], tmp_path)
        elif language == "bash" and all(line.startswith("python -m caffe") for line in commands):
            ran += len(commands)
            output = "".join(
                _run([sys.executable, *line.split()[1:]], tmp_path) for line in commands
            )

            assert _missing(shown, output) == [], output

    assert ran >= 5


def test_the_commands_are_listed() -> None:
    listed = {row[0].strip("`"): row[1] for row in _table(README, "commands")}

    assert listed == main.COMMANDS


def test_the_flags_are_listed() -> None:
    listed = {
        flag.lstrip("-") for row in _table(MANUAL, "flags") for flag in _NAMED.findall(row[0])
    }

    assert listed == {field.name for field in fields(Flags)}


def test_the_layer_types_are_listed() -> None:
    listed = [kind for row in _table(MANUAL, "layer types") for kind in _NAMED.findall(row[1])]

    assert listed == list(TABLE)


def test_solver_types_policies_and_fillers_are_listed() -> None:
    listed = [set(_NAMED.findall(row[1])) for row in _table(MANUAL, "choices")]

    assert listed == [set(UPDATES), set(POLICIES), set(FILLERS)]


def test_the_exit_statuses_are_listed() -> None:
    listed = [int(row[0]) for row in _table(README, "exit status")]

    assert listed == [0, 1, main.INTERRUPTED, main.REFUSED, main.UNREAD]


def test_a_layer_that_says_that_it_differs_is_in_the_table_of_differences() -> None:
    listed = {kind for row in _table(README, "differences") for kind in _NAMED.findall(row[0])}
    differing = {
        kind
        for kind, row in TABLE.items()
        if re.search(r"(Differs from|Unlike)\s+Caffe", _doc(row.partition(":")[0]))
    }

    assert differing - listed == set()
    assert listed - set(TABLE) == set()
    assert "Pooling" in differing


def _doc(module: str) -> str:
    return importlib.import_module(f"caffe.layers.{module}").__doc__ or ""


@cache
def _read_variables() -> set[str]:
    """Every name that is looked up in ``os.environ`` or put there."""
    names: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        if "os.environ" not in path.read_text():
            continue
        module = importlib.import_module(
            ".".join(["caffe", *path.relative_to(SOURCE).with_suffix("").parts])
        )
        for node in ast.walk(ast.parse(path.read_text())):
            for key in _keys(node):
                value = _value(key, module)
                if isinstance(value, str):
                    names.add(value)
    return names


def _keys(node: ast.AST) -> list[ast.expr | None]:
    def is_environment(value: ast.AST) -> bool:
        return ast.unparse(value) == "os.environ"

    if isinstance(node, ast.Subscript) and is_environment(node.value):
        return [node.slice]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        first = node.args[0]
        if is_environment(node.func.value):
            return list(first.keys) if isinstance(first, ast.Dict) else [first]
    if isinstance(node, ast.Compare) and is_environment(node.comparators[0]):
        return [node.left]
    return []


def _value(key: ast.expr | None, module: object) -> object:
    """What a key is: a literal, or a constant of the module or of one that it imports."""
    if isinstance(key, ast.Constant):
        return key.value
    if isinstance(key, ast.Name):
        return getattr(module, key.id, None)
    if isinstance(key, ast.Attribute):
        return getattr(_value(key.value, module), key.attr, None)
    return None


def test_the_environment_variables_are_listed() -> None:
    listed = {name for row in _table(README, "environment") for name in _NAMED.findall(row[0])}

    assert listed == _read_variables()


def test_the_speeds_are_the_measured_ones() -> None:
    text = README.read_text()
    shown = text[text.index("<!-- bench:begin -->") : text.index("<!-- bench:end -->")]
    measured = json.loads(speed.RESULTS.read_text())

    assert shown.split("-->", 1)[1].strip() == speed.table(measured)
