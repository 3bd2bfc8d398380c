"""Check what reads data against the oracle: the same files, the same seed, the same batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import plyvel
import pytest
import torch
from caffe.errors import CaffeError
from caffe.layers import Context, Layer, create
from caffe.proto import caffe_pb2
from caffe.random import Random
from google.protobuf import text_format
from oracle.client import Oracle, OracleAbortedError

Array = np.ndarray[Any, Any]
PHASES = {"TRAIN": caffe_pb2.TRAIN, "TEST": caffe_pb2.TEST}

ORACLE = """
    import json, os
    order = json.loads(str(args["order"]))
    os.chdir(order["here"])
    open("/tmp/net.prototxt", "w").write("layer { %s }" % order["layer"])
    caffe.set_random_seed(order["seed"])
    net = caffe.Net("/tmp/net.prototxt", caffe.TRAIN if order["phase"] == "TRAIN" else caffe.TEST)
    for number in range(order["count"]):
        net.forward()
        for top in net.top_names["x"]:
            out["%d %s" % (number, top)] = net.blobs[top].data.copy()
"""


class Place:
    """A folder that we and the oracle see, under two paths."""

    def __init__(self, oracle: Oracle, name: str) -> None:
        self.oracle = oracle
        self.folder = oracle.folder / name
        self.theirs = f"/data/{name}"
        self.folder.mkdir()

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def make(
    place: Place, layer: str, phase: str = "TRAIN", seed: int = 7, rank: int = 0, ranks: int = 1
) -> Layer:
    param = caffe_pb2.LayerParameter()
    text_format.Parse('name: "x" ' + layer.replace("{here}", str(place.folder)), param)
    device = torch.device("cpu")
    found = create(param, Context(PHASES[phase], device, Random(seed), rank, ranks))
    try:
        found.setup([])
    except CaffeError:
        found.close()
        raise
    return found


@contextmanager
def opened(place: Place, layer: str, *args: Any, **options: Any) -> Iterator[Layer]:
    found = make(place, layer, *args, **options)
    try:
        yield found
    finally:
        found.close()


def take(layer: Layer, count: int) -> list[list[Array]]:
    """Copies of the tops of ``count`` batches."""
    return [[top.numpy().copy() for top in layer.forward([])] for _ in range(count)]


def ours(place: Place, layer: str, count: int, **options: Any) -> list[list[Array]]:
    with opened(place, layer, **options) as found:
        shapes = found.reshape([])
        batches = take(found, count)
    assert shapes == [top.shape for top in batches[0]]
    return batches


def theirs(
    place: Place, layer: str, count: int, phase: str = "TRAIN", seed: int = 7
) -> list[list[Array]]:
    text = 'name: "x" ' + layer.replace("{here}", place.theirs)
    order = {"layer": text, "count": count, "phase": phase, "seed": seed, "here": place.theirs}
    answer = place.oracle(ORACLE, order=np.array(json.dumps(order)))
    batches: list[list[Array]] = [[] for _ in range(count)]
    for key, array in answer.items():
        batches[int(key.split()[0])].append(array)
    return batches


def compare(
    place: Place, layer: str, count: int = 5, phase: str = "TRAIN", seed: int = 7
) -> list[list[Array]]:
    """The tops of ``count`` batches are the oracle's, bit for bit; gives them."""
    mine = ours(place, layer, count, phase=phase, seed=seed)
    real = theirs(place, layer, count, phase, seed)
    for number, (have, want) in enumerate(zip(mine, real, strict=True)):
        assert len(have) == len(want)
        for top, (one, other) in enumerate(zip(have, want, strict=True)):
            assert one.dtype == other.dtype == np.float32
            np.testing.assert_array_equal(one, other, err_msg=f"batch {number}, top {top}")
    return mine


def refusal(place: Place, layer: str, count: int = 1, **options: Any) -> str:
    """The message with which ours refuses; the paths are those of the text again."""
    with pytest.raises(CaffeError) as caught:
        ours(place, layer, count, **options)
    return str(caught.value).replace(str(place.folder), "{here}")


def refused_by_both(place: Place, layer: str, count: int = 1) -> str:
    """The oracle aborts, ours refuses; gives the message."""
    with pytest.raises(OracleAbortedError):
        theirs(place, layer, count)
    return refusal(place, layer, count)


def datum(image: Array, label: int | None = None) -> Any:
    """A Datum of channels × height × width values: raw for uint8, else float_data."""
    made = caffe_pb2.Datum(channels=image.shape[0], height=image.shape[1], width=image.shape[2])
    if image.dtype == np.uint8:
        made.data = image.tobytes()
    else:
        made.float_data.extend(image.ravel().tolist())
    if label is not None:
        made.label = label
    return made


def pixels(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def data(count: int, *shape: int, seed: int = 3) -> list[Any]:
    """``count`` raw records with labels 0, 1, 2 …"""
    return [datum(image, label) for label, image in enumerate(pixels(count, *shape, seed=seed))]


def write_lmdb(path: Path, records: Iterable[Any]) -> None:
    """Records are messages or bytes; keys are their numbers."""
    with lmdb.open(str(path), map_size=1 << 26) as database, database.begin(write=True) as writing:
        for key, value in numbered(records):
            writing.put(key, value)


def write_leveldb(path: Path, records: Iterable[Any]) -> None:
    database = plyvel.DB(str(path), create_if_missing=True)
    for key, value in numbered(records):
        database.put(key, value)
    database.close()


def numbered(records: Iterable[Any]) -> Iterator[tuple[bytes, bytes]]:
    for number, record in enumerate(records):
        value = record if isinstance(record, bytes) else record.SerializeToString()
        yield b"%08d" % number, value


def data_layer(
    source: str, batch: int, transform: str = "", more: str = "", backend: str = "LMDB"
) -> str:
    return (
        f'type: "Data" top: "data" top: "label" data_param {{ source: "{{here}}/{source}" '
        f"backend: {backend} batch_size: {batch} {more} }} transform_param {{ {transform} }}"
    )


def labels(batches: Sequence[Sequence[Array]]) -> list[int]:
    return [int(label) for batch in batches for label in batch[1]]
