"""A job that preflight has nothing to say about, to be broken in one place by each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lmdb
from uaitrain.files.select import select
from uaitrain.frameworks.caffe_schema import caffe_pb2
from uaitrain.preflight import BaseFacts, EngineAnswer, Finding, Subject, run_checks
from uaitrain.spec import Framework, Target, TrainSpec

SOLVER = """\
net: "/data/net.prototxt"
type: "SGD"
base_lr: 0.01
momentum: 0.9
lr_policy: "inv"
gamma: 0.0001
power: 0.75
test_iter: 10
test_interval: 100
display: 50
max_iter: 500
snapshot: 250
snapshot_prefix: "/data/output/tiny"
"""

NET = """\
name: "tiny"
layer {
  name: "train" type: "Data" top: "data" top: "label"
  include { phase: TRAIN }
  data_param { source: "/data/data/train_lmdb" batch_size: 8 backend: LMDB }
}
layer {
  name: "test" type: "Data" top: "data" top: "label"
  include { phase: TEST }
  data_param { source: "/data/data/test_lmdb" batch_size: 8 backend: LMDB }
}
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer {
  name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 10 }
}
layer {
  name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST }
}
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

HISTORY = ((4, 1, 3, 3), (4,), (10, 2704), (10,))
"""The shapes of NET's learnable blobs."""


def make_lmdb(folder: Path, records: int) -> Path:
    """A real LMDB of tiny datums, as Caffe's converters make it."""
    datum = caffe_pb2.Datum(channels=1, height=28, width=28, data=bytes(784), label=3)
    with lmdb.open(str(folder), map_size=1 << 24) as database, database.begin(write=True) as txn:
        for index in range(records):
            txn.put(f"{index:08}".encode(), datum.SerializeToString())
    return folder


def blob(*shape: int) -> Any:
    count = 1
    for dim in shape:
        count *= dim
    return caffe_pb2.BlobProto(shape={"dim": shape}, data=[0.5] * count)


@dataclass
class Job:
    """Folders on disk and what a spec says of them; ``python`` is the bases' version."""

    root: Path
    spec: TrainSpec
    ignore: list[str] = field(default_factory=list)
    bases: dict[str, BaseFacts] = field(default_factory=dict)
    engine: EngineAnswer | None = None

    @property
    def code(self) -> Path:
        return self.spec.code

    @property
    def data(self) -> Path:
        return self.spec.data

    @property
    def output(self) -> Path:
        return self.spec.output

    def change(self, **fields: Any) -> None:
        self.spec = replace(self.spec, **fields)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the first ``old`` in a prototxt of the code folder."""
        text = (self.code / file).read_text("utf-8")
        assert old in text
        (self.code / file).write_text(text.replace(old, new, 1), "utf-8")

    def solver(self, old: str, new: str) -> None:
        self.edit("solver.prototxt", old, new)

    def net(self, old: str, new: str) -> None:
        self.edit("net.prototxt", old, new)

    def data_layer(self, text: str) -> None:
        """Put another layer instead of NET's train layer."""
        start = NET.index("layer {")
        self.net(NET[start : NET.index("layer {", start + 1)], text + "\n")

    def own_main(self, text: str = "import caffe  # use_cpu\n") -> None:
        (self.code / "main.py").write_text(text, "utf-8")
        self.change(main_file="main.py")

    def base(self, accelerator: str, **fields: Any) -> None:
        self.bases[accelerator] = replace(self.bases[accelerator], **fields)

    def state(self, shapes: Iterable[tuple[int, ...]] = HISTORY, iteration: int = 250) -> Path:
        """A complete pair in the output folder, as a run leaves it."""
        weights = self.output / "tiny_iter_250.caffemodel"
        weights.write_bytes(caffe_pb2.NetParameter(name="tiny").SerializeToString())
        state = caffe_pb2.SolverState(
            iter=iteration,
            learned_net=f"/data/output/{weights.name}",
            history=[blob(*shape) for shape in shapes],
            current_step=0,
        )
        path = self.output / "tiny_iter_250.solverstate"
        path.write_bytes(state.SerializeToString())
        self.change(snapshot=f"/data/output/{path.name}")
        return path

    def findings(self) -> tuple[Finding, ...]:
        return run_checks(self.subject)

    @property
    def subject(self) -> Subject:
        inventory = select(self.code, self.ignore)
        return Subject(self.spec, inventory, self.bases, self.engine)

    def names(self) -> list[str]:
        return [finding.check for finding in self.findings()]

    def only(self, name: str) -> Finding:
        """The one finding of that check."""
        (finding,) = [finding for finding in self.findings() if finding.check == name]
        return finding


def good_job(root: Path, databases: Path) -> Job:
    code, data, output = root / "code", root / "data", root / "output"
    code.mkdir()
    output.mkdir()
    shutil.copytree(databases, data)
    (code / "solver.prototxt").write_text(SOLVER, "utf-8")
    (code / "net.prototxt").write_text(NET, "utf-8")
    spec = TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=code,
        main_file="train.py",
        data=data,
        output=output,
        target=Target("registry.example", "team", "tiny", "latest"),
        solver="/data/solver.prototxt",
    )
    bases = {
        "cpu": BaseFacts("caffe-cpu", "3.9.2", has_python=True, is_cpu_build=True),
        "gpu": BaseFacts("caffe-gpu", "3.9.2", has_python=True),
    }
    return Job(root, spec, bases=bases)
