"""A net for a command: definition, phase, level and stages."""

from __future__ import annotations

from typing import Any

import torch

from caffe import log, schema
from caffe.cli.arguments import Flags
from caffe.errors import UsageError
from caffe.layers.base import TEST, TRAIN
from caffe.net import Net

PHASES = {"TRAIN": TRAIN, "TEST": TEST}


def phase_of(flags: Flags, default: int) -> int:
    """Raises UsageError."""
    if not flags.phase:
        return default
    if flags.phase not in PHASES:
        raise UsageError(f'phase must be "TRAIN" or "TEST", not "{flags.phase}"')
    return PHASES[flags.phase]


def definition(path: str, phase: int, flags: Flags) -> Any:
    """The NetParameter of a file with its state set. Raises DefinitionError."""
    param = schema.read_net(path).message
    param.state.phase = phase
    param.state.level = flags.level
    param.state.stage.extend(flags.stages)
    return param


def load(path: str, phase: int, flags: Flags, device: torch.device) -> Net:
    """Raises CaffeError."""
    return Net(definition(path, phase, flags), device=device, log=log.write)
