"""The solver: is it there, can Caffe read it, and will it train at all?"""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.frameworks import caffe
from uaitrain.frameworks.prototxt import Document
from uaitrain.nearest import nearest
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look, Presence
from uaitrain.preflight.paths import DATA, Place
from uaitrain.preflight.prototxt_findings import findings
from uaitrain.preflight.rule import error, note, warning
from uaitrain.spec import CPU

NOT_GIVEN = error(
    "solver-not-given",
    "the stock train.py is the main file and no solver is named",
    "train.py refuses to start without --solver",
    "add --solver=/data/<file in the code folder> or --solver=/data/data/<file in the data folder>",
)
MISSING = error(
    "solver-missing",
    "the solver's path names no file in the code or data folder",
    "Caffe aborts: could not open the solver",
    "give the path as the container sees it: /data/… for the code, /data/data/… for the data",
)
ELSEWHERE = note(
    "solver-not-looked-at",
    "the solver lies outside /data, inside the base image",
    "nothing that the solver names could be checked",
    "keep the solver with the code or the data to have it checked",
)
NO_NET = error(
    "solver-no-net",
    "the solver names no train net (net, train_net, net_param or train_net_param)",
    "Caffe aborts: SolverParameter must specify a train net",
    'add net: "/data/<net>.prototxt"',
)
MANY_NETS = error(
    "solver-many-nets",
    "the solver names more than one train net",
    "Caffe aborts: SolverParameter must not contain more than one train net",
    "keep one of net, train_net, net_param and train_net_param",
)
MAX_ITER = error(
    "max-iter",
    "max_iter is absent, 0 or negative",
    "the run ends at once and nothing is trained",
    "set max_iter to the number of iterations",
)
BASE_LR = error(
    "base-lr",
    "base_lr is absent or 0",
    "every update is multiplied by 0: the weights never change",
    "set base_lr, for instance 0.01",
)
LR_POLICY = error(
    "lr-policy",
    "lr_policy is absent or not one of Caffe's",
    "Caffe aborts at the first iteration: unknown learning rate policy",
    "use one of " + ", ".join(caffe.LR_POLICIES),
)
LR_FIELD = error(
    "lr-policy-field",
    "a field that the lr_policy's formula needs is absent or 0",
    "the rate becomes 0 or Caffe divides by 0 and aborts",
    "set the field",
)
TYPE = error(
    "solver-type",
    "the solver's type is not one of Caffe's, or given twice (type and solver_type)",
    "Caffe aborts: unknown solver type",
    "use one of " + ", ".join(caffe.SOLVER_TYPES),
)
MOMENTUM = error(
    "solver-momentum",
    "momentum with AdaGrad or RMSProp",
    "Caffe aborts: momentum cannot be used with this solver",
    "remove momentum",
)
MODE = warning(
    "solver-mode",
    "solver_mode does not fit an image, and your own main file never looks at --use_cpu",
    "a main file that follows the solver's mode fails or trains on the slower device",
    "let the main file choose by --use_cpu, as uaitrain passes it",
)
RULES = (
    NOT_GIVEN, MISSING, ELSEWHERE, NO_NET, MANY_NETS, MAX_ITER, BASE_LR, LR_POLICY, LR_FIELD,
    TYPE, MOMENTUM, MODE,
)  # fmt: skip

TRAIN_NETS = ("net", "train_net", "net_param", "train_net_param")
MAY_BE_ZERO = ("gamma", "power")
WITHOUT_MOMENTUM = ("AdaGrad", "RMSProp")


def check(look: Look) -> Iterator[Finding]:
    if not look.is_caffe:
        return
    if not look.spec.solver:
        if look.is_stock:
            yield NOT_GIVEN.finding("no solver is named")
        return
    place = look.resolve(look.spec.solver)
    if look.presence(place) is Presence.UNKNOWN:
        what = f"the solver {place.container} lies inside the base image"
        yield ELSEWHERE.finding(what)
    elif look.solver is None:
        yield _missing(look, place)
    elif look.solver.problems:
        yield from findings(look.solver)
    else:
        yield from _nets(look.solver)
        yield from _rate(look.solver)
        yield from _type(look.solver)
        yield from _mode(look, look.solver)


def _missing(look: Look, place: Place) -> Finding:
    near = look.nearby(place)
    if place.host is not None and look.presence(place) is Presence.THERE:
        return MISSING.finding(f"the solver {place.container} cannot be read", str(place.host))
    looked = look.absence(place)
    if look.told_already(place):
        looked += f" (the data folder {look.spec.data} is missing, too)"
    if place.side == DATA:
        looked += f"; the code folder {look.spec.code} has {'it' if near else 'none of that name'}"
    mend = f"did you mean --solver={near[0]}?" if near else ""
    return MISSING.finding(f"the solver is missing: {looked}", mend=mend)


def _nets(solver: Document) -> Iterator[Finding]:
    named = [field for field in TRAIN_NETS if solver.message.HasField(field)]
    if not named:
        yield NO_NET.finding("no train net is named", str(solver.path))
    elif len(named) > 1:
        where = solver.where(solver.root.at(named[1]))
        yield MANY_NETS.finding(f"more than one train net: {', '.join(named)}", where)


def _rate(solver: Document) -> Iterator[Finding]:
    message, root = solver.message, solver.root
    if message.max_iter <= 0:
        said = f"max_iter is {message.max_iter}" if message.HasField("max_iter") else "no max_iter"
        yield MAX_ITER.finding(said, solver.where(root.at("max_iter")))
    if message.base_lr == 0:
        said = "base_lr is 0" if message.HasField("base_lr") else "no base_lr"
        yield BASE_LR.finding(said, solver.where(root.at("base_lr")))
    policy = message.lr_policy
    where = solver.where(root.at("lr_policy"))
    if policy not in caffe.LR_POLICIES:
        said = f'lr_policy "{policy}" does not exist' if policy else "no lr_policy"
        yield LR_POLICY.finding(said, where, _nearest(policy, caffe.LR_POLICIES))
        return
    for field in caffe.LR_POLICIES[policy]:
        value = getattr(message, field)
        if not value and not (field in MAY_BE_ZERO and message.HasField(field)):
            yield LR_FIELD.finding(f'lr_policy "{policy}" needs {field}', where)


def _type(solver: Document) -> Iterator[Finding]:
    message, root = solver.message, solver.root
    where = solver.where(root.at("type"))
    if message.HasField("solver_type") and message.HasField("type"):
        yield TYPE.finding("both type and solver_type are given", where, "keep type")
        return
    kind = caffe.solver_type(message)
    if kind not in caffe.SOLVER_TYPES:
        what = f'solver type "{kind}" does not exist'
        yield TYPE.finding(what, where, _nearest(kind, caffe.SOLVER_TYPES))
    if kind in WITHOUT_MOMENTUM and message.momentum:
        yield MOMENTUM.finding(
            f"{kind} with momentum {message.momentum:g}", solver.where(root.at("momentum"))
        )


def _nearest(name: str, known: tuple[str, ...] | dict[str, tuple[str, ...]]) -> str:
    found = nearest(name, known, 0.5)
    return f'did you mean "{found}"?' if found else ""


def _mode(look: Look, solver: Document) -> Iterator[Finding]:
    if look.is_stock or not solver.message.HasField("solver_mode"):
        return
    if b"use_cpu" in look.main_source:
        return
    mode = "CPU" if solver.message.solver_mode == 0 else "GPU"
    for accelerator, base in look.subject.bases.items():
        wanted = "CPU" if accelerator == CPU or base.is_cpu_build else "GPU"
        if wanted != mode:
            what = f"solver_mode is {mode}, the {accelerator} image ({base.name}) wants {wanted}"
            yield MODE.finding(what, solver.where(solver.root.at("solver_mode")))
