"""``caffe test``: score a net with trained weights."""

from __future__ import annotations

from caffe import log, report, weights
from caffe.cli.arguments import Flags
from caffe.cli.nets import device_of, load
from caffe.errors import UsageError
from caffe.layers.base import TEST
from caffe.log import number


def run(flags: Flags) -> int:
    """Raises CaffeError."""
    if not flags.model:
        raise UsageError("Need a model definition to score.", next_step="caffe test -model FILE")
    if not flags.weights:
        raise UsageError("Need model weights to score.", next_step="caffe test -weights FILE")
    device = device_of(flags, "caffe.cpp:267", "caffe.cpp:275")
    net = load(flags.model, TEST, flags, device)
    try:
        for path in flags.weights.split(","):
            weights.load(net, path)
        log.write("caffe.cpp:281", f"Running for {flags.iterations} iterations.")
        loss = 0.0
        sums: list[tuple[str, float]] = []
        for batch in range(flags.iterations):
            loss += float(net.forward())
            values = [
                (name, v) for name in net.outputs for v in net.blobs[name].data.flatten().tolist()
            ]
            for name, value in values:
                log.write("caffe.cpp:304", f"Batch {batch}, {name} = {number(value)}")
            before = sums or [(name, 0.0) for name, _ in values]
            sums = [(name, b + v) for (name, v), (_, b) in zip(values, before, strict=True)]
    finally:
        net.close()
    log.write("caffe.cpp:309", f"Loss: {number(loss / max(flags.iterations, 1))}")
    weight_of = report.loss_weights_of(net)
    for name, total in sums:
        mean = report.with_loss(total / flags.iterations, weight_of.get(name, 0.0))
        log.write("caffe.cpp:321", f"{name} = {mean}")
    return 0
