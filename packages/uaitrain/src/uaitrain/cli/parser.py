"""argparse as we use it: one message for an error, helps as wide as the terminal."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from uaitrain.cli.flags import COMMON
from uaitrain.errors import UsageError

if TYPE_CHECKING:
    from uaitrain.cli.main import Verb

# argparse asks gettext for translations of its messages, which nobody has, and that loads locale.
argparse._ = str  # type: ignore[attr-defined]


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: one message, exit code 2, no guessing of short names."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # passed on as they came

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, next_step=f"{self.prog} --help")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Helps as wide as the terminal, which argparse loads half a dozen modules to ask."""

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        super().__init__(prog, width=int(os.environ.get("COLUMNS") or columns or 80) - 2)


def parse(verb: Verb, words: list[str]) -> argparse.Namespace:
    """The arguments of the command line ``words``, whose first one names ``verb``.

    Raises UsageError. ``--help`` prints and raises SystemExit.
    """
    name = words[0]
    parser = Parser(prog="uaitrain")
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser] = parser.add_subparsers(
        dest="verb",
        parser_class=Parser,
        # Named, argparse need not format its usage (and load shutil) to find it out.
        prog="uaitrain",
    )
    verb.add_parser(subparsers)
    _add_common(subparsers.choices[name])
    arguments, unknown = parser.parse_known_args(words, argparse.Namespace(json=False, quiet=False))
    if unknown:
        raise UsageError(
            f"unknown argument {unknown[0]!r}", next_step=f"uaitrain {name} --help shows all"
        )
    return arguments


def _add_common(parser: argparse.ArgumentParser) -> None:
    """``--json`` and ``--quiet`` for a verb and for each of its sub-verbs."""
    nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in nested:
        for child in action.choices.values():
            _add_common(child)
    if not nested:
        group = parser.add_argument_group("output")
        for flag, text in COMMON.items():
            group.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=text)
