"""Which snapshots are whole: real Caffe's files, cut at every place where a kill could cut them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from uaitrain.frameworks.caffe_schema import caffe_pb2
from uaitrain.runs import pairs
from uaitrain.runs.pair_watch import PairWatch


def write_pair(folder: Path, iteration: int, name: str = "net") -> Path:
    """A pair as Caffe writes it; the state's path."""
    net = caffe_pb2.NetParameter(name="net")
    blob = net.layer.add(name="ip", type="InnerProduct").blobs.add()
    blob.shape.dim.append(50)
    blob.data.extend([0.5] * 50)
    state = caffe_pb2.SolverState(iter=iteration, learned_net="x.caffemodel", current_step=0)
    state.history.add().CopyFrom(blob)
    stem = folder / f"{name}_iter_{iteration}"
    stem.with_suffix(".caffemodel").write_bytes(net.SerializeToString())
    stem.with_suffix(".solverstate").write_bytes(state.SerializeToString())
    return stem.with_suffix(".solverstate")


def write_hdf5_pair(folder: Path, iteration: int) -> Path:
    stem = folder / f"net_iter_{iteration}"
    for ending in (".caffemodel.h5", ".solverstate.h5"):
        with h5py.File(f"{stem}{ending}", "w") as file:
            file["data"] = [0.5] * 500
    return Path(f"{stem}.solverstate.h5")


def test_the_newest_whole_pair_counts(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / ".being-written").mkdir()
    for folder, iteration in ((tmp_path, 90), (tmp_path / "deeper", 100)):
        write_pair(folder, iteration)
    write_pair(tmp_path / ".being-written", 300)
    broken = write_pair(tmp_path, 200)
    broken.with_suffix(".caffemodel").unlink()

    found = pairs.newest(tmp_path)

    assert found is not None
    assert (found.iteration, found.state.parent.name) == (100, "deeper")
    assert list(pairs.broken(tmp_path)) == [broken]


@pytest.mark.parametrize("ending", [".solverstate", ".caffemodel"])
def test_a_file_cut_anywhere_makes_no_pair(tmp_path: Path, ending: str) -> None:
    state = write_pair(tmp_path, 7)
    file = state.with_suffix(ending)
    data = file.read_bytes()
    assert pairs.read(state).iteration == 7
    for length in range(len(data)):
        file.write_bytes(data[:length])
        with pytest.raises(pairs.BrokenPairError):
            pairs.read(state)


@pytest.mark.parametrize("ending", [".solverstate.h5", ".caffemodel.h5"])
def test_an_hdf5_file_cut_anywhere_makes_no_pair(tmp_path: Path, ending: str) -> None:
    state = write_hdf5_pair(tmp_path, 7)
    file = tmp_path / f"net_iter_7{ending}"
    data = file.read_bytes()
    assert pairs.read(state).iteration == 7
    for length in range(0, len(data), 7):
        file.write_bytes(data[:length])
        with pytest.raises(pairs.BrokenPairError):
            pairs.read(state)


@pytest.mark.parametrize("write", [write_pair, write_hdf5_pair])
def test_a_watch_tells_the_pairs_in_the_order_they_became_whole(
    tmp_path: Path, write: Callable[[Path, int], Path]
) -> None:
    output, other = tmp_path / "output", tmp_path / "other"
    output.mkdir()
    other.mkdir()
    write(output, 5)
    with PairWatch(output) as watch:
        for iteration in (10, 20, 30):
            write(output, iteration)
            _until(lambda wanted=iteration: watch.appeared[-1:] == [wanted])
        shutil.copy(write(other, 20), output)

    assert watch.appeared == [10, 20, 30, 20]


def test_the_callback_comes_with_the_first_file_that_is_written_anew(tmp_path: Path) -> None:
    """Wherever it is staged; a file that is only renamed does not count."""
    old = write_pair(tmp_path, 5)
    called: list[str] = []
    with PairWatch(tmp_path) as watch:
        watch.when_written(lambda: called.append("now"))
        old.rename(tmp_path / "renamed_iter_5.solverstate")
        time.sleep(0.05)
        assert called == []
        (tmp_path / ".staged").mkdir()
        (tmp_path / ".staged" / "net_iter_9.caffemodel").write_bytes(b"half")
        _until(lambda: watch.caught is not None)
        (tmp_path / ".staged" / "net_iter_9.solverstate").write_bytes(b"more")
        time.sleep(0.05)

    assert called == ["now"]
    assert watch.caught is not None
    assert watch.caught.name == "net_iter_9.caffemodel"


def _until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.005)
