"""The manual's face: ``caffe_tool.py pack`` with its own names, meanings and requirements.

Source: the manual's parameter table and examples. What it does not have (another registry host,
other bases) comes as extra parameters, listed apart in the help.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from uaitrain.errors import UsageError
from uaitrain.oci.reference import check_host, check_repository, check_tag
from uaitrain.secret import Secret
from uaitrain.settings import (
    DEFAULT_TAG,
    absolute,
    check_engine,
    check_main_file,
    parse_framework,
    parse_size,
    sort_engine,
)
from uaitrain.spec import (
    CPU,
    GPU,
    TORCH,
    UHUB_INTERNAL,
    UHUB_PUBLIC,
    Account,
    BaseChoice,
    Resources,
    Target,
    TrainSpec,
)


@dataclass(frozen=True)
class Parameter:
    """A row of the manual's table."""

    name: str
    required: bool
    help: str
    default: str = ""


PARAMETERS = (
    Parameter("public_key", True, "the user's public key"),
    Parameter("private_key", True, "the user's private key"),
    Parameter("project_id", False, "project id"),
    Parameter("code_path", True, "folder of the training code, relative to caffe_tool.py"),
    Parameter("mainfile_path", True, "main file in it; train.py may be the stock one"),
    Parameter("uhub_username", True, "uhub account (the UCloud account)"),
    Parameter("uhub_password", True, "uhub password; others on this machine can see it here"),
    Parameter("uhub_registry", True, "name of the uhub registry; no upper case"),
    Parameter("uhub_imagename", True, "name of the image; no upper case"),
    Parameter("uhub_imagetag", False, "tag of the image; no upper case", DEFAULT_TAG),
    Parameter("internal_uhub", False, f"true: {UHUB_INTERNAL}, false: {UHUB_PUBLIC}", "false"),
    Parameter("ai_arch_v", True, "framework and version, such as caffe-1.0.0"),
    Parameter("test_data_path", True, "data folder of local tests (an absolute path is best)"),
    Parameter("test_output_path", True, "results folder of local tests (an absolute path is best)"),
    Parameter("train_params", False, "more arguments for the main file"),
    Parameter("solver", True, "solver prototxt: /data/xxx or /data/data/xxx"),
    Parameter("snapshot", False, "solverstate to go on from"),
)

EXTRA = (
    Parameter("registry_host", False, "another registry than uhub, as host or host:port"),
    Parameter("base_cpu", False, "base of the CPU image: catalogue entry or reference"),
    Parameter("base_gpu", False, "base of the GPU image: catalogue entry or reference"),
    Parameter("engine", False, "what trains in the bases: caffe or torch"),
    Parameter("os", False, "choose the bases by operating system", "ubuntu-14.04.05"),
    Parameter("python", False, "choose the bases by Python", "python-2.7.6"),
    Parameter("num_gpus", False, "GPUs of the GPU test command", "1"),
    Parameter("shm_size", False, "size of /dev/shm in local tests", "1g"),
)

_PASSWORD = "uhub_password"  # noqa: S105 - a parameter's name
_TRUE = {"true": True, "false": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the manual's parameters; required-ness is judged in :func:`spec_from`."""
    for title, rows in (("the manual's parameters", PARAMETERS), ("beyond the manual", EXTRA)):
        group = parser.add_argument_group(title)
        for row in rows:
            note = " (required)" if row.required else ""
            note += f" (default: {row.default})" if row.default else ""
            group.add_argument(
                f"--{row.name}",
                metavar=row.name.upper(),
                default=row.default or None,
                help=row.help + note,
            )


def missing(arguments: argparse.Namespace, has_password: bool) -> list[str]:
    """The required parameters that were not given; another source of the password counts."""
    return [
        f"--{row.name}"
        for row in PARAMETERS
        if row.required
        and not getattr(arguments, row.name)
        and not (row.name == _PASSWORD and has_password)
    ]


def _code_folder(text: str, tool_folder: Path) -> Path:
    """The manual reads ``code_path`` relative to caffe_tool.py; the current folder comes next."""
    beside_tool = absolute(tool_folder, text)
    return beside_tool if beside_tool.exists() else absolute(Path.cwd(), text)


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(
            f"--train_params: {text!r}: {error}", allowed="arguments quoted as in a shell"
        ) from None


def _flag(text: str) -> bool:
    if text.lower() not in _TRUE:
        raise UsageError(f"--internal_uhub={text}", allowed="true or false")
    return _TRUE[text.lower()]


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"--num_gpus={text}", allowed="1 or more")
    return int(text)


def spec_from(
    arguments: argparse.Namespace, tool_folder: Path, has_password: bool = False
) -> TrainSpec:
    """The job that the manual's parameters describe. Raises UsageError."""
    if absent := missing(arguments, has_password):
        raise UsageError(
            f"missing: {', '.join(absent)}", next_step="python caffe_tool.py pack --help shows each"
        )
    sort_engine(arguments, "engine")
    internal = _flag(arguments.internal_uhub)
    host = arguments.registry_host or (UHUB_INTERNAL if internal else UHUB_PUBLIC)
    code = _code_folder(arguments.code_path, tool_folder)
    origin = Path.cwd()
    engine = check_engine(arguments.engine or "")
    system, python = arguments.os, arguments.python
    if engine == TORCH:
        # The manual's defaults tell what the vendor's Caffe stands on, not our engine.
        system = "" if system == _default("os") else system
        python = "" if python == _default("python") else python
    bases = {
        CPU: BaseChoice(arguments.base_cpu or "", system, python, engine),
        GPU: BaseChoice(arguments.base_gpu or "", system, python, engine),
    }
    return TrainSpec(
        framework=parse_framework(arguments.ai_arch_v, "framework (--ai_arch_v)"),
        code=code,
        main_file=check_main_file(arguments.mainfile_path, "--mainfile_path"),
        data=absolute(origin, arguments.test_data_path),
        output=absolute(origin, arguments.test_output_path),
        target=Target(
            check_host(host),
            check_repository(arguments.uhub_registry, "--uhub_registry"),
            check_repository(arguments.uhub_imagename, "--uhub_imagename"),
            _check_tag(arguments.uhub_imagetag),
        ),
        solver=arguments.solver,
        snapshot=arguments.snapshot or "",
        arguments=_split(arguments.train_params or ""),
        bases=bases,
        internal_uhub=internal,
        account=Account(
            arguments.uhub_username,
            Secret(arguments.uhub_password) if arguments.uhub_password else None,
            arguments.public_key,
            Secret(arguments.private_key),
            arguments.project_id or "",
        ),
        resources=Resources(_number(arguments.num_gpus), parse_size(arguments.shm_size)),
    )


def _default(name: str) -> str:
    return next(row.default for row in EXTRA if row.name == name)


def _check_tag(text: str) -> str:
    check_tag(text, "--uhub_imagetag")
    if text != text.lower():
        raise UsageError(
            f"--uhub_imagetag={text!r} has upper case letters",
            allowed="lower case letters, digits, _ . and -",
            next_step=f"for example --uhub_imagetag={text.lower()}",
        )
    return text
