"""A net for a command: definition, phase, level and stages."""

from __future__ import annotations

import torch

from caffe import devices, log, process, schema
from caffe.cli.arguments import Flags
from caffe.errors import UsageError
from caffe.layers.base import TEST, TRAIN
from caffe.net import Net

PHASES = {"TRAIN": TRAIN, "TEST": TEST}


def device_of(flags: Flags, gpu_place: str, cpu_place: str) -> torch.device:
    """The one device of a command, told in the log. Raises DeviceError, UsageError."""
    device = devices.chosen(flags.gpu)[0]
    process.keep_memory()
    if device.type == "cuda":
        log.write(gpu_place, f"Use GPU with device ID {device.index}")
    else:
        log.write(cpu_place, "Use CPU.")
    return device


def phase_of(flags: Flags, default: int) -> int:
    """Raises UsageError."""
    if not flags.phase:
        return default
    if flags.phase not in PHASES:
        raise UsageError(f'phase must be "TRAIN" or "TEST", not "{flags.phase}"')
    return PHASES[flags.phase]


def definition(path: str, phase: int, flags: Flags) -> schema.Definition:
    """The net of a file with its state set. Raises DefinitionError."""
    found = schema.read_net(path)
    param = found.message
    param.state.phase = phase
    param.state.level = flags.level
    param.state.stage.extend(flags.stages)
    return found


def load(path: str, phase: int, flags: Flags, device: torch.device) -> Net:
    """Raises CaffeError."""
    found = definition(path, phase, flags)
    return Net(found.message, device=device, log=log.write, where=found.where_is)
