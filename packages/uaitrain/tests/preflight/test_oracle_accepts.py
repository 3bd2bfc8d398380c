"""What real Caffe trains, preflight lets pass: nets and solvers of many makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import plyvel
import pytest
from preflight_cases import HDF5
from preflight_job import Job
from support.caffe_rootfs import Box, new_box
from test_oracle import run_caffe, shorten
from uaitrain.frameworks.caffe_schema import caffe_pb2
from uaitrain.preflight import Severity

V1 = """
layers { name: "d" type: DATA top: "data" top: "label"
  data_param { source: "/data/data/train_lmdb" batch_size: 8 backend: LMDB scale: 0.1 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" blobs_lr: 1 blobs_lr: 2
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layers { name: "relu" type: RELU bottom: "ip" top: "ip" }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" }
"""

V0 = """
layers { layer { name: "d" type: "data" source: "/data/data/train_leveldb" batchsize: 8
  scale: 0.1 } top: "data" top: "label" }
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 3 } bottom: "pad" top: "c" }
layers { layer { name: "ip" type: "innerproduct" num_output: 10 } bottom: "c" top: "ip" }
layers { layer { name: "loss" type: "softmax_loss" } bottom: "ip" bottom: "label" }
"""

DUMMY = """
layer { name: "d" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 8 dim: 4 dim: 6 dim: 6 } shape { dim: 8 } } }
"""

WIDE = (
    DUMMY
    + """
layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { axis: 1 } }
layer { name: "ca" type: "Convolution" bottom: "a" top: "ca"
  param { name: "w" } param { name: "b" } convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "cb" type: "Convolution" bottom: "b" top: "cb"
  param { name: "w" } param { name: "b" } convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "ca" top: "ca" }
layer { name: "sc" type: "Scale" bottom: "ca" top: "ca" scale_param { bias_term: true } }
layer { name: "pr" type: "PReLU" bottom: "cb" top: "cb" }
layer { name: "cat" type: "Concat" bottom: "ca" bottom: "cb" top: "cat" }
layer { name: "sum" type: "Eltwise" bottom: "ca" bottom: "cb" top: "sum" }
layer { name: "quiet" type: "Silence" bottom: "cat" }
layer { type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "up" type: "Deconvolution" bottom: "sum" top: "up"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "up" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "aux" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" loss_weight: 0.3 }
layer { name: "red" type: "Reduction" bottom: "up" top: "red" loss_weight: 1 }
"""
)

SEQUENCE = """
layer { name: "d" type: "DummyData" top: "x" top: "cont" top: "y"
  dummy_data_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 }
    shape { dim: 3 dim: 2 dim: 5 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
  recurrent_param { num_output: 5 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "h" bottom: "y" top: "loss" }
"""


def net(text: str) -> Callable[[Job], None]:
    """The job with another net and without tests."""

    def change(job: Job) -> None:
        (job.code / "net.prototxt").write_text(text, "utf-8")
        job.solver("test_iter: 10\ntest_interval: 100\n", "")

    return change


def leveldb(job: Job) -> None:
    datum = caffe_pb2.Datum(channels=1, height=28, width=28, data=bytes(784), label=1)
    database = plyvel.DB(str(job.data / "train_leveldb"), create_if_missing=True)
    for index in range(20):
        database.put(f"{index:08}".encode(), datum.SerializeToString())
    database.close()


def v0(job: Job) -> None:
    leveldb(job)
    net(V0)(job)


def default_backend(job: Job) -> None:
    leveldb(job)
    job.net("train_lmdb", "train_leveldb")
    job.net(" backend: LMDB", "")


def hdf5(job: Job) -> None:
    with h5py.File(job.data / "train.h5", "w") as file:
        file["data"] = np.zeros((20, 1, 28, 28), "f4")
        file["label"] = np.zeros(20, "f4")
    (job.data / "list.txt").write_text("/data/data/train.h5\n")
    job.data_layer(HDF5.format('source: "/data/data/list.txt"'))


def mean(job: Job) -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=1, height=28, width=28, data=[0.5] * 784)
    (job.data / "mean.binaryproto").write_bytes(blob.SerializeToString())
    job.net(
        "data_param", 'transform_param { mean_file: "/data/data/mean.binaryproto" }\n data_param'
    )


def two_nets(job: Job) -> None:
    text = (job.code / "net.prototxt").read_text("utf-8")
    (job.code / "test.prototxt").write_text(text, "utf-8")
    job.solver("net:", 'test_net: "test.prototxt"\ntrain_net:')


def own_folder(job: Job) -> None:
    job.solver("/data/output/tiny", "/data/output/")


def inside(job: Job) -> None:
    text = (job.code / "net.prototxt").read_text("utf-8")
    job.solver('net: "/data/net.prototxt"', f"net_param {{ {text} }}")


JOBS: dict[str, Callable[[Job], None]] = {
    "V1": net(V1),
    "V0": v0,
    "wide": net(WIDE),
    "sequence": net(SEQUENCE),
    "LevelDB by default": default_backend,
    "HDF5": hdf5,
    "mean file": mean,
    "two nets": two_nets,
    "prefix is a folder": own_folder,
    "net inside the solver": inside,
    "AdaGrad": lambda job: (job.solver("momentum: 0.9\n", ""), job.solver("SGD", "AdaGrad"))[0],
    "Adam": lambda job: job.solver('"SGD"', '"Adam"'),
    "old solver type": lambda job: job.solver('type: "SGD"', "solver_type: NESTEROV"),
    "multistep": lambda job: job.solver('"inv"', '"multistep" stepvalue: 2 stepvalue: 3'),
    "poly": lambda job: job.solver('"inv"', '"poly"'),
    "HDF5 snapshots": lambda job: job.solver("snapshot:", "snapshot_format: HDF5\nsnapshot:"),
}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with new_box(tmp_path / "box", "python3") as new:
        yield new


@pytest.mark.parametrize("name", JOBS)
def test_caffe_trains_it_and_preflight_has_no_error(name: str, job: Job, box: Box) -> None:
    JOBS[name](job)
    shorten(job)

    errors = [finding for finding in job.findings() if finding.severity is Severity.ERROR]

    assert run_caffe(job, box) == 0, box.shown
    assert errors == []


@pytest.mark.parametrize("name", ["V1", "wide", "sequence", "Adam", "HDF5 snapshots"])
def test_the_snapshots_of_it_are_good_ones(name: str, job: Job, box: Box) -> None:
    JOBS[name](job)
    shorten(job)
    assert run_caffe(job, box) == 0, box.shown

    for path in box.output.iterdir():
        if path.is_file():
            (job.output / path.name).write_bytes(path.read_bytes())
    (state,) = job.output.glob("tiny_iter_2.solverstate*")
    job.change(snapshot=f"/data/output/{state.name}")

    assert [f for f in job.findings() if f.severity is Severity.ERROR] == []
