"""One net trained on the CPU and on another device, in lockstep from the CPU's state."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from caffe import schema
from caffe.devices import CPU
from caffe.solver import Solver
from lockstep import Step, batches, compare, decisions, flips, host
from zoo import ZOO, with_inputs


class Twins:
    """``name`` of the zoo. Dropout drops nothing here: a GPU draws other masks than a CPU."""

    def __init__(self, name: str, batch: int, iterations: int, device: torch.device) -> None:
        text = with_inputs(name, batch)
        for ratio in (0.4, 0.5, 0.7):
            text = text.replace(f"dropout_ratio: {ratio}", "dropout_ratio: 0")
        self._data = batches(name, batch, iterations)
        self._iterations = iterations
        with tempfile.TemporaryDirectory() as folder:
            net, solver = Path(folder) / "net.prototxt", Path(folder) / "solver.prototxt"
            net.write_text(text)
            solver.write_text(
                f'net: "{net}" {ZOO[name].solver} max_iter: {iterations} display: 0 random_seed: 3 '
                f'snapshot_prefix: "{folder}/s"'
            )
            self._first, self._second = (
                Solver(schema.read_solver(solver).message, device=each) for each in (CPU, device)
            )

    def run(self) -> list[Step]:
        """One step of both at a time, compared."""
        return [self._step(iteration) for iteration in range(self._iterations)]

    def _step(self, iteration: int) -> Step:
        first, second = self._first, self._second
        second.net.flat.data.copy_(first.net.flat.data)
        for mine, theirs in zip(second.update.history, first.update.history, strict=True):
            mine.copy_(theirs)
        for solver in (first, second):
            for key, rows in self._data.items():
                tensor = torch.from_numpy(rows[iteration].copy())
                solver.net.blobs[key].data = tensor.to(solver.device)
            solver.step(1)
        names = {*first.net.outputs, *decisions(first.net)}
        found, want = (
            {key: host(solver.net.blobs[key].data) for key in names} for solver in (second, first)
        )
        return compare(
            iteration,
            [(found[key], want[key]) for key in first.net.outputs],
            [
                (host(mine), host(theirs))
                for mine, theirs in zip(second.update.history, first.update.history, strict=True)
            ],
            [
                (host(mine.blob.data), host(theirs.blob.data))
                for mine, theirs in zip(second.net.learnables, first.net.learnables, strict=True)
            ],
            flips(first.net, found, want),
        )
