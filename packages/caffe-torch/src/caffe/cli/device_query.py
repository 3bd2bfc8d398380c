"""``caffe device_query``: the GPUs that torch sees."""

from __future__ import annotations

import torch

from caffe import devices, log
from caffe.cli.arguments import Flags


def run(flags: Flags) -> int:
    """Raises CaffeError."""
    ids = flags.gpu or "all"
    log.write("caffe.cpp:138", f"Querying GPUs {flags.gpu}")
    if ids == "all" and devices.count() == 0:
        built = "with" if torch.version.cuda is not None else "without"
        log.write("caffe.cpp:138", f"torch {torch.__version__}, {built} CUDA, sees no GPU")
        return 0
    for device in devices.chosen(ids):
        facts = torch.cuda.get_device_properties(device)
        for name, value in (
            ("Device id", device.index),
            ("Major revision number", facts.major),
            ("Minor revision number", facts.minor),
            ("Name", facts.name),
            ("Total global memory", facts.total_memory),
            ("Number of multiprocessors", facts.multi_processor_count),
        ):
            log.write("common.cpp:245", f"{name + ':':<31}{value}")
    return 0
