"""Lockstep parity: the oracle's weights and history are loaded before every iteration, and the
one step is compared.

A free run says nothing after about ten iterations: Caffe parts from itself as soon, with another
BLAS kernel. One step from the same state says whether the two compute the same. Where a step
differs by more than rounding, it is looked for the cause: a max-pooling window or a ReLU whose
decision fell the other way, because two values were equal to the last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mnist
import numpy as np
import torch
from caffe import schema
from caffe.devices import CPU
from caffe.net import Net
from caffe.proto import caffe_pb2
from caffe.solver import Solver
from oracle_steps import FIRST_SEED, Array, Ask, OracleSteps
from zoo import ZOO

OUTLIER = 1e-5
"""Relative to the largest value of the update of its learnable blob."""

_CANCELLED = 1e-2
"""Gradients that cancel out, as the biases of a siamese net do, leave nothing but rounding: a blob
whose largest update is below this share of the net's largest is measured by that share."""


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
    """MNIST for the nets that are made for it; else noise and random labels.

    The small pictures' noise is -128 … 128, as pictures without their mean are: those nets begin
    with so small weights that less would leave nothing but weight decay. The large pictures' is
    -1 … 1: with more, on random labels, GoogLeNet's loss grows to NaN, where Caffe's max-pooling
    writes beyond its memory.
    """
    model, random = ZOO[name], np.random.default_rng(seed)
    lead = (iterations, batch)
    if model.item[1:] == (28, 28):
        maker = mnist.pairs if model.item[0] == 2 else mnist.images
        data, label = maker(iterations * batch)
    else:
        size = 128 if model.item[1:] == (32, 32) else 1
        data = (random.random((*lead, *model.item), np.float32) * 2 - 1) * size
        label = random.integers(0, max(model.classes, 1), lead).astype(np.float32)
    found = {"data": data.reshape(*lead, *model.item), "label": label.reshape(lead)}
    return found if model.classes else {"data": found["data"]}


class Lockstep:
    """``name`` of the zoo, in the oracle and here, on the same batches."""

    def __init__(
        self, oracle: Ask, name: str, data: dict[str, Array], device: torch.device = CPU
    ) -> None:
        self._data = data
        self._theirs = OracleSteps(oracle, name, data)
        param = schema.read_solver(self._theirs.solver_seen_here()).message
        self._solver = Solver(param, device=device)
        self._theirs.decided = sorted(set(decisions(self._solver.net)))

    def run(self, chunk: int = 10, told: Callable[[Step], None] = lambda step: None) -> list[Step]:
        """Compare every iteration. ``chunk``: how many the oracle makes in one go; so many
        snapshots lie on the disk at once."""
        steps: list[Step] = []
        for iteration, answer in self._theirs.run(chunk):
            step = self._step(iteration, answer)
            steps.append(step)
            told(step)
        return steps

    def beside(self, other: Ask, chunk: int = 10) -> list[Step]:
        """Compare the oracle with another one in our place, whose folder is the same."""
        again = OracleSteps(other, self._theirs.name, self._data, "other")
        again.decided = self._theirs.decided
        steps: list[Step] = []
        for iteration, answer in self._theirs.run(chunk):
            (found,) = again.repeat(iteration, self._theirs)
            outputs = [(found[key], answer[key]) for key in self._solver.net.outputs]
            mine, theirs = again.state(iteration + 1), self._theirs.state(iteration + 1)
            histories = zip(mine.history, theirs.history, strict=True)
            values = zip(again.values(mine, self._solver.net), self._expected(theirs), strict=True)
            turned = flips(self._solver.net, found, answer)
            steps.append(compare(iteration, outputs, histories, values, turned))
            again.drop(iteration + 1)
        return steps

    def _expected(self, state: Any) -> list[Array]:
        return self._theirs.values(state, self._solver.net)

    def _step(self, iteration: int, answer: dict[str, Array]) -> Step:
        solver, net = self._solver, self._solver.net
        self._load(iteration)
        for key, rows in self._data.items():
            tensor = torch.from_numpy(rows[iteration].copy())
            net.blobs[key].data = tensor.to(solver.device)
        solver.random.seed(FIRST_SEED + iteration)
        solver.step(1)
        found = {key: host(net.blobs[key].data) for key in (*net.outputs, *self._theirs.decided)}
        state = self._theirs.state(iteration + 1)
        mine = [host(each) for each in solver.update.history]
        values = [host(each.blob.data) for each in net.learnables]
        return compare(
            iteration,
            [(found[key], answer[key]) for key in net.outputs],
            zip(mine, state.history, strict=True),
            zip(values, self._expected(state), strict=True),
            flips(net, found, answer),
        )

    def _load(self, iteration: int) -> None:
        state = self._theirs.state(iteration)
        for each, value in zip(self._solver.net.learnables, self._expected(state), strict=True):
            each.blob.data_memory.put(torch.from_numpy(value).to(self._solver.device))
        for mine, theirs in zip(self._solver.update.history, state.history, strict=True):
            mine.copy_(torch.from_numpy(theirs))
        self._solver.iter = state.iteration
        self._solver.rate.current_step = state.current_step


Pairs = Iterable[tuple[Array, Array]]


def compare(iteration: int, outputs: Pairs, histories: Pairs, values: Pairs, flips: int) -> Step:
    """Each pair is found and expected: of the net's outputs, and, in one order, of the histories
    and the values of the learnable blobs after the step."""
    pairs = list(histories)
    tops = [float(np.abs(want).max()) for _, want in pairs]
    floor = max(_CANCELLED * max(tops), 1e-30)
    largest = max(
        float(np.abs(found - want).max()) / max(top, floor)
        for (found, want), top in zip(pairs, tops, strict=True)
    )
    return Step(
        iteration,
        max(float(_relative(*pair).max()) for pair in outputs),
        _median(values),
        _median(pairs),
        largest,
        flips,
    )


def _median(pairs: Pairs) -> float:
    return float(np.median(np.concatenate([_relative(*pair) for pair in pairs])))


def flips(net: Net, mine: Mapping[str, Array], theirs: Mapping[str, Array]) -> int:
    """How many decisions of max-pooling and ReLU fell otherwise, by the blobs that they see."""
    count = 0
    for node in net.nodes:
        if node.layer.kind == "ReLU":
            name = node.top_names[0]
            count += int(((mine[name] > 0) != (theirs[name] > 0)).sum())
        elif _is_max_pooling(node.layer.param):
            name = node.bottom_names[0]
            chosen = [
                _choices(node.layer.param, torch.from_numpy(side[name])) for side in (mine, theirs)
            ]
            count += int((chosen[0] != chosen[1]).sum())
    return count


def decisions(net: Net) -> Iterator[str]:
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


def host(tensor: torch.Tensor) -> Array:
    found: Array = tensor.detach().cpu().numpy()
    return found


def _relative(found: Array, expected: Array) -> Array:
    """Differences relative to the expected values, flat; equal values differ by 0."""
    difference = np.abs(found.astype(np.float64) - expected).reshape(-1)
    return difference / np.maximum(np.abs(expected.astype(np.float64)).reshape(-1), 1e-30)
