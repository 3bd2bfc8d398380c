"""Small jobs for real Caffe: a net on dummy data, whose pace is set by its width."""

from __future__ import annotations

from support.caffe_rootfs import Box

_NET = """
name: "tiny"
layer {{ name: "d" type: "DummyData" top: "data" top: "label"
  dummy_data_param {{ shape {{ dim: 16 dim: {width} }} shape {{ dim: 16 }}
    data_filler {{ type: "gaussian" std: 1 }} data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param {{ num_output: {width} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2"
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""

FAST = 4
SLOW = 1000

SOLVER = {
    "net": '"/data/net.prototxt"',
    "type": '"SGD"',
    "base_lr": "0.01",
    "momentum": "0.9",
    "lr_policy": '"fixed"',
    "display": "10",
    "max_iter": "100",
    "random_seed": "7",
    "snapshot_prefix": '"/data/output/tiny"',
}


def write_job(box: Box, width: int = FAST, **changes: str) -> str:
    """Write net and solver; a change to "" drops the field. The ``--solver`` argument."""
    box.write("net.prototxt", _NET.format(width=width))
    fields = {name: value for name, value in {**SOLVER, **changes}.items() if value}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "--solver=" + box.write("solver.prototxt", "\n".join(lines) + "\n")


def pairs(box: Box) -> list[str]:
    """The complete snapshots in the output folder; asserts that no half lies there."""
    models = {path.name.split(".caffemodel")[0] for path in box.output.glob("*.caffemodel*")}
    states = {path.name.split(".solverstate")[0] for path in box.output.glob("*.solverstate*")}

    assert models == states
    return sorted(states, key=lambda name: int(name.rsplit("_", 1)[1]))


def iteration(box: Box, name: str) -> int:
    """The iteration that a solver state says it is of (field 1, a varint)."""
    data = (box.output / f"{name}.solverstate").read_bytes()
    assert data[0] == 0x08
    value = 0
    for shift, byte in enumerate(data[1:11]):
        value |= (byte & 127) << (7 * shift)
        if byte < 128:
            break
    return value
