"""The main file: is it there, and can the base's Python read it?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from uaitrain.files.inventory import Kind
from uaitrain.frameworks.caffe import STOCK_ENTRY
from uaitrain.nearest import nearest
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look, Presence, at
from uaitrain.preflight.python_syntax import SyntaxProblem, problems
from uaitrain.preflight.rule import error, warning

MISSING = error(
    "main-file-missing",
    "the main file is not among the files that go into the image",
    "the container's command cannot start: Python finds no such file",
    "name a file of the code folder, relative to it; for Caffe, train.py may be left to uaitrain",
)
UNREADABLE = error(
    "main-file-unreadable",
    "the main file is a folder, not readable, or not text",
    "Python cannot run it",
    "name a Python file",
)
SYNTAX = error(
    "main-file-syntax",
    "the main file is not valid for the base's Python (another Python, or a plain mistake)",
    "the run ends with a SyntaxError before its first line",
    "mend the line, or choose a base with the Python that the file is written for",
)
SYNTAX_MAYBE = warning(
    "main-file-syntax-unsure",
    "the base's Python is newer than the one that checks, and this one cannot read the main file",
    "the run may end with a SyntaxError before its first line",
    "look at the line; ignore this if it is new syntax",
)
RULES = (MISSING, UNREADABLE, SYNTAX, SYNTAX_MAYBE)


def check(look: Look) -> Iterator[Finding]:
    if look.is_stock:
        return
    main = look.spec.main_file
    place = look.resolve(main)
    presence = look.presence(place)
    if presence is not Presence.THERE or place.host is None:
        yield MISSING.finding(_missing(look, main), str(look.spec.code), _hint(look, main))
        return
    if not place.host.is_file():
        yield UNREADABLE.finding(f"the main file {main} is not a file", str(place.host))
        return
    try:
        source = place.host.read_bytes()
    except OSError as failure:
        what = f"the main file {main} cannot be read: {failure.strerror}"
        yield UNREADABLE.finding(what, str(place.host))
        return
    if not main.endswith(".py") and b"\0" in source:
        yield UNREADABLE.finding(f"the main file {main} is not text", str(place.host))
        return
    for version, bases in _versions(look).items():
        for problem in problems(source, version):
            rule = SYNTAX if problem.sure else SYNTAX_MAYBE
            what = f"{main} is not Python {version} ({', '.join(bases)}): {problem.what}"
            yield rule.finding(what, at(place.host, problem.line, problem.column), _mend(problem))


def _versions(look: Look) -> dict[str, list[str]]:
    """Each base's Python with the names of the bases that have it."""
    found: dict[str, list[str]] = {}
    for base in look.subject.bases.values():
        if base.python:
            names = found.setdefault(base.python, [])
            if base.name not in names:
                names.append(base.name)
    return found


def _mend(problem: SyntaxProblem) -> str:
    return problem.mend or SYNTAX.mend


def _missing(look: Look, main: str) -> str:
    if look.presence(look.resolve(main)) is Presence.IGNORED:
        return f"the main file {main} is left out of the image by the ignore rules"
    return f"the code folder has no main file {main}"


def _hint(look: Look, main: str) -> str:
    files: Iterable[str] = (
        path
        for path, entry in look.entries.items()
        if path.endswith(".py") and entry.kind is not Kind.FOLDER and path.count("/") <= 1
    )
    near = nearest(main, list(files)[:1000])
    if near:
        return f"did you mean {near}?"
    return MISSING.mend if look.is_caffe and main != STOCK_ENTRY else ""
