"""States are walked without their blobs; anything else is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.frameworks import solver_state, wire
from uaitrain.frameworks.caffe_schema import caffe_pb2


def test_names_and_shapes_are_read(tmp_path: Path) -> None:
    blob = caffe_pb2.BlobProto(shape={"dim": [20, 1, 5, 5]}, data=[0.0] * 500)
    state = caffe_pb2.SolverState(iter=7, learned_net="a.caffemodel", history=[blob, blob])
    path = tmp_path / "a.solverstate"
    path.write_bytes(state.SerializeToString())

    read = solver_state.read(path)

    assert read == solver_state.SolverState(7, "a.caffemodel", ((20, 1, 5, 5),) * 2)


@pytest.mark.parametrize("data", [b"", b"text file\n", b"\x80\x02", b"\x0a\xff\x01ab"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.solverstate"
    path.write_bytes(data)

    with pytest.raises(wire.WireError):
        solver_state.read(path)


def test_a_cut_state_is_refused(tmp_path: Path) -> None:
    blob = caffe_pb2.BlobProto(shape={"dim": [10]}, data=[0.0] * 10)
    data = caffe_pb2.SolverState(iter=7, history=[blob]).SerializeToString()
    path = tmp_path / "a.solverstate"
    path.write_bytes(data[:-4])

    with pytest.raises(wire.WireError, match="past the end"):
        solver_state.read(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_state_or_a_wire_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.solverstate"
    path.write_bytes(data)

    try:
        state = solver_state.read(path)
    except wire.WireError:
        return
    assert state.iteration >= 0
