"""Snapshots go both ways: the oracle resumes ours, we resume the oracle's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from caffe import weights
from jobs import lenet
from oracle.program import Ended, run_oracle, run_ours

LOSS = re.compile(r"Iteration (\d+) \(.*\), loss = (\S+)")
FORMATS = {"BINARYPROTO": "", "HDF5": ".h5"}


def losses(ended: Ended) -> dict[int, float]:
    assert ended.status == 0, ended.output
    found = (LOSS.match(text) for text in ended.said("solver.cpp"))
    return {int(m[1]): float(m[2]) for m in found if m}


def agree(ours: dict[int, float], theirs: dict[int, float]) -> None:
    assert sorted(ours) == sorted(theirs)
    assert len(ours) == 10
    np.testing.assert_allclose(
        [ours[key] for key in sorted(ours)], [theirs[key] for key in sorted(ours)], rtol=5e-5
    )


@pytest.fixture
def twins(job: Path) -> tuple[Path, Path]:
    """The job twice: ours, and the oracle's, whose ``/data`` it is."""
    theirs = job / "theirs"
    theirs.mkdir()
    for database in ("mnist_train_lmdb", "mnist_test_lmdb"):
        shutil.copytree(job / database, theirs / database)
    return job, theirs


@pytest.mark.parametrize("written", FORMATS)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_the_oracle_resumes_ours_and_goes_on_as_we_do(
    twins: tuple[Path, Path], written: str, kind: str
) -> None:
    mine, theirs = twins
    settings = {
        "type": f'"{kind}"', "snapshot_format": written, "test_iter": None, "test_interval": None,
        "base_lr": 0.001,
    }  # fmt: skip
    lenet(theirs, "/data", max_iter=15, snapshot=None, **settings)
    run = run_ours("train", f"--solver={lenet(mine, str(mine), max_iter=5, **settings)}")
    assert run.status == 0, run.output
    state = f"lenet_iter_5.solverstate{FORMATS[written]}"

    ours = losses(
        run_ours(
            "train",
            f"--solver={lenet(mine, str(mine), max_iter=15, snapshot=None, **settings)}",
            f"--snapshot={mine / state}",
        )
    )
    # learned_net is a path; the oracle has to find it where we wrote it.
    inside = theirs / str(mine).lstrip("/")
    inside.mkdir(parents=True)
    for path in mine.glob("lenet_iter_5.*"):
        shutil.copy(path, inside)
    moved = _with_learned_net_under_data(inside / state, mine)
    agree(
        ours,
        losses(
            run_oracle(theirs, "train", "--solver=/data/solver.prototxt", f"--snapshot={moved}")
        ),
    )


def _with_learned_net_under_data(state: Path, mine: Path) -> str:
    """The state's path in the oracle's ``/data``, with its weights' path made one of there."""
    from caffe import snapshot

    found = snapshot.read_state(state)
    model = found.learned_net.replace(str(mine), f"/data{mine}")
    changed = snapshot.SolverState(found.iteration, model, found.history, found.current_step)
    snapshot.write_state(state, changed)
    return f"/data{mine}/{state.name}"


@pytest.mark.parametrize("written", FORMATS)
@pytest.mark.parametrize("kind", ["SGD", "AdaDelta"])
def test_we_resume_the_oracles_and_go_on_as_it_does(
    twins: tuple[Path, Path], written: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = twins
    settings = {
        "type": f'"{kind}"', "snapshot_format": written, "test_iter": None, "test_interval": None,
        "delta": 1e-6,
    }  # fmt: skip
    ending = FORMATS[written]
    lenet(theirs, "/data", max_iter=5, **settings)
    run = run_oracle(theirs, "train", "--solver=/data/solver.prototxt")
    assert run.status == 0, run.output
    lenet(theirs, "/data", max_iter=15, snapshot=None, **settings)
    state = f"lenet_iter_5.solverstate{ending}"
    expected = losses(
        run_oracle(theirs, "train", "--solver=/data/solver.prototxt", f"--snapshot=/data/{state}")
    )
    for path in theirs.glob("lenet_iter_5.*"):
        shutil.copy(path, mine)
    from caffe import snapshot

    found = snapshot.read_state(mine / state)
    model = found.learned_net.replace("/data", str(mine))
    snapshot.write_state(
        mine / state,
        snapshot.SolverState(found.iteration, model, found.history, found.current_step),
    )
    solver = lenet(mine, str(mine), max_iter=15, snapshot=None, **settings)
    agree(losses(run_ours("train", f"--solver={solver}", f"--snapshot={mine / state}")), expected)


def test_opencv_takes_our_weights_and_computes_the_same(job: Path) -> None:
    solver = lenet(job, str(job), max_iter=20, snapshot=None, test_iter=None, test_interval=None)
    run = run_ours("train", f"--solver={solver}")
    assert run.status == 0, run.output
    model = job / "lenet_iter_20.caffemodel"
    deploy = (job / "net.prototxt").read_text()
    head = deploy.index('name: "conv1"') - len("layer {\n  ")
    tail = deploy.index("layer {", deploy.index('name: "ip2"'))
    definition = job / "deploy.prototxt"
    definition.write_text(
        'name: "LeNet"\ninput: "data"\ninput_dim: 1 input_dim: 1 input_dim: 28 input_dim: 28\n'
        + deploy[head:tail]
    )
    image = np.random.default_rng(1).random((1, 1, 28, 28), np.float32)

    opened = cv2.dnn.readNetFromCaffe(str(definition), str(model))
    opened.setInput(image)
    found = opened.forward("ip2")

    from caffe import schema
    from caffe.net import Net
    from caffe.random import Random

    net = Net(schema.read_net(definition).message, random=Random(1))
    weights.load(net, model)
    import torch

    net.blobs["data"].data = torch.from_numpy(image)
    net.forward()
    np.testing.assert_allclose(net.blobs["ip2"].data.detach().numpy(), found, rtol=1e-4, atol=1e-6)
