"""HDF5Data and HDF5Output against the oracle. Lists have relative paths."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from caffe.errors import CaffeError, DataError, ShapeError
from caffe.layers import Context, Layer, create
from caffe.proto import caffe_pb2
from caffe.random import Random
from data_checks import Array, Place, compare, labels, ours, refusal, refused_by_both
from google.protobuf import text_format
from oracle.client import OracleAbortedError


@pytest.fixture(autouse=True)
def _in_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)


def write(place: Place, name: str, **datasets: Any) -> None:
    with h5py.File(place / name, "w") as file:
        for key, value in datasets.items():
            file[key] = value


def write_rows(place: Place, *counts: int) -> None:
    """Files of so many rows each, labels counted on from file to file; and their list."""
    first = 0
    for number, count in enumerate(counts):
        values = np.random.default_rng(number).standard_normal((count, 2, 3))
        write(place, f"{number}.h5", data=values, label=np.arange(first, first + count))
        first += count
    (place / "list").write_text(" \n".join(f"{number}.h5" for number in range(len(counts))))


def layer(more: str = "", tops: str = "data label", batch: int = 4, rest: str = "") -> str:
    named = " ".join(f'top: "{top}"' for top in tops.split())
    return (
        f'type: "HDF5Data" {named} hdf5_data_param {{ source: "list" batch_size: {batch} {more} }}'
        f" {rest}"
    )


@pytest.mark.parametrize("counts", [(4,), (5,), (3, 2), (1, 1, 1), (9, 2)])
@pytest.mark.parametrize("batch", [1, 4, 11])
def test_rows_go_on_across_files_as_the_oracles(
    place: Place, counts: tuple[int, ...], batch: int
) -> None:
    write_rows(place, *counts)
    found = labels(compare(place, layer(batch=batch), count=6))
    assert found == [number % sum(counts) for number in range(6 * batch)]


@pytest.mark.parametrize("counts", [(7,), (3, 2), (5, 1, 4, 8)])
@pytest.mark.parametrize("batch", [1, 4])
def test_shuffling_is_the_oracles_for_the_first_layer_of_a_process(
    place: Place, counts: tuple[int, ...], batch: int
) -> None:
    write_rows(place, *counts)
    for seed in (1, 2):
        compare(place, layer("shuffle: true", batch=batch), count=20, seed=seed)


@pytest.mark.parametrize(
    "kind", ["f2", "f4", "f8", ">f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"]
)
def test_integers_and_floats_of_all_sizes_are_the_oracles(place: Place, kind: str) -> None:
    limits = np.finfo(kind) if np.dtype(kind).kind == "f" else np.iinfo(kind)
    some = [0, 1, 3, 100, float(limits.max), float(limits.min)]
    if np.dtype(kind).kind == "f":
        some += [0.1, -1e-8, np.inf, 1 / 3]
    elif np.dtype(kind).itemsize > 2:
        some += [2**24 + 1, 2**24 + 3, 2**31 - 65]
    with np.errstate(all="ignore"):
        values = np.array(some).astype(kind)
    write(place, "0.h5", data=values, label=values[:, None])
    (place / "list").write_text("0.h5")
    compare(place, layer(), count=3)


def test_tops_are_datasets_by_name_of_any_axes(place: Place) -> None:
    write(place, "0.h5", a=np.arange(5.0), b=np.zeros((5, 2, 1, 3, 2)), c=np.ones((5, 1)))
    (place / "list").write_text("0.h5")
    batches = compare(place, layer(tops="c b a", batch=3))
    assert [top.shape for top in batches[0]] == [(3, 1), (3, 2, 1, 3, 2), (3,)]


@pytest.mark.parametrize("more", ["", "shuffle: true"])
def test_solvers_part_the_rows_in_train_and_not_in_test(place: Place, more: str) -> None:
    write_rows(place, 5, 4)
    whole = labels(ours(place, layer(more, batch=3), 12))
    for rank in range(3):
        parts = labels(ours(place, layer(more, batch=3), 4, rank=rank, ranks=3))
        assert parts == whole[rank::3]
    tested = labels(ours(place, layer(more, batch=3), 12, phase="TEST", rank=1, ranks=3))
    assert tested == whole


def bad(place: Place, name: str) -> str:
    """The layer of a bad case; each has list ``list`` and file ``0.h5``."""
    rows = np.arange(6.0).reshape(3, 2)
    cases: dict[str, dict[str, Any]] = {
        "no dataset": {"data": rows},
        "lengths": {"data": rows, "label": np.arange(2)},
        "text": {"data": np.array([b"aa", b"bb"]), "label": np.arange(2)},
        "enumeration": {"data": np.zeros((2, 2), bool), "label": np.arange(2)},
        "no axes": {"data": np.float32(3), "label": np.arange(1)},
        "no rows": {"data": rows[:0], "label": rows[:0]},
        "a group": {"data/inside": rows, "label": np.arange(3)},
    }
    (place / "list").write_text("0.h5")
    write(place, "0.h5", **cases.get(name, {"data": rows, "label": np.arange(3)}))
    if name == "no list":
        (place / "list").unlink()
    elif name == "empty list":
        (place / "list").write_text("\n ")
    elif name == "no file":
        (place / "list").write_text("none.h5")
    elif name == "junk":
        (place / "0.h5").write_bytes(b"junk")
    elif name == "cut short":
        content = (place / "0.h5").read_bytes()
        (place / "0.h5").write_bytes(content[: len(content) // 2])
    rest = "transform_param { scale: 1 }" if name == "transform" else ""
    return layer(batch=0 if name == "batch" else 4, rest=rest)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no list", 'source "list" cannot be read'),
        ("empty list", 'source "list" lists no file'),
        ("no file", 'HDF5 file "none.h5" does not exist'),
        ("junk", 'HDF5 file "0.h5" cannot be read'),
        ("cut short", 'HDF5 file "0.h5" cannot be read'),
        ("no dataset", 'HDF5 file "0.h5" has no dataset "label"'),
        ("a group", 'HDF5 file "0.h5" has no dataset "data"'),
        ("lengths", "data 3, label 2"),
        ("text", 'dataset "data" is of type'),
        ("enumeration", 'dataset "data" is of type bool'),
        ("no axes", 'dataset "data" has no axes'),
        ("no rows", 'HDF5 file "0.h5" has no rows'),
        ("transform", "transform_param is given"),
        ("batch", "batch_size is 0"),
    ],
)
def test_what_the_oracle_refuses_is_refused_by_name(place: Place, name: str, expected: str) -> None:
    message = refused_by_both(place, bad(place, name))
    assert message.startswith('layer "x" (HDF5Data): ')
    assert expected in message


def test_rows_of_another_shape_are_refused(place: Place) -> None:
    write_rows(place, 3, 2)
    write(place, "1.h5", data=np.zeros((2, 7)), label=np.arange(2))
    message = refusal(place, layer(), count=2)
    assert 'HDF5 file "1.h5", dataset "data" has rows of 7, the files before it rows of 2×3' in (
        message
    )


OUTPUT = """
    import json, os
    order = json.loads(str(args["order"]))
    os.chdir(order["here"])
    shapes = [" ".join("dim: %d" % size for size in shape) for shape in order["shapes"]]
    open("/tmp/net.prototxt", "w").write('''
        layer { name: "i" type: "Input" top: "a" top: "b"
                input_param { shape { %s } shape { %s } } }
        layer { name: "x" type: "HDF5Output" bottom: "a" bottom: "b"
                hdf5_output_param { file_name: "%s" } }''' % (*shapes, order["file"]))
    net = caffe.Net("/tmp/net.prototxt", caffe.TEST)
    for _ in range(order["count"]):
        net.blobs["a"].data[...] = args["a"]
        net.blobs["b"].data[...] = args["b"]
        net.forward()
    del net
"""


def write_theirs(place: Place, bottoms: list[Array], file: str, count: int = 1) -> None:
    shapes = [bottom.shape for bottom in bottoms]
    order = {"shapes": shapes, "file": file, "count": count, "here": place.theirs}
    place.oracle(OUTPUT, order=np.array(json.dumps(order)), a=bottoms[0], b=bottoms[1])


def output(place: Place, bottoms: list[Array], file: str, count: int = 1) -> Layer:
    param = caffe_pb2.LayerParameter()
    text_format.Parse(
        f'name: "x" type: "HDF5Output" hdf5_output_param {{ file_name: "{file}" }}', param
    )
    made = create(param, Context(caffe_pb2.TEST, torch.device("cpu"), Random(1)))
    shapes = [bottom.shape for bottom in bottoms]
    made.setup(shapes)
    assert made.reshape(shapes) == []
    for _ in range(count):
        assert made.forward([torch.tensor(bottom) for bottom in bottoms]) == []
    return made


def content(place: Place, name: str) -> dict[str, Array]:
    with h5py.File(place / name) as file:
        return {key: file[key][...] for key in file}


@pytest.mark.parametrize("shapes", [((2, 3), (2,)), ((3, 1, 4, 5), (3, 2)), ((1, 2), ())])
def test_what_is_written_is_the_oracles(place: Place, shapes: tuple[tuple[int, ...], ...]) -> None:
    bottoms = [np.random.default_rng(1).standard_normal(s).astype(np.float32) for s in shapes]
    output(place, bottoms, "ours.h5")
    write_theirs(place, bottoms, "theirs.h5")
    mine, real = content(place, "ours.h5"), content(place, "theirs.h5")
    assert mine.keys() == real.keys() == {"data", "label"}
    for key, want in real.items():
        assert mine[key].dtype == want.dtype
        np.testing.assert_array_equal(mine[key], want)


@pytest.mark.parametrize(
    ("shapes", "file", "count", "kind", "expected"),
    [
        (((2, 3), (2,)), "out.h5", 2, DataError, 'file "out.h5" has a batch already'),
        (((2, 3), (2,)), "none/out.h5", 1, DataError, 'file "none/out.h5" cannot be made'),
        (((2, 3), (3,)), "out.h5", 1, ShapeError, "the bottoms are 2×3 and 3"),
        (((2, 1, 1, 1, 1), (2,)), "out.h5", 1, ShapeError, "at most 4 axes"),
        (((2, 3), (2,)), "", 1, CaffeError, "file_name is empty"),
    ],
)
def test_what_the_oracle_does_not_write_is_refused(
    place: Place,
    shapes: tuple[tuple[int, ...], ...],
    file: str,
    count: int,
    kind: type[CaffeError],
    expected: str,
) -> None:
    bottoms = [np.zeros(shape, np.float32) for shape in shapes]
    with pytest.raises(OracleAbortedError):
        write_theirs(place, bottoms, file, count)
    with pytest.raises(kind, match=expected):
        output(place, bottoms, file, count)
