from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from caffe import blobproto, files, snapshot
from caffe.errors import SnapshotError
from caffe.proto import caffe_pb2
from oracle.client import Oracle

# "q" shares its weights with "p", "s" all of it.
NET = """
name: "shared"
layer { name: "i" type: "Input" top: "c" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "p" type: "InnerProduct" bottom: "c" top: "p" loss_weight: 1
  param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
layer { name: "q" type: "InnerProduct" bottom: "c" top: "q" loss_weight: 1
  param { name: "w" } inner_product_param { num_output: 3 } }
layer { name: "s" type: "InnerProduct" bottom: "c" top: "s" loss_weight: 1
  param { name: "w" } param { name: "b" } inner_product_param { num_output: 3 } }
"""
WRITE = """
    caffe.set_random_seed(5)
    for name, more in ("binary", ""), ("hdf5", "snapshot_format: HDF5"):
        open("/data/net.prototxt", "w").write(str(args["net"]))
        open("/data/solver.prototxt", "w").write(
            'net: "/data/net.prototxt" snapshot_prefix: "/data/%s" lr_policy: "step" stepsize: 1'
            ' gamma: 0.5 base_lr: 0.1 momentum: 0.9 type: "Adam" solver_mode: CPU'
            " snapshot_diff: true random_seed: 5 %s" % (name, more))
        solver = caffe.get_solver("/data/solver.prototxt")
        solver.net.blobs["c"].data[...] = [[1, 2, 3], [4, 5, 6]]
        solver.step(3)
        solver.snapshot()
    for layer in "pqs":
        for index, blob in enumerate(solver.net.params[layer]):
            out["data_%s_%d" % (layer, index)] = blob.data.copy()
            out["diff_%s_%d" % (layer, index)] = blob.diff.copy()
"""
READ = """
    net = caffe.Net("/data/net.prototxt", str(args["weights"]), caffe.TEST)
    for layer in "pqs":
        for index, blob in enumerate(net.params[layer]):
            out["data_%s_%d" % (layer, index)] = blob.data.copy()
"""
RESUME = """
    solver = caffe.get_solver("/data/solver.prototxt")
    solver.restore(str(args["state"]))
    out["iter"] = solver.iter
    solver.net.blobs["c"].data[...] = [[1, 2, 3], [4, 5, 6]]
    solver.step(1)
    for layer in "pqs":
        for index, blob in enumerate(solver.net.params[layer]):
            out["data_%s_%d" % (layer, index)] = blob.data.copy()
"""


@dataclass(frozen=True)
class Written:
    """The oracle's four files, and its blobs and gradients at that moment."""

    folder: Path
    blobs: dict[str, np.ndarray[Any, Any]]

    @property
    def weights(self) -> Path:
        return self.folder / "binary_iter_3.caffemodel"

    @property
    def state(self) -> Path:
        return self.folder / "binary_iter_3.solverstate"

    @property
    def weights_hdf5(self) -> Path:
        return self.folder / "hdf5_iter_3.caffemodel.h5"

    @property
    def state_hdf5(self) -> Path:
        return self.folder / "hdf5_iter_3.solverstate.h5"

    def of(self, kind: str, layer: str) -> dict[int, np.ndarray[Any, Any]]:
        start = f"{kind}_{layer}_"
        return {int(k[len(start) :]): v for k, v in self.blobs.items() if k.startswith(start)}

    @property
    def layers(self) -> list[snapshot.LayerBlobs]:
        owned = {"p": self.of("data", "p"), "q": {1: self.of("data", "q")[1]}, "s": {}}
        return [snapshot.LayerBlobs(name, {}) for name in ("i", "c_i_0_split")] + [
            snapshot.LayerBlobs(name, owned[name], self.of("diff", name)) for name in "pqs"
        ]


@pytest.fixture(scope="module")
def written(oracle: Oracle) -> Written:
    blobs = oracle(WRITE, net=np.array(NET))
    return Written(oracle.folder, blobs)


def test_the_oracles_weights_come_back_byte_for_byte(written: Written, tmp_path: Path) -> None:
    net = snapshot.read_weights(written.weights)
    for layer in net.layer:
        for index, blob in enumerate(layer.blobs):
            data = blobproto.numbers(blob).reshape(blobproto.shape_of(blob))
            diff = blobproto.numbers(blob, "diff").reshape(blobproto.shape_of(blob))
            np.testing.assert_array_equal(data, written.blobs[f"data_{layer.name}_{index}"])
            np.testing.assert_array_equal(diff, written.blobs[f"diff_{layer.name}_{index}"])
            blobproto.set_numbers(blob, data, diff)
    snapshot.write_weights(tmp_path / "w", net)

    assert (tmp_path / "w").read_bytes() == written.weights.read_bytes()


def test_the_oracles_state_comes_back_byte_for_byte(written: Written, tmp_path: Path) -> None:
    state = snapshot.read_state(written.state)
    snapshot.write_state(tmp_path / "s.solverstate", state)

    assert (state.iteration, state.current_step) == (3, 2)
    assert state.learned_net == "/data/binary_iter_3.caffemodel"
    assert [values.shape for values in state.history] == [(3, 3), (3,), (3,)] * 2
    assert (tmp_path / "s.solverstate").read_bytes() == written.state.read_bytes()


def test_the_oracles_hdf5_state_says_the_same_as_its_binary_one(written: Written) -> None:
    binary, hdf5 = snapshot.read_state(written.state), snapshot.read_state(written.state_hdf5)

    assert (hdf5.iteration, hdf5.current_step) == (3, 2)
    assert hdf5.learned_net == "/data/hdf5_iter_3.caffemodel.h5"
    assert len(hdf5.history) == len(binary.history) == 6
    for one, other in zip(binary.history, hdf5.history, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_oracles_hdf5_weights_have_owners_only(written: Written) -> None:
    found = snapshot.read_weights_hdf5(written.weights_hdf5)

    assert {name: sorted(blobs) for name, blobs in found.items()} == {
        "i": [],
        "c_i_0_split": [],
        "p": [0, 1],
        "q": [1],
        "s": [],
    }
    for name, blobs in found.items():
        for index, values in blobs.items():
            np.testing.assert_array_equal(values, written.blobs[f"data_{name}_{index}"])


def contents(path: Path) -> dict[str, Any]:
    """Every object by its path: None for a group, else type and values."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            found[name] = None
            return
        kind = item.id.get_type()
        padding = kind.get_strpad() if isinstance(kind, h5py.h5t.TypeStringID) else None
        found[name] = (item.dtype.str, item.shape, padding, item[()].tolist(), item.chunks)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def test_hdf5_files_hold_what_the_oracles_hold(written: Written, tmp_path: Path) -> None:
    snapshot.write_weights_hdf5(tmp_path / "w.h5", written.layers, diff=True)
    snapshot.write_state(tmp_path / "s.h5", snapshot.read_state(written.state_hdf5))

    assert contents(tmp_path / "w.h5") == contents(written.weights_hdf5)
    assert contents(tmp_path / "s.h5") == contents(written.state_hdf5)


def test_hdf5_weights_without_diff_have_no_group_of_that_name(
    written: Written, tmp_path: Path
) -> None:
    snapshot.write_weights_hdf5(tmp_path / "w.h5", written.layers)

    assert not [name for name in contents(tmp_path / "w.h5") if name.startswith("diff")]


def test_the_same_content_makes_the_same_bytes(written: Written, tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        snapshot.write_weights_hdf5(tmp_path / name, written.layers, diff=True)

    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("name", ["ours.caffemodel", "ours.caffemodel.h5"])
def test_the_oracle_loads_our_weights(oracle: Oracle, written: Written, name: str) -> None:
    path = oracle.folder / name
    if name.endswith(".h5"):
        snapshot.write_weights_hdf5(path, written.layers)
    else:
        net = caffe_pb2.NetParameter()
        for layer in "pqs":
            blobs = net.layer.add(name=layer, type="InnerProduct").blobs
            for values in written.of("data", layer).values():
                blobproto.set_numbers(blobs.add(), values)
        snapshot.write_weights(path, net)
    loaded = oracle(READ, weights=np.array(f"/data/{name}"))

    assert len(loaded) == 6
    for key, values in loaded.items():
        np.testing.assert_array_equal(values, written.blobs[key])


@pytest.mark.parametrize("name", ["ours.solverstate", "ours.solverstate.h5"])
def test_the_oracle_goes_on_from_our_state(oracle: Oracle, written: Written, name: str) -> None:
    snapshot.write_state(oracle.folder / name, snapshot.read_state(written.state))
    ours = oracle(RESUME, state=np.array(f"/data/{name}"))
    theirs = oracle(RESUME, state=np.array("/data/binary_iter_3.solverstate"))

    assert int(ours["iter"]) == 3
    assert ours.keys() == theirs.keys()
    for key, values in theirs.items():
        np.testing.assert_array_equal(ours[key], values)


def test_a_layer_name_with_slashes_comes_back(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    layers = [
        snapshot.LayerBlobs("inception_3a/1x1", {0: values}),
        snapshot.LayerBlobs("inception_3a", {1: values[0]}),
    ]
    snapshot.write_weights_hdf5(tmp_path / "w.h5", layers)
    found = snapshot.read_weights_hdf5(tmp_path / "w.h5")

    np.testing.assert_array_equal(found["inception_3a/1x1"][0], values)
    np.testing.assert_array_equal(found["inception_3a"][1], values[0])


def test_weights_of_the_v1_form_are_upgraded(tmp_path: Path) -> None:
    old = caffe_pb2.NetParameter()
    layer = old.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    (tmp_path / "w").write_bytes(old.SerializeToString())
    net = snapshot.read_weights(tmp_path / "w")

    assert net.layer[0].type == "InnerProduct"
    assert blobproto.fits(net.layer[0].blobs[0], (2, 3))
    assert blobproto.numbers(net.layer[0].blobs[0]).tolist() == [0, 1, 2, 3, 4, 5]


def test_doubles_are_read(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter()
    blob = net.layer.add(name="ip", type="InnerProduct").blobs.add(double_data=[0.1, 0.2])
    blob.shape.dim.append(2)
    snapshot.write_weights(tmp_path / "w", net)
    found = blobproto.numbers(snapshot.read_weights(tmp_path / "w").layer[0].blobs[0])

    assert found.tolist() == np.array([0.1, 0.2], np.float32).tolist()


READERS: dict[str, Callable[[Path], Any]] = {
    "weights": snapshot.read_weights,
    "state": snapshot.read_state,
    "weights_hdf5": snapshot.read_weights_hdf5,
    "state_hdf5": snapshot.read_state,
}


@pytest.mark.parametrize("kind", READERS)
def test_a_file_cut_anywhere_is_refused_by_name(
    written: Written, tmp_path: Path, kind: str
) -> None:
    whole = getattr(written, kind).read_bytes()
    path = tmp_path / "cut"
    messages = []
    cuts = range(0, len(whole), max(1, len(whole) // 300))
    for size in cuts:
        path.write_bytes(whole[:size])
        try:
            READERS[kind](path)
        except SnapshotError as error:
            messages.append(str(error))
    # Between two fields a binary file looks whole; those cuts are the caller's to see.
    unseen = 0 if kind.endswith("hdf5") else 20

    assert len(cuts) - unseen <= len(messages)
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 99, b"name: 'LeNet'\n", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" * 99],
)
def test_what_is_no_snapshot_is_refused_by_name(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / "foreign.h5"
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match=r"foreign\.h5"):
        READERS[kind](path)


@pytest.mark.parametrize("kind", READERS)
def test_the_other_file_of_the_pair_is_refused(written: Written, kind: str) -> None:
    other = {
        "weights": written.state,
        "state": written.weights,
        "weights_hdf5": written.state_hdf5,
        "state_hdf5": written.weights_hdf5,
    }[kind]
    with pytest.raises(SnapshotError, match=other.name):
        READERS[kind](other)


@pytest.mark.parametrize("kind", READERS)
def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SnapshotError, match=r"cannot read .*missing"):
        READERS[kind](tmp_path / "missing")
    with pytest.raises(SnapshotError, match="cannot read"):
        READERS[kind](tmp_path)


@pytest.mark.parametrize("kind", READERS)
def test_damaged_files_are_read_or_refused(written: Written, tmp_path: Path, kind: str) -> None:
    whole = getattr(written, kind).read_bytes()
    dice = random.Random(1)  # noqa: S311 - not a secret
    path = tmp_path / "damaged"
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(dice.choice([1, 2, 5, 20])):
            damaged[dice.randrange(len(whole))] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            READERS[kind](path)
        except SnapshotError:
            refused += 1

    assert 0 < refused < 300


def test_a_blob_whose_values_do_not_fill_its_shape_is_refused(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter()
    blob = net.layer.add(name="ip", type="InnerProduct").blobs.add(data=[1, 2, 3])
    blob.shape.dim.extend((2, 2))
    snapshot.write_weights(tmp_path / "w", net)
    with pytest.raises(SnapshotError, match=r'layer "ip", blob 0 has 3 values and .* \(2, 2\)'):
        snapshot.read_weights(tmp_path / "w")


def test_hdf5_values_that_are_no_floating_point_numbers_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/ip/0", data=np.arange(3))
    with pytest.raises(SnapshotError, match="/data/ip/0 does not hold floating point"):
        snapshot.read_weights_hdf5(tmp_path / "w.h5")


def test_where_nothing_can_be_written_the_error_says_so(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "s"
    state = snapshot.SolverState(1, "", [], 0)
    for write in (
        lambda: snapshot.check_writable(place),
        lambda: snapshot.write_weights(place, caffe_pb2.NetParameter()),
        lambda: snapshot.write_weights_hdf5(place, []),
        lambda: snapshot.write_state(place, state),
        lambda: snapshot.write_state(f"{place}.h5", state),
    ):
        with pytest.raises(SnapshotError, match=r"cannot write .*No such file"):
            write()


def test_asking_whether_a_folder_is_writable_leaves_nothing(tmp_path: Path) -> None:
    snapshot.check_writable(tmp_path / "s_iter_0.tempfile")

    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_text("old")

    class StopError(Exception):
        pass

    def half_way() -> None:
        with files.appearing(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            assert not temporary.match("*.caffemodel")
            raise StopError

    with pytest.raises(StopError):
        half_way()

    assert [item.name for item in tmp_path.iterdir()] == ["w"]
    assert path.read_text() == "old"


def test_a_written_file_replaces_the_old_one_and_nothing_is_left_beside(tmp_path: Path) -> None:
    state = snapshot.SolverState(1, "w", [np.ones(3, np.float32)], 0)
    for name in ("s.solverstate", "s.solverstate.h5"):
        (tmp_path / name).write_text("old")
        snapshot.write_state(tmp_path / name, state)

        assert snapshot.read_state(tmp_path / name).iteration == 1
    assert sorted(item.name for item in tmp_path.iterdir()) == ["s.solverstate", "s.solverstate.h5"]
