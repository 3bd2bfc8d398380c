"""What a given Python would refuse to parse, found without having that Python.

For a Python 3 base this interpreter's own parser judges. For a Python 2 base the file is parsed
as Python 3: what parses is searched for what Python 2 has not; what doesn't parse is an error
only where the message names a mistake in both.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator

from uaitrain.values import dataclass

ENCODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")
PYTHON2_ONLY = re.compile(
    r"Missing parentheses in call to|multiple exception types must be parenthesized"
    r"|leading zeros in decimal|Did you mean print|invalid hexadecimal|invalid octal"
)
WRONG_IN_BOTH = re.compile(
    r"was never closed|unmatched|does not match opening|unterminated|expected an indented block"
    r"|unexpected indent|unindent does not match|unexpected EOF|expected ':'|outside function"
    r"|cannot assign to|positional argument follows keyword|null bytes"
)
NEW_NODES: dict[type[ast.AST], str] = {
    ast.JoinedStr: "f-strings",
    ast.AnnAssign: "variable annotations",
    ast.AsyncFunctionDef: "async def",
    ast.Await: "await",
    ast.Nonlocal: "nonlocal",
    ast.YieldFrom: "yield from",
    ast.NamedExpr: ":=",
    ast.MatMult: "the @ operator",
    ast.Match: "match",
    ast.TryStar: "except*",
}


@dataclass(frozen=True)
class SyntaxProblem:
    """``sure`` is False where a newer Python than this one might accept the line."""

    what: str
    line: int
    column: int = 0
    mend: str = ""
    sure: bool = True


def problems(source: bytes, version: str) -> tuple[SyntaxProblem, ...]:
    """What ``version`` (``2.7.6``, ``3.9``) refuses; empty for a version that can't be read."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    if not numbers:
        return ()
    minor = numbers[1] if len(numbers) > 1 else 0
    return tuple(_python2(source)) if numbers[0] == 2 else tuple(_python3(source, minor))


def _parse(source: bytes, minor: int) -> ast.Module:
    """Raises SyntaxError, also for what the parser refuses in other words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source, feature_version=(3, minor))
        except ValueError as failure:
            raise SyntaxError(str(failure)) from failure
        except (RecursionError, MemoryError) as failure:
            raise SyntaxError("nested too deeply to be parsed") from failure


def _python3(source: bytes, minor: int) -> Iterator[SyntaxProblem]:
    try:
        _parse(source, min(max(minor, 4), sys.version_info.minor))
    except SyntaxError as failure:
        mend = ""
        if PYTHON2_ONLY.search(failure.msg):
            mend = "this is Python 2: port the file to Python 3, or choose a Python 2 base"
        sure = minor <= sys.version_info.minor or bool(mend)
        yield SyntaxProblem(failure.msg, failure.lineno or 0, failure.offset or 0, mend, sure)


def _python2(source: bytes) -> Iterator[SyntaxProblem]:
    yield from _undeclared_encoding(source)
    try:
        parsed = _parse(source, sys.version_info.minor)
    except SyntaxError as failure:
        if isinstance(failure, TabError) or not WRONG_IN_BOTH.search(failure.msg):
            return
        yield SyntaxProblem(failure.msg, failure.lineno or 0, failure.offset or 0)
        return
    seen: set[str] = set()
    for line, column, feature in sorted(_new_syntax(parsed)):
        if feature not in seen:
            seen.add(feature)
            mend = "write it for Python 2, or choose a Python 3 base"
            yield SyntaxProblem(f"{feature}: Python 3 only", line, column + 1, mend)


def _undeclared_encoding(source: bytes) -> Iterator[SyntaxProblem]:
    lines = source.split(b"\n")
    if source.startswith(b"\xef\xbb\xbf") or any(ENCODING.match(line) for line in lines[:2]):
        return
    for number, line in enumerate(lines, 1):
        if not line.isascii():
            what = "a character beyond ASCII, and no encoding declared"
            mend = 'put "# -*- coding: utf-8 -*-" in the first line'
            yield SyntaxProblem(what, number, mend=mend)
            return


def _new_syntax(parsed: ast.Module) -> Iterator[tuple[int, int, str]]:
    print_function = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(name.name == "print_function" for name in node.names)
        for node in parsed.body
    )
    last = (1, 0)
    for node in ast.walk(parsed):
        if isinstance(node, ast.expr | ast.stmt | ast.arg):
            last = (node.lineno, node.col_offset)
        for feature in _features(node, print_function):
            yield (*last, feature)


def _features(node: ast.AST, print_function: bool) -> Iterator[str]:
    named = NEW_NODES.get(type(node))
    if named:
        yield named
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield NEW_NODES[ast.MatMult]
    if isinstance(node, ast.arg) and node.annotation:
        yield "annotations"
    if isinstance(node, ast.FunctionDef) and node.returns:
        yield "annotations"
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        if node.args.kwonlyargs:
            yield "keyword-only arguments"
        if node.args.posonlyargs:
            yield "positional-only arguments"
    if isinstance(node, ast.ClassDef) and node.keywords:
        yield "keywords in a class statement"
    if isinstance(node, ast.Raise) and node.cause:
        yield "raise … from"
    if isinstance(node, ast.List | ast.Tuple | ast.Set) and any(
        isinstance(item, ast.Starred) for item in node.elts
    ):
        yield "* in a list or an assignment"
    if isinstance(node, ast.Dict) and None in node.keys:
        yield "** in a dict"
    if (
        not print_function
        and isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and (node.keywords or any(isinstance(item, ast.Starred) for item in node.args))
    ):
        yield "print() with keywords and no `from __future__ import print_function`"
