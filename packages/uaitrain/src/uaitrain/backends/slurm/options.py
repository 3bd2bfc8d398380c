"""The settings of the table ``[slurm]``, judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uaitrain.backends.slurm.runtimes import AUTO, RUNTIMES
from uaitrain.errors import UsageError
from uaitrain.values import dataclass

_WORD = re.compile(r"[A-Za-z0-9_.,:+@/=-]+\Z")
_FOLDER = re.compile(r"/[^\s%:,\"'\\$`]*\Z")
_OPTION = re.compile(r"--[a-z][a-z0-9-]*(=[^\s\"'\\]+)?\Z")
_ARRAY = re.compile(r"[0-9]+(-[0-9]+(:[0-9]+)?)?(,[0-9]+(-[0-9]+(:[0-9]+)?)?)*(%[0-9]+)?\Z")

_OURS = (
    *("array", "chdir", "comment", "export", "job-name", "nodes", "ntasks", "ntasks-per-node"),
    *("open-mode", "output", "error", "parsable", "requeue", "no-requeue", "signal", "wrap"),
)
"""Options of sbatch that the script depends on."""


@dataclass(frozen=True)
class SlurmOptions:
    """``folder`` is seen by every node under the same path. ``layout`` is an OCI layout that
    images are read from, or None: they come from their registry. Times are in seconds."""

    folder: Path
    layout: Path | None
    partition: str
    account: str
    qos: str
    gres: str
    array: str
    runtime: str
    grace: int
    retries: int
    setup: tuple[str, ...]
    extra: tuple[str, ...]


def options_from(options: Mapping[str, Any]) -> SlurmOptions:
    """``options`` by their keys (``slurm.folder``, …). Raises UsageError for what cannot be."""
    runtimes = (AUTO, *(each.name for each in RUNTIMES))
    if options["slurm.runtime"] not in runtimes:
        raise UsageError(
            f"slurm.runtime = {options['slurm.runtime']!r}", allowed=", ".join(runtimes)
        )
    return SlurmOptions(
        folder=_folder(options["slurm.folder"]),
        layout=Path(options["slurm.layout"]).expanduser().absolute()
        if options["slurm.layout"]
        else None,
        partition=_word(options, "slurm.partition"),
        account=_word(options, "slurm.account"),
        qos=_word(options, "slurm.qos"),
        gres=_word(options, "slurm.gres"),
        array=_array(options["slurm.array"]),
        runtime=options["slurm.runtime"],
        grace=_number(options, "slurm.grace", 1, 3600),
        retries=_number(options, "slurm.retries", 0, 1000),
        setup=tuple(options["slurm.setup"]),
        extra=tuple(_extra(each) for each in options["slurm.options"]),
    )


def _folder(text: str) -> Path:
    if not text:
        raise UsageError(
            "slurm.folder is missing: where images are unpacked and logs are written",
            allowed="a folder that every node sees under the same path",
            next_step='give --slurm-folder, or write folder = "/shared/you/uaitrain" into the '
            "table [slurm] of uaitrain.toml",
        )
    if not _FOLDER.match(text) or ".." in text.split("/"):
        raise UsageError(
            f"slurm.folder = {text!r}",
            allowed="an absolute path without spaces, quotes and the characters % : , $ \\",
        )
    return Path(text)


def _word(options: Mapping[str, Any], key: str) -> str:
    text: str = options[key]
    if text and not _WORD.match(text):
        raise UsageError(f"{key} = {text!r}", allowed="letters, digits and _ . , : + @ / = -")
    return text


def _number(options: Mapping[str, Any], key: str, least: int, most: int) -> int:
    number: int = options[key]
    if not least <= number <= most:
        raise UsageError(f"{key} = {number}", allowed=f"{least} to {most}")
    return number


def _array(text: str) -> str:
    """As sbatch takes it: ``4`` tasks are ``0-3``."""
    if text and (not _ARRAY.match(text) or text == "0"):
        raise UsageError(
            f"slurm.array = {text!r}",
            allowed="a number of tasks such as 8, or a list as sbatch takes it: 0-7, 1,3,5 or "
            "0-99%4, of which 4 run at a time",
        )
    return f"0-{int(text) - 1}" if text.isdigit() else text


def _extra(text: str) -> str:
    if not _OPTION.match(text):
        raise UsageError(
            f"slurm.options has {text!r}", allowed="long options of sbatch, such as --exclude=n7"
        )
    if text[2:].partition("=")[0] in _OURS:
        raise UsageError(
            f"slurm.options has {text!r}, which the job's script depends on",
            allowed="options that no setting of [run] and [slurm] stands for",
        )
    return text
