"""Preflight's price: what it loads, and how little of large things it reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from preflight_job import Job, blob
from uaitrain.frameworks import solver_state
from uaitrain.frameworks.caffe_schema import caffe_pb2
from uaitrain.preflight import secrets


def test_importing_preflight_leaves_protobuf_alone() -> None:
    program = "import sys, uaitrain.preflight; assert 'google.protobuf' not in sys.modules"

    subprocess.run([sys.executable, "-c", program], check=True)


def test_blobs_of_a_state_are_not_read(tmp_path: Path) -> None:
    """A history blob of 8 GiB is a hole in the file; reading it would take minutes."""
    count = 2 << 30
    shape = caffe_pb2.BlobProto(shape={"dim": [count]}).SerializeToString()
    data_key = b"\x2a" + _varint(4 * count)
    inner = len(shape) + len(data_key) + 4 * count
    path = tmp_path / "large.solverstate"
    path.write_bytes(b"\x08\x05" + b"\x1a" + _varint(inner) + shape + data_key)
    os.truncate(path, path.stat().st_size + 4 * count)

    assert solver_state.read(path).shapes == ((count,),)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def test_a_state_with_wrong_history_is_judged_by_its_shapes_alone(job: Job) -> None:
    state = caffe_pb2.SolverState(iter=1, history=[blob(4, 1, 3, 3)] * 4)
    path = job.output / "a.solverstate"
    path.write_bytes(state.SerializeToString())
    job.change(snapshot="/data/output/a.solverstate")

    assert "begins with 4, the net's 10" in job.only("snapshot-other-net").what


def test_the_search_for_secrets_stops_and_says_so(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "MOST_BYTES", 2000)
    for index in range(10):
        (job.code / f"{index}.dat").write_text("x" * 999 + "\n")

    finding = job.only("secret-scan-limited")

    assert finding.what.endswith("of 12 text-sized files searched for secrets")


def test_likely_files_are_searched_first(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "MOST_FILES", 1)
    (job.code / "aaa.dat").write_text("nothing\n")
    (job.code / "zzz.env").write_text("api_key=" + "s3cr3t-value\n")

    assert "secret-text" in job.names()
