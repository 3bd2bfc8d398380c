"""``caffe_tool.py pack``: the manual's command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from uaitrain import compat, utf8
from uaitrain.cli.access import access_from, add_access_arguments, read_password
from uaitrain.cli.console import Console
from uaitrain.cli.main import guarded, leave_with
from uaitrain.cli.pack import add_pack_arguments, options_from, show
from uaitrain.cli.parser import Parser
from uaitrain.errors import EXIT_OK, UsageError
from uaitrain.secret import Secret

_VERB = "pack"
_PASSWORD_VARIABLE = "UAITRAIN_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable
_HELP = """\
usage: python caffe_tool.py pack [-h] --public_key PUBLIC_KEY --private_key PRIVATE_KEY …

Packs a Caffe job into a CPU and a GPU image, pushes the GPU image to uhub and writes
uaitrain_cmd.txt. `python caffe_tool.py pack --help` lists every parameter.
"""


def main(argv: Sequence[str], tool_folder: Path) -> int:
    """Run the tool that lies in ``tool_folder``; the return value is the exit code."""
    words = list(argv)
    if not words or words[0] in ("-h", "--help"):
        print(_HELP, end="")
        return EXIT_OK
    console = Console(as_json="--json" in words, quiet="--quiet" in words)
    return guarded(lambda: _run(words, tool_folder, console), console)


def _run(words: list[str], tool_folder: Path, console: Console) -> int:
    if words[0] != _VERB:
        raise UsageError(
            f"unknown command {words[0]!r}", allowed=_VERB, next_step="python caffe_tool.py --help"
        )
    arguments = _parser().parse_args(words[1:])
    password = read_password(arguments)
    if not password and os.environ.get(_PASSWORD_VARIABLE):
        password = Secret(os.environ[_PASSWORD_VARIABLE])
    spec = compat.spec_from(arguments, tool_folder, bool(password))
    if spec.account.password:
        console.warn(
            "--uhub_password on a command line is visible to everybody on this machine; "
            f"--password-stdin or {_PASSWORD_VARIABLE} keep it to yourself"
        )
    # The manual's own parameter wins over every other source.
    explicit = spec.account.password or password
    access = access_from(arguments, spec.target.host, spec.account.username, explicit)
    from uaitrain.flow import pack

    options = options_from(arguments, access, push=True)
    show(spec, pack(spec, options, console), console, as_json=arguments.json)
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="caffe_tool.py pack",
        description="Pack a Caffe job into a CPU and a GPU image and push the GPU image.",
    )
    compat.add_arguments(parser)
    add_pack_arguments(parser)
    add_access_arguments(parser, username=False)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON value")
    output.add_argument("--quiet", action="store_true", help="no remarks")
    return parser


def run(tool_file: str) -> None:
    """The entry of the script: ``run(__file__)``."""
    utf8.ensure()
    leave_with(lambda: main(sys.argv[1:], Path(tool_file).resolve().parent))
