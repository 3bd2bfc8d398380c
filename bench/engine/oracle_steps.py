"""Iterations of a zoo's net in the oracle, each with what it computed and the state it left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from caffe import snapshot, weights
from caffe.net import Net
from zoo import ZOO, with_inputs

Array = np.ndarray[Any, Any]
FIRST_SEED = 100
"""Iteration i draws, for dropout, from seed FIRST_SEED + i."""

_STEPS = """
    import json
    caffe.set_mode_cpu()
    order = json.loads(str(args["order"]))
    solver = caffe.get_solver(str(order["solver"]))
    for index, state in enumerate(order["states"]):
        if state:
            solver.restore(str(state))
        elif index == 0:
            solver.snapshot()
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


class OracleSteps:
    """``name`` trains in ``oracle`` on ``data`` (arrays by blob, an iteration a row). ``prefix``
    tells its snapshots from others' in the same folder; ``decided`` are blobs that are wanted
    beside the net's outputs."""

    def __init__(self, oracle: Ask, name: str, data: dict[str, Array], prefix: str = "s") -> None:
        self.name = name
        self.decided: list[str] = []
        self._oracle = oracle
        self._data = data
        self._prefix = prefix
        self._iterations, batch = data["data"].shape[:2]
        self._folder = oracle.folder / name
        self._folder.mkdir(exist_ok=True)
        (self._folder / "net.prototxt").write_text(with_inputs(name, batch))
        self._write_solver(f"/data/{name}", f"{prefix}-solver.prototxt")

    def solver_seen_here(self) -> Path:
        """The same solver's definition, with this machine's paths."""
        return self._write_solver(str(self._folder), "here-solver.prototxt")

    def _write_solver(self, seen: str, file: str) -> Path:
        path = self._folder / file
        path.write_text(
            f'net: "{seen}/net.prototxt" {ZOO[self.name].solver} max_iter: {self._iterations} '
            f'display: 0 random_seed: 3 snapshot_prefix: "{seen}/{self._prefix}" solver_mode: CPU'
        )
        return path

    def run(self, chunk: int) -> Iterator[tuple[int, dict[str, Array]]]:
        """Train, ``chunk`` iterations at a time. Gives an iteration and its blobs by name; the
        states before and after it are there until the next is asked for."""
        for start in range(0, self._iterations, chunk):
            count = min(chunk, self._iterations - start)
            states = [self._seen(start) if start else "", *[""] * (count - 1)]
            for index, answer in enumerate(self._ask(start, states)):
                yield start + index, answer
                self.drop(start + index)

    def repeat(self, iteration: int, other: OracleSteps) -> list[dict[str, Array]]:
        """The one iteration from the state in which it found ``other``; its blobs."""
        return self._ask(iteration, [other._seen(iteration)])

    def _ask(self, start: int, states: Sequence[str]) -> list[dict[str, Array]]:
        order = {
            "solver": f"/data/{self.name}/{self._prefix}-solver.prototxt",
            "states": list(states),
            "seed": FIRST_SEED + start,
            "blobs": self.decided,
        }
        part = {key: value[start : start + len(states)] for key, value in self._data.items()}
        answer = self._oracle(_STEPS, order=np.array(json.dumps(order)), **part)
        rows: list[dict[str, Array]] = [{} for _ in states]
        for key, value in answer.items():
            index, _, name = key.partition("/")
            rows[int(index)][name] = value
        return rows

    def _seen(self, iteration: int) -> str:
        return f"/data/{self.name}/{self._prefix}_iter_{iteration}.solverstate"

    def state(self, iteration: int) -> snapshot.SolverState:
        """The solver's state after so many iterations."""
        path = self._folder / f"{self._prefix}_iter_{iteration}.solverstate"
        return snapshot.read_state(path)

    def values(self, state: snapshot.SolverState, net: Net) -> list[Array]:
        """The learnable blobs that belong to a state, in the order of ``net``."""
        path = self._folder / f"{self._prefix}_iter_{state.iteration}.caffemodel"
        found = weights.arrays(str(path))
        return [found[each.layer][each.index] for each in net.learnables]

    def drop(self, iteration: int) -> None:
        """Remove a snapshot."""
        for old in self._folder.glob(f"{self._prefix}_iter_{iteration}.*"):
            old.unlink()
