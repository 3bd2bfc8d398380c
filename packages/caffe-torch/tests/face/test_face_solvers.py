"""Solvers through the face: every type's steps, tests, snapshots and callbacks, as in pycaffe."""

from __future__ import annotations

import caffe
import numpy as np
import pytest
from caffe.errors import CaffeError, SnapshotError

NET = """
name: "job"
layer { name: "in" type: "Input" top: "data" top: "goal"
  input_param { shape { dim: 4 dim: 6 } shape { dim: 4 dim: 2 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "tanh" type: "TanH" bottom: "ip1" top: "ip1" }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "drop" include { phase: TRAIN } }
layer { name: "fixed" type: "InnerProduct" bottom: "ip1" top: "fixed" param { lr_mult: 0 }
  param { lr_mult: 0 } inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "fixed" bottom: "ip1" top: "sum" }
layer { name: "ip2" type: "InnerProduct" bottom: "sum" top: "ip2"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip2" bottom: "goal" top: "loss" }
"""
TYPES = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "delta: 1e-4",
    "RMSProp": "rms_decay: 0.9 delta: 1e-4",
    "AdaDelta": "momentum: 0.95 delta: 1e-4",
    "Adam": "momentum: 0.9 momentum2: 0.99",
}
QUOTIENT = 5e-4
"""AdaGrad and RMSProp divide a gradient by its own size: of one near zero little is left exact."""
START = """
caffe.set_random_seed(6)
def fed(net):
    net.blobs["data"].data[...] = args["data"]
    net.blobs["goal"].data[...] = args["goal"]
    return net
def made(name="solver.prototxt", make=caffe.get_solver):
    solver = make(name)
    for net in [solver.net] + list(solver.test_nets):
        fed(net)
    return solver
"""


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "data": rng.standard_normal((4, 6)).astype(np.float32),
        "goal": rng.standard_normal((4, 2)).astype(np.float32),
    }


def tolerance(kind: str) -> dict[str, float]:
    return {"rtol": QUOTIENT, "atol": 1e-5} if kind in ("AdaGrad", "RMSProp") else {}


def lay_out(twins, fields: str = "momentum: 0.9", name: str = "solver.prototxt") -> None:
    twins.write("net.prototxt", NET)
    head = 'net: "net.prototxt" base_lr: 0.1 max_iter: 5 snapshot_prefix: "snap" '
    policy = "" if "lr_policy" in fields else 'lr_policy: "fixed" '
    twins.write(name, head + policy + fields)


@pytest.mark.parametrize("kind", TYPES)
def test_data_and_gradients_after_each_step_are_what_caffe_leaves(twins, batch, kind):
    lay_out(twins, f'type: "{kind}" weight_decay: 0.01 clip_gradients: 0.5 {TYPES[kind]}')
    twins(
        START
        + f"""
by_name = made()
by_class = made(make=caffe.{kind}Solver)
out["class"] = np.array(type(by_name).__name__)
for turn in range(3):
    for name, solver in (("name", by_name), ("class", by_class)):
        solver.step(1)
        state(solver.net, "%s %d " % (name, turn))
out["iter"] = np.array(by_name.iter)
""",
        **tolerance(kind),
        **batch,
    )


@pytest.mark.parametrize("kind", TYPES)
def test_a_class_trains_its_own_way_whatever_the_definition_says(twins, batch, kind):
    fields = "momentum: 0.9" if kind not in ("AdaGrad", "RMSProp") else ""
    lay_out(twins, f'type: "SGD" {fields}')
    twins(
        START
        + f"""
solver = made(make=caffe.{kind}Solver)
solver.step(2)
state(solver.net)
""",
        **tolerance(kind),
        **batch,
    )


@pytest.mark.parametrize(
    "policy",
    [
        'lr_policy: "step" gamma: 0.5 stepsize: 2',
        'lr_policy: "multistep" gamma: 0.5 stepvalue: 1 stepvalue: 3',
        'lr_policy: "poly" power: 2 iter_size: 3 regularization_type: "L1" weight_decay: 0.02',
    ],
)
def test_solve_trains_to_max_iter_and_writes_its_last_snapshot(twins, batch, policy):
    lay_out(twins, f"momentum: 0.9 {policy}")
    twins(
        START
        + """
solver = made()
solver.solve()
out["iter"] = np.array(solver.iter)
out["files"] = np.array(sorted(name for name in os.listdir(".") if name.startswith("snap")))
state(solver.net)
""",
        **batch,
    )


@pytest.mark.parametrize("layout", ["BINARYPROTO", "HDF5"])
def test_a_restored_solver_goes_on_as_if_it_had_never_stopped(twins, batch, layout):
    ending = ".h5" if layout == "HDF5" else ""
    lay_out(twins, f'type: "Adam" momentum: 0.9 snapshot_format: {layout}')
    twins(
        START
        + f"""
solver = made()
solver.step(2)
solver.snapshot()
one = made()
view = one.net.params["ip1"][0].data
one.restore("snap_iter_2.solverstate{ending}")
out["view"], out["one at"] = view.copy(), np.array(one.iter)
two = made()
two.solve("snap_iter_2.solverstate{ending}")
out["two at"] = np.array(two.iter)
caffe.set_random_seed(3)
one.step(2)
caffe.set_random_seed(3)
solver.step(2)
state(one.net, "one ")
state(solver.net, "solver ")
state(two.net, "two ")
""",
        **batch,
    )


SNAPSHOT = "solver = made()\nsolver.step(2)\nsolver.snapshot()\n"
RESUME = """
solver = made()
solver.restore("snap_iter_2.solverstate")
out["iter"] = np.array(solver.iter)
caffe.set_random_seed(3)
solver.step(2)
state(solver.net)
"""


@pytest.mark.parametrize("writer", ["theirs", "ours"])
def test_each_side_goes_on_from_the_others_snapshot(twins, batch, writer):
    lay_out(twins, 'type: "AdaDelta" momentum: 0.9 delta: 1e-4')
    (twins.ours if writer == "ours" else twins.theirs)(START + SNAPSHOT, **batch)
    resumed = twins(START + RESUME, **batch)
    assert resumed["iter"] == 4 - 2


def test_callbacks_are_called_in_order_and_see_what_caffe_shows(twins, batch):
    lay_out(
        twins, "momentum: 0.9 iter_size: 2 test_iter: 1 test_interval: 2 test_initialization: true"
    )
    twins(
        START
        + """
solver = made()
seen = []
def started(name):
    def call():
        seen.append("%s starts %d" % (name, solver.iter))
        out["start %s %d" % (name, solver.iter)] = solver.net.params["ip1"][0].diff.copy()
    return call
def ready(name):
    def call():
        seen.append("%s ready %d" % (name, solver.iter))
        out["ready %s %d" % (name, solver.iter)] = solver.net.params["ip1"][0].diff.copy()
        solver.net.params["ip2"][1].diff[...] *= 2
    return call
solver.add_callback(started("a"), ready("a"))
solver.add_callback(started("b"), ready("b"))
solver.net.before_forward(lambda layer: seen.append("train %d" % layer))
solver.net.after_backward(lambda layer: seen.append("back %d" % layer))
solver.test_nets[0].before_forward(lambda layer: seen.append("test %d" % layer))
solver.step(3)
out["seen"] = np.array(seen)
state(solver.net)
""",
        **batch,
    )


def test_test_nets_have_weights_of_their_own_until_the_first_test(twins, batch):
    lay_out(
        twins,
        "momentum: 0.9 test_iter: 1 test_interval: 2 test_initialization: false",
        "a.prototxt",
    )
    twins(
        START
        + """
solver = made("a.prototxt")
net = solver.test_nets[0]
out["fresh"] = net.params["ip1"][0].data.copy()
for turn in range(4):
    solver.step(1)
    state(net, "%d " % turn, diffs=False)
    view = net.params["ip1"][0].data
    solver.net.params["ip1"][0].data[0] += 1
    out["view %d" % turn] = view.copy()
solver.net.params["ip1"][0].data[...] = 0.5
out["written"] = net.params["ip1"][0].data.copy()
net.forward()
state(net, "ran ", diffs=False)
""",
        **batch,
    )


def test_updates_by_hand_use_the_gradients_that_are_written(twins, batch):
    lay_out(twins, "momentum: 0.9 weight_decay: 0.01")
    twins(
        START
        + """
solver = made()
weight, diff = solver.net.params["ip1"][0].data, solver.net.params["ip1"][0].diff
for turn in range(3):
    solver.net.clear_param_diffs()
    solver.net.forward()
    solver.net.backward()
    diff[0] = turn
    weight[1] *= 0.5
    solver.apply_update()
    state(solver.net, "%d " % turn)
    out["weight %d" % turn] = weight.copy()
out["iter"] = np.array(solver.iter)
""",
        **batch,
    )


def test_param_shows_the_definition(twins, batch):
    lay_out(twins, "momentum: 0.9 display: 7 random_seed: 3")
    twins(
        START
        + """
param = made().param
out["numbers"] = np.array([param.max_iter, param.display])
""",
        **batch,
    )


def test_a_net_that_shares_a_solvers_weights_follows_it(twins, batch):
    lay_out(twins)
    twins(
        START
        + """
solver = made()
net = fed(caffe.Net("net.prototxt", caffe.TEST))
solver.share_weights(net)
solver.step(2)
net.forward()
state(net, "net ", diffs=False)
state(solver.net)
""",
        **batch,
    )


def test_a_solvers_seed_starts_the_stream_anew(twins, batch):
    lay_out(twins, "random_seed: 4")
    twins(
        START
        + """
for name in ("one", "two"):
    caffe.set_random_seed(77)
    solver = made()
    solver.step(2)
    state(solver.net, name)
""",
        **batch,
    )


def test_wrong_calls_raise_the_kinds_that_pycaffe_raises(twins, batch):
    lay_out(twins)
    twins(
        START
        + """
solver = made()
calls = {
    "number": lambda: caffe.SGDSolver(3),
    "get number": lambda: caffe.get_solver(None),
    "nothing": lambda: caffe.SGDSolver(),
    "step": lambda: solver.step("two"),
    "step nothing": lambda: solver.step(),
    "step float": lambda: solver.step(1.5),
    "restore": lambda: solver.restore(4),
    "solve": lambda: solver.solve(4),
    "iter": lambda: setattr(solver, "iter", 3),
    "net": lambda: setattr(solver, "net", 3),
    "attribute": lambda: solver.nothing,
    "share": lambda: solver.share_weights(3),
}
for name in calls:
    out[name] = np.array(kind(calls[name]))
solver.step(1)
state(solver.net)
""",
        **batch,
    )


def test_what_aborts_caffe_raises_here_and_changes_nothing(twins):
    lay_out(twins)
    lay_out(twins, 'type: "Adam"', "adam.prototxt")
    lay_out(twins, 'lr_policy: "none"', "policy.prototxt")
    (twins.folder / "broken.solverstate").write_bytes(b"\xff\xff\xff")
    made = twins.ours(
        """
solver = caffe.get_solver("adam.prototxt")
solver.step(1)
solver.snapshot()
sgd = caffe.get_solver("solver.prototxt")
before = sgd.net.params["ip1"][0].data.copy()
for name in ("snap_iter_1.solverstate", "broken.solverstate", "nowhere.solverstate"):
    try:
        sgd.restore(name)
    except Exception as error:
        out[name] = type(error).__name__
out["same"] = np.array_equal(before, sgd.net.params["ip1"][0].data) and sgd.iter == 0
"""
    )
    assert made.pop("same")
    assert [str(each) for each in made.values()] == [SnapshotError.__name__] * 3
    for name in ("policy.prototxt", "nowhere.prototxt"):
        with pytest.raises(CaffeError):
            caffe.get_solver(str(twins.folder / name))
