"""The thread that reads ahead: what it gives, how it fails, how it ends."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
import torch
from caffe.data.faults import fail_for
from caffe.data.prefetch import Prefetch, Slot
from caffe.errors import DataError
from caffe.layers import Context, create
from caffe.proto import caffe_pb2
from caffe.random import Random
from data_checks import Place, data, data_layer, make, opened, take, write_lmdb
from google.protobuf import text_format

CPU = torch.device("cpu")
FAIL = fail_for("x", "Data")


def readers() -> set[int]:
    return {thread.ident or 0 for thread in threading.enumerate()}


def test_batches_come_in_order_and_no_more_than_depth_ahead() -> None:
    made: list[int] = []

    def fill(slot: Slot) -> None:
        slot.array(0, (1,))[0] = len(made)
        made.append(len(made))

    prefetch = Prefetch(fill, 3, CPU, FAIL)
    for number in range(20):
        assert prefetch.take()[0].item() == number
        assert len(made) <= number + 3
    assert prefetch.close()


def test_an_unknown_exception_in_the_thread_becomes_a_data_error() -> None:
    def fill(slot: Slot) -> None:
        raise ZeroDivisionError("by nothing")

    prefetch = Prefetch(fill, 2, CPU, FAIL)
    for _ in range(3):
        with pytest.raises(DataError, match="ZeroDivisionError: by nothing") as caught:
            prefetch.take()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert prefetch.close()


def test_arrays_are_kept_until_their_shape_changes() -> None:
    slot = Slot(CPU)
    first = slot.array(0, (2, 3))
    assert slot.array(0, (2, 3)) is first
    assert slot.array(0, (3, 2)) is not first


def test_close_ends_the_thread_and_a_closed_layer_refuses(place: Place) -> None:
    write_lmdb(place / "source", data(5, 1, 2, 2))
    before = readers()
    layer = make(place, data_layer("source", 2))
    assert readers() > before
    layer.close()
    assert readers() == before
    with pytest.raises(DataError, match="is closed"):
        layer.forward([])
    layer.close()


def test_a_dropped_layer_ends_its_thread(place: Place) -> None:
    write_lmdb(place / "source", data(5, 1, 2, 2))
    before = readers()
    layer = make(place, data_layer("source", 2))
    take(layer, 2)
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None
    assert readers() == before


def test_a_refused_setup_leaves_no_thread_and_no_open_database(place: Place) -> None:
    write_lmdb(place / "source", data(5, 1, 2, 2))
    before = readers()
    with pytest.raises(DataError, match="crop_size"):
        make(place, data_layer("source", 2, "crop_size: 9"))
    assert readers() == before
    with opened(place, data_layer("source", 5)) as layer:
        assert len(take(layer, 1)[0][1]) == 5


def test_a_child_of_a_fork_is_told_and_does_not_hang(place: Place) -> None:
    write_lmdb(place / "source", data(5, 1, 2, 2))
    with opened(place, data_layer("source", 2)) as layer:
        child = os.fork()
        if child == 0:
            try:
                layer.forward([])
            except DataError as error:
                layer.close()
                os._exit(7 if "in another process" in str(error) else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert len(take(layer, 3)) == 3


LEFT_OPEN = """
import sys, torch
from google.protobuf import text_format
from caffe.layers import Context, create
from caffe.proto import caffe_pb2
from caffe.random import Random
param = caffe_pb2.LayerParameter()
text_format.Parse(sys.argv[1], param)
layer = create(param, Context(0, torch.device("cpu"), Random(1)))
layer.setup([])
layer.forward([])
print("forward", flush=True)
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise ValueError('oh')", "del layer"])
def test_the_interpreter_ends_with_a_layer_left_open(place: Place, end: str) -> None:
    write_lmdb(place / "source", data(5, 1, 2, 2))
    text = data_layer("source", 2).replace("{here}", str(place.folder))
    done = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN + end, f'name: "x" {text}'],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "forward\n"
    code = 3 if "Exit" in end else 1 if "Value" in end else 0
    assert done.returncode == code, done.stderr
    assert done.stderr.strip().endswith("oh" if code == 1 else ""), done.stderr


def test_timing_changes_no_batch(place: Place) -> None:
    write_lmdb(place / "source", data(9, 1, 9, 9))
    layer = data_layer("source", 4, "crop_size: 3 mirror: true", "prefetch: 3")
    with opened(place, layer) as quick, opened(place, layer) as slow:
        for _ in range(10):
            time.sleep(0.003)
            for one, other in zip(slow.forward([]), quick.forward([]), strict=True):
                assert torch.equal(one, other)


def test_each_round_is_told_once_by_the_first_solver(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "source", data(4, 1, 2, 2))
    param = caffe_pb2.LayerParameter()
    text = data_layer("source", 4, more="prefetch: 1").replace("{here}", str(tmp_path))
    text_format.Parse(f'name: "x" {text}', param)
    for rank, expected in ((0, ["Restarting data prefetching from start."] * 2), (1, [])):
        told: list[str] = []

        def log(place: str, text: str, severity: str = "I", told: list[str] = told) -> None:
            if place == "data_layer.cpp:73":
                told.append(text)

        layer = create(param, Context(caffe_pb2.TEST, CPU, Random(1), rank, 2, log))
        layer.setup([])
        for _ in range(3):
            layer.forward([])
        layer.close()
        assert told == expected


def test_setup_tells_what_caffe_tells(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "source", data(4, 1, 2, 3))
    mean = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=3, data=range(6))
    (tmp_path / "mean").write_bytes(mean.SerializeToString())
    text = data_layer("source", 5, 'mean_file: "{here}/mean"').replace("{here}", str(tmp_path))
    param = caffe_pb2.LayerParameter()
    text_format.Parse(f'name: "x" {text}', param)
    told: list[str] = []

    def log(place: str, text: str, severity: str = "I") -> None:
        told.append(f"{place}] {text}")

    layer = create(param, Context(caffe_pb2.TEST, CPU, Random(1), log=log))
    layer.setup([])
    layer.close()
    assert told[:3] == [
        f"data_transformer.cpp:25] Loading mean file from: {tmp_path}/mean",
        f"db_lmdb.cpp:35] Opened lmdb {tmp_path}/source",
        "data_layer.cpp:45] output data size: 5,1,2,3",
    ]
