"""Lockstep parity: the oracle's weights and history are loaded before every iteration, and the
one step is compared.

A free run says nothing after about ten iterations: Caffe parts from itself as soon, with another
BLAS kernel. One step from the same state says whether the two compute the same. Where a step
differs by more than rounding, it is looked for the cause: a max-pooling window or a ReLU whose
decision fell the other way, because two values were equal to the last bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mnist
import numpy as np
import torch
from caffe import schema, snapshot, weights
from caffe.devices import CPU
from caffe.net import Net
from caffe.proto import caffe_pb2
from caffe.solver import Solver
from zoo import ZOO, with_inputs

Array = np.ndarray[Any, Any]
OUTLIER = 1e-5
"""Relative to the largest value of the update of its learnable blob."""

_CANCELLED = 1e-2
"""Gradients that cancel out, as the biases of a siamese net do, leave nothing but rounding: a blob
whose largest update is below this share of the net's largest is measured by that share."""

STEPS = """
    import json
    caffe.set_mode_cpu()
    order = json.loads(str(args["order"]))
    solver = caffe.get_solver("/data/%s/solver.prototxt" % order["folder"])
    if order["resume"]:
        solver.restore(str(order["resume"]))
    else:
        solver.snapshot()
    for index in range(order["iterations"]):
        for name in ("data", "label"):
            if name in args:
                solver.net.blobs[name].data[...] = args[name][index]
        caffe.set_random_seed(order["seed"] + index)
        solver.step(1)
        for name in list(solver.net.outputs) + order["blobs"]:
            out["%d/%s" % (index, name)] = solver.net.blobs[name].data.copy()
        solver.snapshot()
"""


class Ask(Protocol):
    """The tests' Oracle, as much of it as is needed."""

    @property
    def folder(self) -> Path: ...

    def __call__(self, source: str, **arrays: Any) -> dict[str, Array]: ...


@dataclass(frozen=True)
class Step:
    """How far one iteration differs.

    ``loss``: the largest relative difference of an output. ``weight`` and ``update``: the median
    over all elements of the relative differences of the learnable blobs after the step, and of
    the update (the history of SGD). ``largest``: the largest difference of an update, relative to
    the largest update of its blob. ``flips``: how many max-pooling windows and ReLUs decided
    otherwise.
    """

    iteration: int
    loss: float
    weight: float
    update: float
    largest: float
    flips: int

    @property
    def is_explained(self) -> bool:
        return self.largest <= OUTLIER or self.flips > 0


def batches(name: str, batch: int, iterations: int, seed: int = 1) -> dict[str, Array]:
    """MNIST for the nets that are made for it; else noise in 0 … 1 and random labels."""
    model, random = ZOO[name], np.random.default_rng(seed)
    lead = (iterations, batch)
    if model.item[1:] == (28, 28):
        maker = mnist.pairs if model.item[0] == 2 else mnist.images
        data, label = maker(iterations * batch)
    else:
        data = random.random((*lead, *model.item), np.float32)
        label = random.integers(0, max(model.classes, 1), lead).astype(np.float32)
    found = {"data": data.reshape(*lead, *model.item), "label": label.reshape(lead)}
    return found if model.classes else {"data": found["data"]}


class Lockstep:
    """``name`` of the zoo, in the oracle and here, on the same batches."""

    def __init__(
        self, oracle: Ask, name: str, data: dict[str, Array], device: torch.device = CPU
    ) -> None:
        self._oracle = oracle
        self._name = name
        self._data = data
        self._iterations, batch = data["data"].shape[:2]
        self._folder = oracle.folder / name
        self._folder.mkdir(exist_ok=True)
        (self._folder / "net.prototxt").write_text(with_inputs(name, batch))
        param = schema.read_solver(self._write_solver(str(self._folder))).message
        self._solver = Solver(param, device=device)
        self._write_solver(f"/data/{name}")
        self._decided = sorted(set(_decisions(self._solver.net)))

    def _write_solver(self, seen: str) -> Path:
        path = self._folder / "solver.prototxt"
        path.write_text(
            f'net: "{seen}/net.prototxt" {ZOO[self._name].solver} max_iter: {self._iterations} '
            f'display: 0 random_seed: 3 snapshot_prefix: "{seen}/s" solver_mode: CPU'
        )
        return path

    def run(self, chunk: int = 10, told: Callable[[Step], None] = lambda step: None) -> list[Step]:
        """Compare every iteration. ``chunk``: how many the oracle makes in one go; so many
        snapshots lie on the disk at once."""
        steps: list[Step] = []
        for start in range(0, self._iterations, chunk):
            part = {key: value[start : start + chunk] for key, value in self._data.items()}
            order = {
                "folder": self._name,
                "iterations": len(part["data"]),
                "seed": 100 + start,
                "blobs": self._decided,
                "resume": f"/data/{self._name}/s_iter_{start}.solverstate" if start else "",
            }
            answer = self._oracle(STEPS, order=np.array(json.dumps(order)), **part)
            for index in range(len(part["data"])):
                step = self._step(start + index, index, part, answer)
                steps.append(step)
                told(step)
                for old in self._folder.glob(f"s_iter_{start + index}.*"):
                    old.unlink()
        return steps

    def _step(
        self, iteration: int, index: int, data: dict[str, Array], answer: dict[str, Array]
    ) -> Step:
        solver = self._solver
        self._load(iteration)
        for key, values in data.items():
            solver.net.blobs[key].data = torch.from_numpy(values[index].copy()).to(solver.device)
        solver.random.seed(100 + iteration)
        solver.step(1)
        state, expected = self._state(iteration + 1)
        loss = max(
            _relative(_host(solver.net.blobs[key].data), answer[f"{index}/{key}"]).max()
            for key in solver.net.outputs
        )
        wrong, moved, largest = [], [], 0.0
        floor = max(_CANCELLED * max(float(np.abs(want).max()) for want in state.history), 1e-30)
        for mine, want, each, history in zip(
            solver.update.history, state.history, solver.net.learnables, expected, strict=True
        ):
            found = _host(mine)
            moved.append(_relative(found, want))
            scale = max(float(np.abs(want).max()), floor)
            largest = max(largest, float(np.abs(found - want).max()) / scale)
            wrong.append(_relative(_host(each.blob.data), history))
        return Step(
            iteration,
            float(loss),
            float(np.median(np.concatenate(wrong))),
            float(np.median(np.concatenate(moved))),
            largest,
            self._flips({key: answer[f"{index}/{key}"] for key in self._decided}),
        )

    def _load(self, iteration: int) -> None:
        state, values = self._state(iteration)
        for each, value in zip(self._solver.net.learnables, values, strict=True):
            each.blob.data_memory.put(torch.from_numpy(value).to(self._solver.device))
        for mine, theirs in zip(self._solver.update.history, state.history, strict=True):
            mine.copy_(torch.from_numpy(theirs))
        self._solver.iter = state.iteration
        self._solver.rate.current_step = state.current_step

    def _state(self, iteration: int) -> tuple[snapshot.SolverState, list[Array]]:
        """The oracle's snapshot: state, and the learnable blobs in the order of the net's."""
        path = self._folder / f"s_iter_{iteration}"
        found = weights.arrays(f"{path}.caffemodel")
        values = [found[each.layer][each.index] for each in self._solver.net.learnables]
        return snapshot.read_state(f"{path}.solverstate"), values

    def _flips(self, theirs: dict[str, Array]) -> int:
        """How many decisions of max-pooling and ReLU fell otherwise in the oracle."""
        flips = 0
        for node in self._solver.net.nodes:
            if node.layer.kind == "ReLU":
                mine = _host(node.tops[0].data)
                flips += int(((mine > 0) != (theirs[node.top_names[0]] > 0)).sum())
            elif _is_max_pooling(node.layer.param):
                bottom = node.bottoms[0].data
                there = torch.from_numpy(theirs[node.bottom_names[0]]).to(bottom.device)
                chosen = [_choices(node.layer.param, values) for values in (bottom, there)]
                flips += int((chosen[0] != chosen[1]).sum())
        return flips


def _decisions(net: Net) -> Iterator[str]:
    for node in net.nodes:
        if node.layer.kind == "ReLU":
            yield node.top_names[0]
        elif _is_max_pooling(node.layer.param):
            yield node.bottom_names[0]


def _is_max_pooling(param: Any) -> bool:
    return bool(
        param.type == "Pooling" and param.pooling_param.pool == caffe_pb2.PoolingParameter.MAX
    )


def _choices(param: Any, bottom: torch.Tensor) -> torch.Tensor:
    settings = param.pooling_param
    found: torch.Tensor = torch.nn.functional.max_pool2d(
        bottom, settings.kernel_size, settings.stride, settings.pad, ceil_mode=True,
        return_indices=True,
    )[1]  # fmt: skip
    return found


def _host(tensor: torch.Tensor) -> Array:
    found: Array = tensor.detach().cpu().numpy()
    return found


def _relative(found: Array, expected: Array) -> Array:
    """Differences relative to the expected values, flat; equal values differ by 0."""
    difference = np.abs(found.astype(np.float64) - expected).reshape(-1)
    return difference / np.maximum(np.abs(expected.astype(np.float64)).reshape(-1), 1e-30)
