"""``caffe time``: how long each layer takes, forward and backward."""

from __future__ import annotations

import time

import torch

from caffe import log
from caffe.cli.arguments import Flags
from caffe.cli.nets import device_of, load, phase_of
from caffe.errors import UsageError
from caffe.layers.base import TRAIN
from caffe.log import number
from caffe.net import Net


def run(flags: Flags) -> int:
    """Raises CaffeError."""
    if not flags.model:
        raise UsageError("Need a model definition to time.", next_step="caffe time -model FILE")
    device = device_of(flags, "caffe.cpp:338", "caffe.cpp:343")
    net = load(flags.model, phase_of(flags, TRAIN), flags, device)
    try:
        _benchmark(net, flags.iterations, device)
    finally:
        net.close()
    return 0


def _benchmark(net: Net, iterations: int, device: torch.device) -> None:
    log.write("caffe.cpp:351", "Performing Forward")
    log.write("caffe.cpp:356", f"Initial loss: {number(float(net.forward()))}")
    log.write("caffe.cpp:357", "Performing Backward")
    net.backward()
    log.write("caffe.cpp:365", "*** Benchmark begins ***")
    log.write("caffe.cpp:366", f"Testing for {iterations} iterations.")
    count = len(net.nodes)
    forward, backward = [0.0] * count, [0.0] * count
    began = _now(device)
    for iteration in range(1, iterations + 1):
        start = _now(device)
        for index in range(count):
            forward[index] += _timed(lambda i=index: net.forward(i, i), device)
        for index in reversed(range(count)):
            backward[index] += _timed(lambda i=index: net.backward(i, i), device)
        spent = number(_now(device) - start)
        log.write("caffe.cpp:394", f"Iteration: {iteration} forward-backward time: {spent} ms.")
    total = _now(device) - began
    log.write("caffe.cpp:397", "Average time per layer: ")
    for index, name in enumerate(net.layer_names):
        for place, kind, times in (
            ("caffe.cpp:400", "forward", forward),
            ("caffe.cpp:403", "backward", backward),
        ):
            log.write(place, f"{name:>10}\t{kind}: {number(times[index] / iterations)} ms.")
    for place, what, spent_ms in (
        ("caffe.cpp:408", "Average Forward pass", sum(forward) / iterations),
        ("caffe.cpp:410", "Average Backward pass", sum(backward) / iterations),
        ("caffe.cpp:412", "Average Forward-Backward", total / iterations),
        ("caffe.cpp:414", "Total Time", total),
    ):
        log.write(place, f"{what}: {number(spent_ms)} ms.")
    log.write("caffe.cpp:415", "*** Benchmark ends ***")


def _timed(work: object, device: torch.device) -> float:
    start = _now(device)
    work()  # type: ignore[operator]  # a lambda of this module
    return _now(device) - start


def _now(device: torch.device) -> float:
    """Milliseconds, when everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() * 1e3
