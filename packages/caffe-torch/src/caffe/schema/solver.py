"""A solver definition in Caffe 1.0's form, and what it may not say together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caffe.errors import DefinitionError

Place = Callable[[str], str]
"""From a field's name to where it stands."""

TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
"""By number of the deprecated ``solver_type``."""

TRAIN_NETS = ("net", "net_param", "train_net", "train_net_param")


def upgrade_type(solver: Any, place: Place) -> None:
    """``solver_type`` (an enum) becomes ``type`` (a name). Raises DefinitionError."""
    if not solver.HasField("solver_type"):
        return
    if solver.HasField("type"):
        raise DefinitionError(
            f'{place("solver_type")}: solver_type and type ("{solver.type}") are both given',
            allowed="one of them",
            next_step="keep type, which is the newer one",
        )
    solver.type = TYPES[solver.solver_type]
    solver.ClearField("solver_type")


def check(solver: Any, place: Place) -> None:
    """Refuse what contradicts itself. Raises DefinitionError.

    The train net is named exactly once. With ``net`` or ``net_param``, every test_iter beyond
    the test nets asks for one more test net, made from it.
    """
    given = [name for name in TRAIN_NETS if solver.HasField(name)]
    if len(given) != 1:
        what = " and ".join(given) + " are all" if given else "no train net is"
        raise DefinitionError(
            f"{place(given[1] if given else '')}: {what} given",
            allowed=f"exactly one of {', '.join(TRAIN_NETS)}",
            next_step="keep the one to train" if given else 'write net: "train_test.prototxt"',
        )
    tests = len(solver.test_net) + len(solver.test_net_param)
    generic = given[0] in ("net", "net_param")
    iters = len(solver.test_iter)
    if iters < tests or (iters > tests and not generic):
        raise DefinitionError(
            f"{place('test_iter')}: {iters} test_iter for {tests} test nets",
            allowed="one test_iter for each test net"
            + (", and more for tests of net itself" if generic else ""),
        )
    if len(solver.test_state) not in (0, iters):
        raise DefinitionError(
            f"{place('test_state')}: {len(solver.test_state)} test_state for {iters} tests",
            allowed="none, or one for each test_iter",
        )
    if iters and solver.test_interval <= 0:
        raise DefinitionError(
            f"{place('test_interval')}: test_interval {solver.test_interval} with a test_iter",
            allowed="1 or more",
            next_step="write test_interval, or leave test_iter out",
        )
    if solver.average_loss < 1:
        raise DefinitionError(
            f"{place('average_loss')}: average_loss {solver.average_loss}", allowed="1 or more"
        )


def complete_prefix(solver: Any, source: str) -> None:
    """The snapshot_prefix is the solver's path without its extension where none is given; a
    folder gets the solver's name appended."""
    # As texts, because pathlib would drop the "./" that Caffe keeps.
    without_extension, _ = os.path.splitext(source)  # noqa: PTH122
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = without_extension
    elif solver.snapshot_prefix and Path(solver.snapshot_prefix).is_dir():
        folder = solver.snapshot_prefix
        stem = Path(without_extension).name
        solver.snapshot_prefix = f"{folder}{'' if folder.endswith('/') else '/'}{stem}"
