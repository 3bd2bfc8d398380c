"""Flags as gflags takes them: ``--solver=FILE``, ``-solver FILE``, before or after the command."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

HELP = """\
flags (one dash or two; -name=value or -name value):
  -solver FILE          the solver definition (train, shapes)
  -model FILE           the net definition (test, time, shapes)
  -snapshot FILE        a .solverstate to go on from (train)
  -weights FILES        trained weights to begin with, separated by ',' (train, test)
  -gpu IDS              device ids separated by ',', or all; several train in parallel, and the
                        batch of the definition is that of each device
  -num_gpus N           the same as -gpu 0,1,...,N-1
  -solvers N            train with N solvers on the CPU, each with the definition's batch
  -iterations N         how many iterations to run (test, time; default 50)
  -phase TRAIN|TEST     the net's phase (time, shapes)
  -level N              the net's level (test, time)
  -stage NAMES          the net's stages, separated by ',' (test, time)
  -sigint_effect E      what SIGINT does: snapshot, stop or none (default stop)
  -sighup_effect E      what SIGHUP does: snapshot, stop or none (default snapshot)
  -stop_on_nan          end when the loss is not a number; without it, it is a warning
  -json                 (shapes) JSON in place of text
  -batch N              (shapes) with this batch size in place of the definition's
  -map PATH=FOLDER      (shapes) data that the definition names under PATH lies in FOLDER here;
                        may be given several times

exit status: 0 done, also when stopped early by a signal; 1 unknown flag; 134 (SIGABRT) refused,
with the reason in a log line that begins with F"""


class UnknownFlagError(Exception):
    """A flag that does not exist, or a value that it cannot have."""


@dataclass(frozen=True)
class Flags:
    """Every flag of every command."""

    solver: str = ""
    model: str = ""
    snapshot: str = ""
    weights: str = ""
    gpu: str = ""
    num_gpus: int = 0
    solvers: int = 1
    iterations: int = 50
    phase: str = ""
    level: int = 0
    stage: str = ""
    sigint_effect: str = "stop"
    sighup_effect: str = "snapshot"
    stop_on_nan: bool = False
    json: bool = False
    batch: int = 0
    map: tuple[str, ...] = ()
    help: bool = False
    version: bool = False

    @property
    def stages(self) -> list[str]:
        return [name for name in self.stage.split(",") if name]


_DEFAULTS = {field.name: field.default for field in fields(Flags)}
_TRUE, _FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")


def parse(words: Sequence[str]) -> tuple[str, Flags]:
    """The command (or empty) and the flags. Raises UnknownFlagError."""
    rest = list(words)
    commands: list[str] = []
    flags = Flags()
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            commands.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        negated = name.startswith("no") and isinstance(_DEFAULTS.get(name[2:]), bool)
        name = name[2:] if negated else name
        default = _DEFAULTS.get(name)
        if default is None:
            near = difflib.get_close_matches(name, _DEFAULTS, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise UnknownFlagError(f"unknown command line flag '{name}'{hint}")
        if isinstance(default, bool):
            value = "false" if negated else value if equals else "true"
        elif not equals:
            if not rest:
                raise UnknownFlagError(f"flag '-{name}' is missing its argument")
            value = rest.pop(0)
        flags = _with(flags, name, value)
    if len(commands) > 1:
        raise UnknownFlagError(f"one command at a time, not {' '.join(commands)}")
    return (commands[0] if commands else ""), flags


def _with(flags: Flags, name: str, value: str) -> Flags:
    default = _DEFAULTS[name]
    changed: Any = value
    if isinstance(default, bool):
        if value.lower() not in _TRUE + _FALSE:
            raise UnknownFlagError(f"illegal value '{value}' specified for bool flag '{name}'")
        changed = value.lower() in _TRUE
    elif isinstance(default, int):
        try:
            changed = int(value)
        except ValueError:
            raise UnknownFlagError(
                f"illegal value '{value}' specified for int32 flag '{name}'"
            ) from None
    elif isinstance(default, tuple):
        changed = (*getattr(flags, name), value)
    fields_changed: dict[str, Any] = {name: changed}
    return replace(flags, **fields_changed)
