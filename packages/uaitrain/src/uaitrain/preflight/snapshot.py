"""What a run starts from: ``--snapshot`` and the solver's own ``weights``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from uaitrain.frameworks import caffe, caffe_net, solver_state, wire
from uaitrain.preflight import databases
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look, Presence
from uaitrain.preflight.paths import fault
from uaitrain.preflight.rule import error, warning

MISSING = error(
    "snapshot-missing",
    "the snapshot does not exist",
    "Caffe aborts: could not open the solver state",
    "give the path as the container sees it, or --snapshot=auto",
)
NOT_A_STATE = error(
    "snapshot-not-a-solverstate",
    "the snapshot is not a solver state (often it is the .caffemodel beside it)",
    "Caffe aborts when it restores",
    "name the .solverstate file",
)
WEIGHTS = error(
    "snapshot-weights-missing",
    "the weights that the solver state names (or the solver's own `weights`) do not exist",
    "Caffe aborts: could not open the weights",
    "put the .caffemodel where the path says",
)
OTHER_NET = error(
    "snapshot-other-net",
    "the solver state's history does not fit the net's learnable blobs or the solver's type",
    "Caffe aborts: incorrect length of history blobs, or a shape mismatch",
    "name a snapshot of this net and solver type",
)
FINISHED = warning(
    "snapshot-finished",
    "the snapshot is at max_iter or beyond",
    "the run ends at once and nothing more is trained",
    "raise max_iter",
)
RULES = (MISSING, NOT_A_STATE, WEIGHTS, OTHER_NET, FINISHED)


def check(look: Look) -> Iterator[Finding]:
    if not look.is_caffe:
        return
    yield from _own_weights(look)
    if not look.spec.snapshot or look.spec.snapshot == caffe.AUTO_SNAPSHOT:
        return
    place = look.resolve(look.spec.snapshot)
    presence = look.presence(place)
    if presence is Presence.UNKNOWN:
        return
    if presence is not Presence.THERE or place.host is None:
        near = look.nearby(place)
        mend = f"did you mean --snapshot={near[0]}?" if near else ""
        yield MISSING.finding(f"no snapshot: {look.absence(place)}", mend=mend)
        return
    yield from _state(look, place.host)


def _state(look: Look, path: Path) -> Iterator[Finding]:
    try:
        if path.suffix == ".h5":
            if not databases.is_hdf5(path):
                yield NOT_A_STATE.finding(f"{path} is not an HDF5 file", str(path))
            return
        state = solver_state.read(path)
    except (wire.WireError, OSError) as failure:
        twin = path.with_suffix(".solverstate")
        mend = f"did you mean {twin.name}?" if twin != path and not fault(twin) else ""
        what = f"{path} is not a solver state: {failure}"
        yield NOT_A_STATE.finding(what, str(path), mend)
        return
    place = look.resolve(state.learned_net)
    if state.learned_net and look.presence(place) in (Presence.MISSING, Presence.IGNORED):
        what = f"{path.name} names the weights {state.learned_net}: {look.absence(place)}"
        yield WEIGHTS.finding(what, str(path))
    if look.facts is not None:
        if 0 < look.facts.max_iter <= state.iteration:
            what = f"{path.name} is at iteration {state.iteration} of {look.facts.max_iter}"
            yield FINISHED.finding(what, str(path))
        yield from _history(look, look.facts, path, state)


def _history(
    look: Look, facts: caffe.SolverFacts, path: Path, state: solver_state.SolverState
) -> Iterator[Finding]:
    train = next((use for use in look.uses if use.state.phase == caffe_net.TRAIN), None)
    blobs = caffe_net.learnable(train.layers) if train else None
    if blobs is None:
        return
    expected = blobs * caffe.HISTORIES.get(facts.type, 1)
    if len(state.shapes) != len(expected):
        what = (
            f"{path.name} has {len(state.shapes)} history blobs; "
            f"{facts.type} on this net has {len(expected)}"
        )
        yield OTHER_NET.finding(what, str(path))
        return
    for index, (wanted, shape) in enumerate(zip(expected, state.shapes, strict=True)):
        if wanted is not None and shape and shape[0] != wanted:
            what = f"history blob {index} of {path.name} begins with {shape[0]}, the net's {wanted}"
            yield OTHER_NET.finding(what, str(path))
            return


def _own_weights(look: Look) -> Iterator[Finding]:
    if look.solver is None or look.facts is None:
        return
    for index, said in enumerate(look.solver.message.weights):
        where = look.solver.where(look.solver.root.at("weights", index))
        for path in (part.strip() for part in said.split(",")):
            place = look.resolve(path)
            if look.presence(place) in (Presence.MISSING, Presence.IGNORED):
                yield WEIGHTS.finding(f"no weights: {look.absence(place)}", where)
