"""Blobs whose device numpy cannot see, as on a GPU: here a second tensor on the host plays it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from caffe import blob, schema
from caffe.solver import Solver
from zoo import ZOO, with_inputs

BATCH = 4


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and device are two sides."""
    monkeypatch.setattr(blob, "shares_host", lambda device: False)


def lenet(folder: Path) -> Solver:
    (folder / "net.prototxt").write_text(with_inputs("lenet", BATCH))
    (folder / "solver.prototxt").write_text(
        f'net: "{folder}/net.prototxt" {ZOO["lenet"].solver} max_iter: 99 random_seed: 5 '
        f'snapshot_prefix: "{folder}/s" solver_mode: CPU'
    )
    return Solver(schema.read_solver(folder / "solver.prototxt").message)


def feed(solver: Solver) -> None:
    random = np.random.default_rng(1)
    for name, values in (
        ("data", random.random((BATCH, 1, 28, 28), np.float32)),
        ("label", np.arange(BATCH, dtype=np.float32)),
    ):
        view = solver.net.blobs[name]
        view.data_memory.numpy(view.shape)[...] = values


def look_at_everything(solver: Solver) -> None:
    for each in [*solver.net.blobs.values(), *(one.blob for one in solver.net.learnables)]:
        each.data_memory.numpy(each.shape)
        each.diff_memory.numpy(each.shape)


def weights(solver: Solver) -> torch.Tensor:
    return solver.net.flat.data.clone()


@pytest.mark.usefixtures("apart")
def test_looking_at_every_blob_between_steps_changes_no_weight(tmp_path: Path) -> None:
    trained = []
    for looks in (False, True):
        solver = lenet(tmp_path)
        feed(solver)
        for _ in range(3):
            solver.step(1)
            if looks:
                look_at_everything(solver)
        trained.append(weights(solver))

    assert torch.equal(*trained)


@pytest.mark.usefixtures("apart")
def test_two_sides_train_as_one_side_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    for apart in (True, False):
        monkeypatch.setattr(blob, "shares_host", lambda device, apart=apart: not apart)
        solver = lenet(tmp_path)
        feed(solver)
        solver.step(3)
        trained.append(weights(solver))

    assert torch.equal(*trained)


@pytest.mark.usefixtures("apart")
def test_a_gradient_that_a_callback_writes_is_the_one_of_the_update(tmp_path: Path) -> None:
    class Zeros:
        def on_start(self) -> None:
            """Nothing."""

        def on_gradients_ready(self) -> None:
            for each in solver.net.learnables:
                each.blob.diff_memory.numpy(each.blob.shape)[...] = 0

    solver = lenet(tmp_path)
    feed(solver)
    before = weights(solver)
    solver.callbacks.append(Zeros())
    solver.step(1)

    # What is left is the decay of the weights; the biases have none.
    rate, decay = 0.01, 0.0005
    change = (weights(solver) - before) / before
    assert change[before != 0].tolist() == pytest.approx(
        [-rate * decay] * int((before != 0).sum()), abs=1e-6
    )


@pytest.mark.usefixtures("apart")
def test_weights_that_are_written_between_steps_are_trained_on(tmp_path: Path) -> None:
    solver = lenet(tmp_path)
    feed(solver)
    solver.step(1)
    first = solver.net.learnables[0].blob
    first.data_memory.numpy(first.shape)[...] = 0
    solver.apply_update()

    assert float(first.data.abs().max()) < 1e-2


@pytest.mark.usefixtures("apart")
def test_a_looked_at_blob_shows_the_next_forwards_result(tmp_path: Path) -> None:
    solver = lenet(tmp_path)
    feed(solver)
    loss = solver.net.blobs["loss"]
    solver.net.forward()
    seen = loss.data_memory.numpy(()).copy()
    first = solver.net.learnables[0].blob
    first.data_memory.numpy(first.shape)[...] *= 0.5
    solver.net.forward()

    assert loss.data_memory.numpy(()) != seen
    assert float(loss.data) == loss.data_memory.numpy(())
